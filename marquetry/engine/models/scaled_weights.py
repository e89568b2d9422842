"""Weights in eight bits with a scale beside each, read as they are meant: value times scale.

Two spellings are published: `x.scale_weight` (with `scaled_fp8` as the file's mark, and `x.scale_input` for hardware that multiplies in
eight bits) and `x.weight_scale` (with `x.input_scale` and `x.comfy_quant`). A scale is one number, or one for each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.models.safetensors_file import Header, TensorInfo

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.weights import Weights

NARROW = frozenset({"F8_E4M3", "F8_E5M2"})
WIDE = "F32"
SCALES = ("scale_weight", "weight_scale")
BESIDE = (*SCALES, "scale_input", "input_scale", "comfy_quant")
MARK = "scaled_fp8"


class ScaledWeights:
    """Another file's tensors, those with a scale widened; the scales themselves are not shown."""

    def __init__(self, inner: Weights, scales: Mapping[str, str]) -> None:
        self._inner = inner
        self._scales = scales
        modules = {weight.removesuffix("weight") for weight in scales}
        hidden = {module + name for module in modules for name in BESIDE}
        tensors = {
            name: TensorInfo(WIDE, info.shape) if name in scales else info
            for name, info in inner.header.items()
            if name not in hidden and name.rpartition(".")[2] != MARK
        }
        self.header: Header = replace(inner.header, tensors=tensors)

    def tensor(self, name: str) -> Tensor:
        tensor = self._inner.tensor(name)
        if name not in self._scales:
            return tensor
        scale = self._inner.tensor(self._scales[name]).float()
        if scale.numel() == 1:
            return tensor.float() * scale.reshape(())
        if scale.numel() == tensor.shape[0]:
            return tensor.float() * scale.reshape(-1, *(1,) * (tensor.ndim - 1))
        raise ModelFormatError(
            f"{self.header.source}: the scale of '{name}' has {scale.numel()} numbers; one is read, or one for each of {tensor.shape[0]} rows",
            file=self.header.source,
        )


def unscaled(weights: Weights) -> Weights:
    """The weights as they are meant: these themselves where nothing is scaled."""
    header = weights.header
    scales = {
        weight: name
        for name in header
        if name.rpartition(".")[2] in SCALES
        and (weight := f"{name.rpartition('.')[0]}.weight") in header
        and header[weight].dtype in NARROW
    }
    marked = any(name.rpartition(".")[2] == MARK for name in header)
    return ScaledWeights(weights, scales) if scales or marked else weights
