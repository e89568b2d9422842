"""Adapters that let a network read more channels than it was made for, as those that turn Flux into its depth and canny models do.

What such an adapter changes of the channels that the network has is applied as everything else; what it makes of those beside them is
added behind the layer that reads. The network itself stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import functional, torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from marquetry.engine.models.adapters.adapter import AppliedAdapter
    from marquetry.engine.models.adapters.delta import Delta

READER = "x_embedder"


def beside(network: nn.Module, path: str, delta: Delta) -> tuple[Delta, Delta] | None:
    """The two parts of a delta that is wider than the layer which reads: for its own channels, and for those beside them. None for others.

    Raises NotImplementedError for a delta that can't be cut.
    """
    layer = network.get_submodule(path)
    rows, columns = delta.size
    if path != READER or not isinstance(layer, torch.nn.Linear) or rows != layer.out_features or columns is None:
        return None
    own = layer.in_features
    first, second = (delta.columns(own), delta.columns(own, beyond=True)) if columns > own else (None, None)
    return None if first is None or second is None else (first, second)


def widened(network: Any, tokens: Tensor, adapters: Sequence[AppliedAdapter]) -> tuple[Any, Tensor]:
    """The network for one call, and what it reads of `tokens` [B, N, C]; what adapters make of the rest is added. Shares all weights."""
    layer = network.get_submodule(READER)
    own, rest = tokens[..., : layer.in_features], tokens[..., layer.in_features :]
    none = layer.weight.new_zeros(layer.out_features, rest.shape[-1])
    changes = [
        adapter.strength * adapter.beside.map(lambda part: part.to(none)).explicit(none)
        for adapter in adapters
        if adapter.beside is not None
    ]
    matrix = torch.stack([none, *changes]).sum(0)
    changed = copy.copy(network)
    changed._modules = {**network._modules, READER: _adding(layer, functional.linear(rest.to(matrix), matrix))}
    return changed, own


def _adding(layer: nn.Module, more: Tensor) -> nn.Module:
    class Adding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) + more  # type: ignore[no-any-return]

    return Adding()
