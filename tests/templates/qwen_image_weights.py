"""Tiny files of Qwen-Image: denoiser in eight bits, text encoder in eight bits with scales, autoencoder, LoRAs."""

from __future__ import annotations

from typing import Any

import torch

from tests.engine.models.control.tiny import calmed
from tests.engine.models.families import test_qwen_image
from tests.engine.models.families.tiny import seeded, stirred
from tests.templates.numbers import State, eighths, scaled_eighths

RANK = 4
PATCH_PIXELS = 4  # latent pixels to a token, of each of which the inpainting one is told whether to keep it


def denoiser() -> State:
    return eighths(dict(test_qwen_image.parts()["transformer"].state_dict()))


def words() -> State:
    """Language model and eyes."""
    return scaled_eighths(test_qwen_image.published_text())


def autoencoder() -> State:
    return test_qwen_image.published_vae()


def control(extra: int = 0) -> State:
    """InstantX's, in diffusers' names; `extra` channels tell what to keep."""
    from diffusers import QwenImageControlNetModel

    kind: Any = QwenImageControlNetModel
    base = test_qwen_image.parts()["transformer"].config
    with seeded(52 + extra):
        network = kind(
            in_channels=base.in_channels, out_channels=base.out_channels, num_layers=1, attention_head_dim=base.attention_head_dim,
            num_attention_heads=base.num_attention_heads, joint_attention_dim=base.joint_attention_dim, axes_dims_rope=base.axes_dims_rope,
            extra_condition_channels=extra,
        )  # fmt: skip
        return dict(calmed(stirred(network)).state_dict())


def inpainting_control() -> State:
    return control(PATCH_PIXELS)


def lightning() -> State:
    """LoRAs for few steps: kohya's ends on diffusers' names, without a prefix."""
    return _lora("{}.lora_down.weight", "{}.lora_up.weight", alpha=True)


def union() -> State:
    """As DiffSynth publishes its LoRAs: PEFT's names with the name of the adapter in them."""
    return _lora("{}.lora_A.default.weight", "{}.lora_B.default.weight", alpha=False)


def _lora(down: str, up: str, *, alpha: bool) -> State:
    made: State = {}
    with seeded(51):
        for name, parameter in test_qwen_image.parts()["transformer"].named_parameters():
            if parameter.ndim == 2 and ".attn." in name:
                module = name.removesuffix(".weight")
                made[down.format(module)] = torch.randn(RANK, parameter.shape[1]) * 0.1
                made[up.format(module)] = torch.randn(parameter.shape[0], RANK) * 0.1
                if alpha:
                    made[f"{module}.alpha"] = torch.tensor(float(RANK))
    return made
