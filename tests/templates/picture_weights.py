"""Tiny files of networks that work on pictures: upscalers and encoders."""

from __future__ import annotations

from typing import Any

from marquetry.engine.models.upscaling import spandrel
from tests.engine.models.families.tiny import seeded, stirred
from tests.templates.numbers import State

SIZES: dict[str, Any] = {"intermediate_size": 96, "num_hidden_layers": 3, "patch_size": 14}
CLIP_WIDTH, SIGLIP_WIDTH = 128, 128


def real_esrgan() -> State:
    """An ESRGAN that makes four times as large, by the names of its first publication."""
    kind = spandrel().architectures.ESRGAN.ESRGAN
    with seeded(61):
        return dict(kind(num_filters=8, num_blocks=1, scale=4).state_dict())


def clip_g() -> State:
    """An encoder of pictures whose embeddings are as wide as those of SDXL's prompts."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    with seeded(62):
        config = CLIPVisionConfig(**SIZES, image_size=56, hidden_size=CLIP_WIDTH, num_attention_heads=2, projection_dim=CLIP_WIDTH)
        return _published(CLIPVisionModelWithProjection(config))


def siglip() -> State:
    from transformers import SiglipVisionConfig, SiglipVisionModel

    with seeded(63):
        return _published(SiglipVisionModel(SiglipVisionConfig(**SIZES, image_size=84, hidden_size=SIGLIP_WIDTH, num_attention_heads=2)))


def _published(network: Any) -> State:
    state = stirred(network).state_dict()
    bare = ("vision_model.", "visual_projection.")
    return {name if name.startswith(bare) else f"vision_model.{name}": tensor for name, tensor in state.items()}
