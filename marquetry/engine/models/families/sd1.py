"""Stable Diffusion 1 (Rombach et al. 2022): eight heads on every level, 1x1 convolutions around attention, CLIP ViT-L text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marquetry.engine.models.layout.unet import UNetSizes
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.stable_diffusion import END_TOKEN, StableDiffusion, transformers_part, transformers_text
from marquetry.engine.models.text.part import TextEncoderPart

HEADS = 8
OPEN_CLIP_WIDTH = 1024


class StableDiffusion1(StableDiffusion):
    """SD 1.1 to 1.5, inpainting (9 channels) and instruct-pix2pix (8) included, at any size."""

    id = "sd1"
    text_role = "clip_l"
    original_text_prefix = "cond_stage_model.transformer.text_model."

    def is_denoiser(self, sizes: UNetSizes) -> bool:
        return not sizes.linear_projection and not sizes.vector_width

    def attention_heads(self, sizes: UNetSizes) -> int:
        return HEADS

    def text_part(self, header: Header, hints: Mapping[str, Any]) -> tuple[TextEncoderPart, str] | None:
        found = transformers_text(header)
        options = hints.get("text_encoder", {})
        if found is None or found[1].width == OPEN_CLIP_WIDTH or options.get("hidden_act") == "gelu":
            return None
        prefix, sizes = found
        return transformers_part(header, prefix, sizes, "quick_gelu", options, pad_token=END_TOKEN), prefix


FAMILY = StableDiffusion1()
