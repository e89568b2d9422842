"""A ControlNet of Flux that reads more than a picture's latent: what is to stay of it, four channels to a token (alimama-creative 2024)."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import FluxControlNetModel


class FluxInpaintingControlNet(FluxControlNetModel):
    """As diffusers' FluxControlNetModel, with a wider way in for the hint."""

    def __init__(self, *, extra_condition_channels: int, **config: Any) -> None:
        super().__init__(**config)  # type: ignore[no-untyped-call]
        width = config["num_attention_heads"] * config["attention_head_dim"]
        self.controlnet_x_embedder = torch.nn.Linear(config["in_channels"] + extra_condition_channels, width)
