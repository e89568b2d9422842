"""Tiny files of Stable Diffusion 3.5 large: the checkpoint with its three text encoders, and the ControlNets that Stability published for it."""

from __future__ import annotations

from typing import Any

import torch

from marquetry.engine.models.control.sd3 import CANNY, DEPTH, SINGLE, TYPE
from tests.engine.models.control.tiny import calmed
from tests.engine.models.families import test_sd3
from tests.engine.models.families.tiny import seeded, stirred
from tests.templates.numbers import State, scaled_eighths

DENOISER = "model.diffusion_model."


def large() -> State:
    """Denoiser and T5 in eight bits with scales, as in the checkpoint that the templates name."""
    whole = scaled_eighths(test_sd3.original(test_sd3.pipeline(True)), DENOISER)
    return scaled_eighths(whole, "text_encoders.t5xxl.")


def control(sort: int = 0) -> State:
    """Stability's for 3.5 large: they read no prompt, keep queries, keys and values together, and say what they were trained on."""
    from diffusers import SD3ControlNetModel

    kind: Any = SD3ControlNetModel
    denoiser = test_sd3.pipeline(True).transformer.config
    with seeded(41 + sort):
        network = kind(
            sample_size=128, num_layers=2, attention_head_dim=64, num_attention_heads=denoiser.num_attention_heads, joint_attention_dim=None,
            caption_projection_dim=denoiser.caption_projection_dim, pooled_projection_dim=denoiser.pooled_projection_dim,
            extra_conditioning_channels=0, pos_embed_type=None, use_pos_embed=False, force_zeros_for_pooled_projection=False,
            in_channels=16, out_channels=16, patch_size=2, dual_attention_layers=(), qk_norm=None, pos_embed_max_size=None,
        )  # fmt: skip
        state = dict(calmed(stirred(network)).state_dict())
    made = {TYPE: torch.tensor([float(sort)])}
    for name, tensor in state.items():
        block, _, inner = name.partition(".attn.to_")
        if inner[:1] in ("k", "v") and block.startswith("transformer_blocks."):
            continue
        if inner.startswith("q."):
            end = inner.removeprefix("q.")
            made[f"{block}.attn.qkv.{end}"] = torch.cat([state[f"{block}.attn.to_{each}.{end}"] for each in "qkv"])
            continue
        for ours, theirs in SINGLE:
            name = name.replace(f".{ours}.", f".{theirs}.") if name.startswith("transformer_blocks.") else name
        made[name] = tensor
    return made


def canny_control() -> State:
    return control(CANNY)


def depth_control() -> State:
    return control(DEPTH)
