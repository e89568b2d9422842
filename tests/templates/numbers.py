"""Weights in eight bits, as they are published: plain, or with a scale beside each."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

State: TypeAlias = "dict[str, Tensor]"
NARROW = torch.float8_e4m3fn
MARK = "scaled_fp8"


def _is_matrix(name: str, tensor: Tensor) -> bool:
    return tensor.ndim == 2 and name.endswith(".weight") and "embed" not in name and "shared" not in name


def eighths(state: State) -> State:
    """Everything rounded to eight bits, as the first Flux files in eight bits are."""
    return {name: tensor.to(NARROW) for name, tensor in state.items()}


def scaled_eighths(state: State, prefix: str = "") -> State:
    """Matrices in eight bits with a `scale_weight` beside each, the rest in sixteen, and the mark that says so."""
    made: State = {f"{prefix}{MARK}": torch.zeros(2, dtype=NARROW)}
    for name, tensor in state.items():
        if name.startswith(prefix) and _is_matrix(name, tensor):
            scale = tensor.abs().max() / torch.finfo(NARROW).max
            made[name] = (tensor / scale).to(NARROW)
            made[name.removesuffix("weight") + "scale_weight"] = scale.float()
        else:
            made[name] = tensor.half()
    return made
