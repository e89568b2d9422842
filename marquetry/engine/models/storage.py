"""Storage types: weights kept in float8 and widened when a layer runs, which halves or quarters a network's memory."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from marquetry.engine.lazy import functional, torch

if TYPE_CHECKING:
    from torch import Tensor, dtype, nn


MODULATION = "norm"  # diffusers' name for matrices that scale and shift too, which are much of what is to be saved


def storable(network: nn.Module) -> frozenset[str]:
    """The names of the weights that may be kept in a narrow type: those of matrices and convolutions, but for sensitive embedders.

    Which those are a network of diffusers says itself.
    """
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    sensitive = [pattern for pattern in getattr(network, "_skip_layerwise_casting_patterns", None) or () if pattern != MODULATION]
    return frozenset(
        f"{path}.weight"
        for path, module in network.named_modules()
        if type(module) in kinds and not any(re.search(pattern, path) for pattern in sensitive)
    )


def widen_when_run(network: nn.Module, computed: dtype) -> None:
    """Let layers whose weights are kept in another type than `computed` widen them for each call, leaving what is kept untouched."""
    for module in network.modules():
        if type(module) is torch.nn.Linear and module.weight.dtype != computed:
            module.forward = partial(_linear, module)  # type: ignore[method-assign]
        elif type(module) is torch.nn.Conv2d and module.weight.dtype != computed:
            module.forward = partial(_convolution, module)  # type: ignore[method-assign]


def _linear(module: nn.Linear, x: Tensor) -> Tensor:
    output: Tensor = functional.linear(x, module.weight.to(x.dtype), module.bias)
    return output


def _convolution(module: nn.Conv2d, x: Tensor) -> Tensor:
    output: Tensor = module._conv_forward(x, module.weight.to(x.dtype), module.bias)
    return output
