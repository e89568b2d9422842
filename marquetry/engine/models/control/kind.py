"""ControlKind: what one architecture of control knows of itself. A kind's file defines `KIND`; nothing else names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from marquetry.engine.models.network import NetworkRecipe
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.weights import Weights

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.control.control_net import AppliedControl, ControlNet
    from marquetry.engine.models.model import Model

Residuals: TypeAlias = "dict[str, list[Tensor]]"
"""What is added to a denoiser, by the argument of its call: feature maps [B, C, h, w], or tokens of 2 x 2 latent pixels [B, N, D]."""


@dataclass(frozen=True)
class FoundControl:
    """What a kind recognises in a file. `families` are those of the denoisers that it steers."""

    kind: str
    families: tuple[str, ...]
    layout: str
    recipe: NetworkRecipe
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ControlCall:
    """One evaluation. `x`, `time` and `values` are what the denoiser is given; `hint` what the kind made of the picture, for `x`'s batch."""

    net: ControlNet
    network: Any
    denoiser: Any
    x: Tensor
    time: Tensor
    values: Mapping[str, Any]
    hint: list[Tensor]


class ControlKind(Protocol):
    """One architecture: detection from names and shapes alone, what it makes of a picture, what it is given."""

    id: str
    needs_vae: bool  # whether it takes pictures as latents
    types: Mapping[str, int]  # numbers of the sorts of pictures that a union of many is told, by ComfyUI's words

    def recognise(self, header: Header) -> FoundControl | None:
        """What the file holds of this kind, or None."""
        ...

    def told(self, weights: Weights) -> Mapping[str, Any]:
        """Facts that stand in the file's tensors."""
        ...

    def hint(self, applied: AppliedControl, network: Any, model: Model, size: tuple[int, int]) -> list[Tensor]:
        """What the network makes of the picture once a run, for a latent of that size; each with the picture's batch."""
        ...

    def residuals(self, call: ControlCall) -> Residuals:
        """What it adds at full strength."""
        ...
