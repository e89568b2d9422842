"""Lines: charges as they are shown to who pays. What is inside a published graph is merged into one line, so that nothing of it can be read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from marquetry.marketplace.pricing.price import Charge, OperationLine, RoyaltyCharge

INSIDE = "graph.use"


@dataclass(frozen=True, slots=True)
class Line:
    """One submitted node: what it consumes, who earns by it, what it costs. `free`: the result was there, or likely is."""

    node_id: str
    type_id: str
    operations: tuple[OperationLine, ...]
    royalties: tuple[RoyaltyCharge, ...]
    amount_microcredits: int
    maximum_microcredits: int
    free: bool


@dataclass(frozen=True, slots=True)
class Part:
    """What one node adds to the line of the submitted node `display_id`."""

    id: str
    display_id: str
    type_id: str
    charge: Charge
    maximum_microcredits: int
    free: bool


def lines(parts: Iterable[Part], sealed: frozenset[str]) -> list[Line]:
    """A line for every submitted node, in their order. `sealed` are those that stand for published graphs."""
    groups: dict[str, list[Part]] = {}
    for part in parts:
        groups.setdefault(part.display_id, []).append(part)
    return [_sealed(id, group) if id in sealed else _open(id, group) for id, group in groups.items()]


def _open(id: str, group: list[Part]) -> Line:
    own = next((part for part in group if part.id == id), group[0])
    return Line(
        node_id=id,
        type_id=own.type_id,
        operations=tuple(line for part in group for line in part.charge.operations),
        royalties=tuple(line for part in group for line in part.charge.royalties),
        amount_microcredits=sum(part.charge.amount_microcredits for part in group),
        maximum_microcredits=sum(part.maximum_microcredits for part in group),
        free=all(part.free for part in group),
    )


def _sealed(id: str, group: list[Part]) -> Line:
    own = [part for part in group if part.id == id]
    inside = [part.charge for part in group if part.id != id]
    named = tuple(line for part in own for line in part.charge.royalties)
    hidden = sum(charge.royalties_microcredits for charge in inside)
    operations = sum(part.charge.operations_microcredits for part in group)
    covered = sum(part.charge.covered for part in group)
    merged = OperationLine(INSIDE, 1, "use", operations + hidden, operations + hidden, (), covered)
    return Line(
        node_id=id,
        type_id=own[0].type_id if own else "",
        operations=(merged,),
        royalties=named,
        amount_microcredits=sum(part.charge.amount_microcredits for part in group),
        maximum_microcredits=sum(part.maximum_microcredits for part in group),
        free=all(part.free for part in group),
    )
