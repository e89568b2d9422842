"""Writing weights: one safetensors file, whole or not at all, the same bytes for the same contents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from marquetry.engine.training.single_file import with_ordered_header


def write_weights(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], dtype: torch.dtype | None = torch.float16
) -> None:
    """Writes tensors as `dtype`, or as they are without one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().cpu().to(dtype or tensor.dtype).contiguous().clone() for name, tensor in sorted(tensors.items())}
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(with_ordered_header(save(plain, metadata={"format": "pt"} | dict(metadata))))
    partial.replace(path)
