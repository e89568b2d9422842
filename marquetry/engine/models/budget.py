"""Budget: which device is used, how many bytes of networks it may hold, and in which type weights are kept there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marquetry.engine.errors import EngineError
from marquetry.engine.lazy import torch

if TYPE_CHECKING:
    from torch import device, dtype

CPU_SHARE = 0.6
GPU_RESERVE_BYTES = 3 * 2**30  # for activations and for whoever else draws on the device
GPU_SHARE_AT_LEAST = 0.5
DTYPES = ("float32", "float16", "bfloat16")
SHORT_NAMES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def best_device() -> device:
    """The accelerator if there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def default_budget_bytes(place: device) -> int:
    """What networks may take: 60 % of RAM, or the accelerator's memory less a reserve for activations."""
    if place.type == "cuda":
        total = int(torch.cuda.get_device_properties(place).total_memory)
        return max(total - GPU_RESERVE_BYTES, int(total * GPU_SHARE_AT_LEAST))
    import psutil  # type: ignore[import-untyped,unused-ignore]

    return int(psutil.virtual_memory().total * CPU_SHARE)


def default_dtype(place: device, part: str) -> dtype:
    """float32 on the CPU; float16 on an accelerator, but for autoencoders, the published ones of which overflow in it."""
    if place.type == "cpu":
        return torch.float32
    if part != "vae":
        return torch.float16
    return torch.bfloat16 if place.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32


def dtype_named(name: str) -> dtype:
    """`float16`, `fp16`, ... as torch's type. Raises EngineError for types in which no network here computes."""
    full = SHORT_NAMES.get(name, name)
    if full not in DTYPES:
        raise EngineError(f"networks compute in {', '.join(DTYPES)}, not in '{name}'")
    found: dtype = getattr(torch, full)
    return found
