"""Flux and its kin: guidance as an input, shifted noise levels, pictures to refer to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from marquetry.engine.declare import node
from marquetry.engine.pictures import MAX_RESOLUTION
from marquetry.engine.ports import Conditioning, Image, Latent, Model, Range
from marquetry.engine.resize import resize
from marquetry.engine.sampling.model_sampling import FlowSampling
from marquetry.engine.usage import Extent, extent_of
from marquetry.nodes.conditioning import with_options
from marquetry.nodes.text_encode_families import Guidance

CATEGORY = "advanced/conditioning/flux"
LEVELS = 10_000
PATCH_PIXELS = 16
SMALL_TOKENS, LARGE_TOKENS = 256, 4096
# The sizes that Flux.1 Kontext was trained at (Black Forest Labs 2025), as width and height.
KONTEXT_SIZES = (
    (672, 1568), (688, 1504), (720, 1456), (752, 1392), (800, 1328), (832, 1248), (880, 1184), (944, 1104), (1024, 1024),
    (1104, 944), (1184, 880), (1248, 832), (1328, 800), (1392, 752), (1456, 720), (1504, 688), (1568, 672),
)  # fmt: skip
Shift = Annotated[float, Range(0.0, 100.0, step=0.01)]
Side = Annotated[int, Range(16, MAX_RESOLUTION, step=8)]


@node(id="FluxGuidance", title="FluxGuidance", category=CATEGORY)
def guidance(conditioning: Conditioning, guidance: Guidance = 3.5) -> Conditioning:
    """Sets the guidance that distilled models take as an input."""
    return with_options(conditioning, guidance=guidance)


@node(id="ModelSamplingFlux", title="ModelSamplingFlux", category="advanced/model")
def model_sampling_flux(model: Model, max_shift: Shift = 1.15, base_shift: Shift = 0.5, width: Side = 1024, height: Side = 1024) -> Model:
    """Noise levels for a picture's size: `base_shift` at 256 tokens, `max_shift` at 4,096, and along a line between and beyond."""
    tokens = width * height / PATCH_PIXELS**2
    slope = (max_shift - base_shift) / (LARGE_TOKENS - SMALL_TOKENS)
    shift = base_shift + slope * (tokens - SMALL_TOKENS)
    return model.with_sampling(FlowSampling(math.exp(shift), multiplier=1.0, count=LEVELS))


@node(id="ModelSamplingAuraFlow", title="ModelSamplingAuraFlow", category="advanced/model")
def model_sampling_aura_flow(model: Model, shift: Shift = 1.73) -> Model:
    """Rectified flow with more steps at high noise, by `shift`, for networks that are told times from 0 to 1."""
    return model.with_sampling(FlowSampling(shift, multiplier=1.0))


@node(id="ReferenceLatent", title="ReferenceLatent", category="advanced/conditioning/edit_models")
def reference_latent(conditioning: Conditioning, latent: Latent | None = None) -> Conditioning:
    """Gives an editing model a picture to refer to. Several follow each other; the first is the picture to edit."""
    if latent is None:
        return conditioning
    return [
        [embedding, {**known, "reference_latents": [*known.get("reference_latents", ()), latent["samples"]]}]
        for embedding, known in conditioning
    ]


@node(id="FluxKontextMultiReferenceLatentMethod", title="FluxKontextMultiReferenceLatentMethod", category=CATEGORY)
def reference_method(
    conditioning: Conditioning, reference_latents_method: Literal["offset", "index", "uxo/uno"] = "offset"
) -> Conditioning:
    """How reference pictures are told apart: side by side, by number, or along the diagonal as UNO and USO were trained."""
    return with_options(conditioning, reference_latents_method="uxo" if reference_latents_method == "uxo/uno" else reference_latents_method)


def _kontext_extent(inputs: Mapping[str, Any]) -> Extent:
    return Extent(*max(KONTEXT_SIZES, key=lambda size: size[0] * size[1]), extent_of(inputs.get("image")).count)


@node(id="FluxKontextImageScale", title="FluxKontextImageScale", category=CATEGORY, extent=_kontext_extent)
def kontext_size(image: Image) -> Image:
    """Brings a picture to that of the sizes Kontext was trained at which has the nearest proportions; the middle is kept."""
    height, width = image.shape[1:3]
    wide, high = min(KONTEXT_SIZES, key=lambda size: abs(width / height - size[0] / size[1]))
    return resize(image.movedim(-1, 1), wide, high, "lanczos", "center").movedim(1, -1)
