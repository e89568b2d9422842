"""Stable Diffusion 2: heads of 64 channels, matrices around attention, OpenCLIP ViT-H text read before its last layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from marquetry.engine.models.families.family import Found
from marquetry.engine.models.layout.table import Piece
from marquetry.engine.models.layout.text_encoder import TextEncoderSizes, open_clip_sizes, open_clip_table
from marquetry.engine.models.layout.unet import UNetSizes
from marquetry.engine.models.network import NetworkRecipe
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.stable_diffusion import (
    END_TOKEN,
    OPEN_CLIP_PREFIXES,
    StableDiffusion,
    spread,
    transformers_part,
    transformers_text,
)
from marquetry.engine.models.text.part import TextEncoderPart
from marquetry.engine.models.weights import Weights

if TYPE_CHECKING:
    from marquetry.engine.sampling.model_sampling import Prediction

HEAD_CHANNELS = 64
OPEN_CLIP_WIDTH = 1024
TRIMMED_LAYERS = 23  # what is published without the layer that is not used
PAD_TOKEN = 0
PUBLISHED_CHANNELS = 320
# The published epsilon and v models differ in nothing but values; this tensor's spread is small in the former, large in the latter.
PROBES = (
    "output_blocks.11.1.transformer_blocks.0.norm1.bias",
    "up_blocks.3.attentions.2.transformer_blocks.0.norm1.bias",
)
PROBE_SPREAD = 0.09


class StableDiffusion2(StableDiffusion):
    """SD 2.0 and 2.1, base (epsilon) and 768 (v prediction), and inpainting, at any size."""

    id = "sd2"
    text_role = "clip_h"
    original_text_prefix = "cond_stage_model.model."

    def is_denoiser(self, sizes: UNetSizes) -> bool:
        return sizes.linear_projection and not sizes.vector_width

    def attention_heads(self, sizes: UNetSizes) -> tuple[int, ...]:
        return tuple(max(1, channels // HEAD_CHANNELS) for channels in sizes.channels)

    def text_part(self, header: Header, hints: Mapping[str, Any]) -> tuple[TextEncoderPart, str] | None:
        for prefix in OPEN_CLIP_PREFIXES:
            sizes = open_clip_sizes(header, prefix)
            if sizes is not None:
                config = sizes.config("gelu", end_token=END_TOKEN, pad_token=PAD_TOKEN)
                recipe = NetworkRecipe("clip_text", config, open_clip_table(sizes, prefix))
                return TextEncoderPart(recipe, layer=min(1, sizes.layers - 1), pad_token=PAD_TOKEN), prefix
        found = transformers_text(header)
        options = hints.get("text_encoder", {})
        if found is None or not (found[1].width == OPEN_CLIP_WIDTH or options.get("hidden_act") == "gelu"):
            return None
        part = transformers_part(header, *found, "gelu", options, pad_token=PAD_TOKEN)
        trimmed = bool(options) or found[1].layers == TRIMMED_LAYERS  # folders are published without the unused layer
        return replace(part, layer=0 if trimmed else 1, absent_layers=1 if trimmed else 0), found[0]

    def default_prediction(self, found: Found, weights: Weights) -> Prediction:
        config = {} if found.denoiser is None else found.denoiser.config
        if config.get("in_channels") != 4 or config["block_out_channels"][0] != PUBLISHED_CHANNELS:
            return "epsilon"
        prefix = found.prefixes["denoiser"]
        measured = next((value for probe in PROBES if (value := spread(weights, prefix + probe)) is not None), 0.0)
        return "v_prediction" if measured > PROBE_SPREAD else "epsilon"

    def text_table(self, found: Found, role: str, names: Mapping[str, Any]) -> dict[str, Piece]:
        if found.text_encoder is None:
            return {}
        config = found.text_encoder.recipe.config
        projection = int(config["projection_dim"]) if "text_projection.weight" in names else 0
        sizes = TextEncoderSizes(
            config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"], config["vocab_size"], 77, projection
        )
        return open_clip_table(sizes, self.original_text_prefix)


FAMILY = StableDiffusion2()
