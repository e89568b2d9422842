"""Adapter: a LoRA or its kin as read from a file, what of it fits a network, and with which strength it is applied.

Immutable; base weights are never touched, so people with different adapters share one resident network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from marquetry.engine.models.adapters.delta import is_targetable, weight_of
from marquetry.engine.models.adapters.targets import slots_of
from marquetry.engine.models.adapters.transformer_targets import Slot
from marquetry.engine.models.adapters.widening import beside

if TYPE_CHECKING:
    from torch import nn

    from marquetry.engine.models.adapters.delta import Delta

Part: TypeAlias = Literal["unet", "text_encoder", "text_encoder_2", "text_encoder_3"]


@dataclass(frozen=True, eq=False)
class PublishedDelta:
    """A delta under its published name. `key` is the module's name within its part, dots as underscores.

    `part` is None where the name doesn't say which network it is for.
    """

    name: str
    part: Part | None
    key: str
    delta: Delta


@dataclass(frozen=True, eq=False)
class Adapter:
    """What a file holds. `content_hash` identifies it; `base` says in words which base model it seems made for.

    `unknown` are names of tensors of no format that is known.
    """

    name: str
    content_hash: str
    deltas: tuple[PublishedDelta, ...]
    unknown: tuple[str, ...] = ()
    base: str = "an unknown base model"

    def for_network(self, network: nn.Module, part: Part = "unet") -> MatchedAdapter:
        """The deltas that fit modules of the network, by module path. Only names and shapes are looked at."""
        slots = slots_of(network)
        targets: dict[str, Delta] = {}
        matched: set[str] = set()
        misfits: list[str] = []
        more: Delta | None = None
        for published in self.deltas:
            if published.part not in (part, None):
                continue
            found = slots.get(published.key)
            if found is None:
                misfits.append(published.name)
                continue
            try:
                parts = _beside(network, found[0], published.delta)
                if parts is not None:
                    fitted, more = {found[0].path: parts[0]}, parts[1]
                else:
                    fitted = {slot.path: _fitted(network, slot, published.delta) for slot in found}
            except MisfitError as misfit:
                misfits.append(f"{published.name} ({misfit})")
                continue
            targets |= fitted
            matched.add(published.name)
        return MatchedAdapter(self, part, targets, frozenset(matched), tuple(misfits), more)

    def unmatched(self, *matches: MatchedAdapter) -> tuple[str, ...]:
        """What none of the matches uses: names of unknown tensors, and published names with the reason where there is one."""
        matched = frozenset[str]().union(*(match.matched for match in matches))
        reasons = {misfit.partition(" (")[0]: misfit for match in matches for misfit in match.misfits}
        return self.unknown + tuple(reasons.get(delta.name, delta.name) for delta in self.deltas if delta.name not in matched)

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for published in self.deltas for tensor in published.delta.tensors())


@dataclass(frozen=True, eq=False)
class MatchedAdapter:
    """The part of an adapter that fits one network. `misfits` are published names of that part that found no place."""

    adapter: Adapter
    part: Part
    targets: Mapping[str, Delta]
    matched: frozenset[str]
    misfits: tuple[str, ...]
    beside: Delta | None = None

    def applied(self, strength: float) -> AppliedAdapter:
        return AppliedAdapter(self.adapter, strength, self.targets, self.part, self.beside)


@dataclass(frozen=True, eq=False)
class AppliedAdapter:
    """An adapter with its strength for one network; `targets` are its deltas by module path, `beside` what it makes of channels that
    the network does not read without it."""

    adapter: Adapter
    strength: float
    targets: Mapping[str, Delta]
    part: Part = "unet"
    beside: Delta | None = None

    @property
    def widens_by(self) -> int:
        """How many channels more the network reads with it."""
        return 0 if self.beside is None else self.beside.size[1] or 0

    @property
    def key(self) -> tuple[str, str, float]:
        """Equal keys change one and the same network in the same way."""
        return self.adapter.content_hash, self.part, self.strength


class MisfitError(Exception):
    """A delta's shape isn't that of the module which its name means."""


def _beside(network: nn.Module, slot: Slot, delta: Delta) -> tuple[Delta, Delta] | None:
    try:
        return beside(network, slot.path, delta)
    except NotImplementedError as refusal:
        raise MisfitError(str(refusal)) from refusal


def _fitted(network: nn.Module, slot: Slot, delta: Delta) -> Delta:
    module = network.get_submodule(slot.path)
    if not is_targetable(module):
        raise MisfitError(f"a {type(module).__name__} can't be adapted")
    shape = tuple(weight_of(module).shape)
    whole = (slot.whole or shape[0], *shape[1:])
    if not delta.fits(whole):
        raise MisfitError(f"made for a weight {list(delta.size)}, this one is {list(whole)}")
    try:
        if slot.whole:
            return delta.rows(slot.start, slot.start + shape[0])
        return delta.swapped() if slot.swapped else delta
    except NotImplementedError as refusal:
        raise MisfitError(str(refusal)) from refusal
