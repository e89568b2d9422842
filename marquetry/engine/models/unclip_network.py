"""The UNet of Stable Diffusion 2.1 unCLIP, with the mean and deviation of picture embeddings that its checkpoint holds beside it."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel

_UNet: Any = UNet2DConditionModel


class PictureUNet(_UNet):  # type: ignore[misc]
    """diffusers' network; the two tensors `[1, P]` are loaded with its weights."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        width = int(config["projection_class_embeddings_input_dim"]) // 2
        self.register_buffer("picture_mean", torch.empty(1, width))
        self.register_buffer("picture_deviation", torch.empty(1, width))
