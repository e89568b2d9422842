"""Flux.1 (Black Forest Labs 2024): a transformer over tokens of pictures and words, guidance as an input, rectified flow.

The dev, schnell, fill (mask and picture beside the latent), canny and depth (picture beside it), kontext (pictures as further tokens)
and krea models, at any size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import functional, torch
from marquetry.engine.models.adapters.widening import widened
from marquetry.engine.models.families.family import Found
from marquetry.engine.models.families.sdxl import as_role
from marquetry.engine.models.fitting import edited_picture, fit, repeated
from marquetry.engine.models.layout import flux
from marquetry.engine.models.layout.table import Piece
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.text.encoder import Encoded
from marquetry.engine.models.text.files import TextFile
from marquetry.engine.models.text.part import TextEncoderPart
from marquetry.engine.models.text.recipe import EncodedPrompt
from marquetry.engine.models.text.vocabularies import T5_PAD
from marquetry.engine.models.transformer_family import POOLED, TOKENS, TransformerFamily, grid, lengthened, packed, padded_to, unpacked
from marquetry.engine.models.weights import Weights
from marquetry.engine.sampling.control import RESIDUALS
from marquetry.engine.sampling.latent_format import LatentFormat
from marquetry.engine.sampling.model import CONCAT

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.model import Model
    from marquetry.engine.sampling.model_sampling import ModelSampling

GUIDED_SHIFT = math.exp(1.15)  # of models with guidance as an input; the others are not shifted
LEVELS = 10_000
T5_TOKENS = 256
PATCH = 2
GUIDANCE = "guidance"
DEFAULT_GUIDANCE = 3.5
REFERENCES, METHOD = "references", "reference_latents_method"
BIAS = "style_bias"
"""Of a prompt's tokens, `[2, T]` or less: how much more (in logarithms) others look at each, and of which group each is; 0 is the words'."""
MASK_CHANNELS = 64  # the fill model takes a mask in pixels, 8 x 8 of them to a latent one


class ClipAndT5:
    """T5's words are the tokens, CLIP ViT-L gives the pooled output."""

    types: Mapping[str, frozenset[int]] = {"flux": frozenset({2})}

    def assign(self, files: Sequence[TextFile]) -> Mapping[str, tuple[int, TextEncoderPart]] | None:
        numbers: dict[str, int] = {file.kind: number for number, file in enumerate(files)}
        if numbers.keys() != {"clip", "t5"}:
            return None
        return {role: (numbers[kind], read(files[numbers[kind]], role)) for role, kind in (("clip_l", "clip"), ("t5xxl", "t5"))}

    def compose(self, encoded: Mapping[str, Encoded]) -> EncodedPrompt:
        missing = tuple(dict.fromkeys(name for part in encoded.values() for name in part.missing))
        return EncodedPrompt(encoded["t5xxl"].hidden, encoded["clip_l"].pooled, missing)


def read(file: TextFile, role: str) -> TextEncoderPart:
    """How these models read an encoder."""
    if role == "t5xxl":
        return file.part(pad_token=T5_PAD, min_tokens=T5_TOKENS, adapter_part="text_encoder_2")
    return as_role(file, role)


class Flux(TransformerFamily):
    """See the module."""

    id = "flux"
    architecture = "diffusers:FluxTransformer2DModel"
    latent_format = LatentFormat(channels=16, scale_factor=0.3611, shift_factor=0.1159)
    text_prefixes: Mapping[str, tuple[str, ...]] = {
        "clip_l": ("text_encoders.clip_l.transformer.text_model.", "text_encoders.clip_l.transformer.", "text_encoder.text_model.", "text_encoder."),
        "t5xxl": ("text_encoders.t5xxl.transformer.", "text_encoder_2."),
    }  # fmt: skip

    def __init__(self) -> None:
        self.text = ClipAndT5()

    def original_sizes(self, header: Header, prefix: str) -> flux.FluxSizes | None:
        return flux.original_sizes(header, prefix)

    def diffusers_sizes(self, header: Header, prefix: str) -> flux.FluxSizes | None:
        return flux.diffusers_sizes(header, prefix)

    def original_pieces(self, sizes: flux.FluxSizes, header: Header, prefix: str) -> dict[str, Piece]:
        return flux.original_table(sizes, header, prefix)

    def read_text(self, file: TextFile, role: str) -> TextEncoderPart:
        return read(file, role)

    def sampling(self, found: Found, weights: Weights, hints: Mapping[str, Any]) -> ModelSampling:
        from marquetry.engine.sampling.model_sampling import FlowSampling

        assert found.denoiser is not None
        if found.denoiser.config["guidance_embeds"]:
            return FlowSampling(GUIDED_SHIFT, multiplier=1.0, count=LEVELS)
        return FlowSampling(1.0, multiplier=1.0)

    def values(
        self, model: Model, embedding: Tensor, extras: Mapping[str, Any], *, batch: int, latent_shape: tuple[int, ...]
    ) -> dict[str, Any]:
        pooled = extras.get("pooled_output")
        pooled = torch.zeros(1, int(model.config["pooled_projection_dim"])) if pooled is None else pooled
        made: dict[str, Any] = {TOKENS: repeated(embedding, batch), POOLED: repeated(pooled, batch)}
        if model.config["guidance_embeds"]:
            made[GUIDANCE] = torch.full((batch,), float(extras.get(GUIDANCE, DEFAULT_GUIDANCE)), dtype=torch.float64)
        beside = model.in_channels // PATCH**2 - self.latent_format.channels
        size = tuple(latent_shape[-2:])
        if beside == self.latent_format.channels:
            made[CONCAT] = model.latent_format.process_in(edited_picture(extras, beside, size, batch))
        elif beside:
            made[CONCAT] = self._filled(model, extras, size, batch)
        if extras.get(BIAS) is not None:
            made[BIAS] = functional.pad(extras[BIAS], (0, embedding.shape[1] - extras[BIAS].shape[-1]))[None].expand(batch, -1, -1).double()
        references = extras.get("reference_latents")
        if references:
            pictures = [model.latent_format.process_in(repeated(picture, batch)) for picture in references]
            for number, picture in enumerate(pictures):
                made[f"{REFERENCES}.{number}"] = picture
            made[METHOD] = extras.get(METHOD, "offset")
        return made

    def forward(self, model: Model, network: Any, x: Tensor, time: Tensor, values: Mapping[str, Any]) -> Tensor:
        height, width = x.shape[-2:]
        x = padded_to(x, PATCH)
        rows, columns = x.shape[-2] // PATCH, x.shape[-1] // PATCH
        beside = [padded_to(values[CONCAT], PATCH)] if CONCAT in values else []
        tokens, places = [packed(torch.cat([x, *beside], dim=1))], [grid(rows, columns)]
        for picture, place in _placed(values, rows, columns):
            tokens.append(packed(picture))
            places.append(place)
        seen = torch.cat(tokens, dim=1)
        if seen.shape[-1] > int(model.config["in_channels"]):
            network, seen = widened(network, seen, model.adapters)
        output = network(
            seen,
            encoder_hidden_states=values[TOKENS],
            pooled_projections=values[POOLED],
            timestep=time,
            img_ids=torch.cat(places).to(x),
            txt_ids=torch.zeros(values[TOKENS].shape[1], 3).to(x),
            guidance=values.get(GUIDANCE),
            joint_attention_kwargs={"attention_mask": _biased(values[BIAS], seen)} if BIAS in values else None,
            return_dict=False,
            **lengthened(values.get(RESIDUALS, {}), sum(len(place) for place in places)),
        )[0]
        return unpacked(output[:, : rows * columns], rows * PATCH, columns * PATCH)[..., :height, :width]

    def _filled(self, model: Model, extras: Mapping[str, Any], size: tuple[int, ...], batch: int) -> Tensor:
        """The picture's latent and the mask, as the fill model takes them."""
        latent = extras.get("concat_latent_image")
        picture = torch.zeros(batch, self.latent_format.channels, *size) if latent is None else fit(latent, size, batch)
        ratio = self.latent_format.spatial_ratio
        mask = extras.get("concat_mask")
        mask = extras.get("denoise_mask") if mask is None else mask
        mask = torch.ones(1, 1, *size) if mask is None else mask.reshape(-1, 1, *mask.shape[-2:])
        mask = fit(mask, (size[0] * ratio, size[1] * ratio), batch)
        cut = functional.pixel_unshuffle(mask, ratio)  # [B, 64, h, w], rows of 8 x 8 in order
        return torch.cat([model.latent_format.process_in(picture), cut.to(picture.device)], dim=1)


def _biased(bias: Tensor, seen: Tensor) -> Tensor:
    """What is added to attention, `[B, 1, N, N]`: tokens of a group look at each other as they are, all others with its bias."""
    whole = functional.pad(bias, (0, seen.shape[1]))  # a picture's tokens are of the words' group
    weight, group = whole[:, 0], whole[:, 1]
    outside = group[:, :, None] != group[:, None, :]
    return torch.where(outside, weight[:, None, :], 0.0)[:, None].to(seen.dtype)


def _placed(values: Mapping[str, Any], rows: int, columns: int) -> list[tuple[Tensor, Tensor]]:
    """Reference pictures with the places of their tokens, beside a picture of that many rows and columns.

    `offset`: all of index 1, beside or below each other so that they stay compact; `index`: numbered, each at the origin; `uxo`: of the
    picture's own index, one after the other along the diagonal behind it (Wu et al. 2025, "Less-to-More Generalization").
    """
    placed: list[tuple[Tensor, Tensor]] = []
    method = values.get(METHOD)
    height, width = (rows, columns) if method == "uxo" else (0, 0)
    number = 0
    while (key := f"{REFERENCES}.{number}") in values:
        picture = padded_to(values[key], PATCH)
        high, wide = picture.shape[-2] // PATCH, picture.shape[-1] // PATCH
        if method == "index":
            index, top, left = number + 1, 0, 0
        elif method == "uxo":
            index, top, left = 0, height, width
            height, width = height + high, width + wide
        else:
            index, (top, left) = 1, (0, width) if high + height > wide + width else (height, 0)
            height, width = max(height, high + top), max(width, wide + left)
        placed.append((picture, grid(high, wide, index=index, top=top, left=left)))
        number += 1
    return placed


FAMILY = Flux()
