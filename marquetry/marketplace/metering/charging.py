"""Charging: from what was agreed and what finished to what each node costs. Pure; `record` writes it down.

A submitted node never costs more than its line of the quote: what it grew into is paid from that line. A node is charged once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from marquetry.engine.usage import Usage
from marquetry.marketplace.metering.facts import FinishedNode
from marquetry.marketplace.metering.terms import NodeTerms, Terms, node_key
from marquetry.marketplace.pricing.errors import UnknownOperation
from marquetry.marketplace.pricing.price import Charge, PriceList
from marquetry.marketplace.pricing.royalties import RoyaltyBook, RoyaltyLine

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Execution:
    """One charged node. `unbilled_microcredits` is what it would have cost beyond the quote."""

    run_id: str
    node_id: str
    origin_id: str
    type_id: str
    free: bool
    charge: Charge
    unbilled_microcredits: int
    duration_ms: int
    finished_ms: int
    signature: str | None = None

    @property
    def key(self) -> str:
        return node_key(self.node_id)


@dataclass(slots=True)
class Spent:
    """What was taken of one node's line of the quote."""

    operations_microcredits: int = 0
    covered: int = 0
    listings: Counter[str] = field(default_factory=Counter)
    royalties_microcredits: int = 0


class Account:
    """One run's charges: what was agreed, and what was charged so far, by this server or another."""

    def __init__(self, terms: Terms, prices: PriceList, book: RoyaltyBook) -> None:
        self.terms = terms
        self._prices = prices
        self._book = book
        self._done: set[str] = set()
        self._spent: dict[str, Spent] = {}

    def note(self, key: str, origin_id: str, operations_microcredits: int, covered: int, listings: Iterable[tuple[str, int]]) -> None:
        """A charge that stands; `listings` are those used, each with its royalty."""
        self._done.add(key)
        spent = self._spent.setdefault(origin_id, Spent())
        spent.operations_microcredits += operations_microcredits
        spent.covered += covered
        for listing, amount in listings:
            spent.listings[listing] += 1
            spent.royalties_microcredits += amount

    def finished(self, fact: FinishedNode) -> Execution | None:
        """What a finished node costs; None when it has been charged, or costs nothing and was promised nothing."""
        if node_key(fact.node_id) in self._done:
            return None
        own = self.terms.nodes.get(fact.node_id)
        origin = own or self.terms.nodes.get(fact.origin_id)
        if own is None and not fact.usage:
            return None
        origin_id = fact.node_id if own is not None or origin is None else fact.origin_id
        usages = () if fact.free or fact.grew else fact.usage
        royalties = self._royalties(fact, own, origin, self._spent.get(origin_id, Spent()))
        return self._charged(fact, origin_id, own, origin, usages, royalties)

    def due(self, spared: frozenset[str], now_ms: int) -> list[Execution]:
        """What a completed run owes although nothing was heard of the nodes: what was made of them came from the cache."""
        found: list[Execution] = []
        for id, terms in self.terms.nodes.items():
            if terms.certain and terms.royalties and id not in spared and terms.display_id not in spared:
                execution = self.finished(FinishedNode(id, id, True, False, (), 0, now_ms))
                if execution is not None:
                    found.append(execution)
        return found

    def _royalties(self, fact: FinishedNode, own: NodeTerms | None, origin: NodeTerms | None, spent: Spent) -> tuple[RoyaltyLine, ...]:
        """Of the royalties that the line of the quote names, those that are due now; of weights that it could not name, those used."""
        if origin is None:
            return ()
        left = _left(origin.royalties, spent.listings)
        used = {resource for usage in fact.usage for resource in usage.resources}
        if own is None:
            return tuple(line for line in left if line.resource in used)
        unknown = used - {line.resource for line in origin.royalties}
        if not own.unknown_microcredits or not unknown:
            return left
        return (*left, *self._bounded(self._book.lines(sorted(unknown), self.terms.owner, self.terms.conditions.priced_ms), own))

    def _bounded(self, lines: Sequence[RoyaltyLine], own: NodeTerms) -> tuple[RoyaltyLine, ...]:
        left = own.unknown_microcredits
        kept: list[RoyaltyLine] = []
        for line in lines:
            if line.amount_microcredits <= left:
                left -= line.amount_microcredits
                kept.append(line)
        return tuple(kept)

    def _charged(
        self,
        fact: FinishedNode,
        origin_id: str,
        own: NodeTerms | None,
        origin: NodeTerms | None,
        usages: tuple[Usage, ...],
        royalties: tuple[RoyaltyLine, ...],
    ) -> Execution:
        spent = self._spent.get(origin_id, Spent())
        covered = 0 if origin is None else origin.covered - spent.covered
        most = 0 if origin is None else origin.operations_microcredits - spent.operations_microcredits
        priced = self._priced(usages)
        conditions = self.terms.conditions
        whole = self._prices.charge(priced, conditions, royalties, covered=covered, settled=True)
        charge = self._prices.charge(priced, conditions, royalties, covered=covered, maximum_microcredits=most, settled=True)
        used = [(line.listing, line.amount_microcredits) for line in charge.royalties]
        self.note(node_key(fact.node_id), origin_id, charge.operations_microcredits, charge.covered, used)
        return Execution(
            run_id=self.terms.run_id,
            node_id=fact.node_id,
            origin_id=origin_id,
            type_id="" if origin is None else origin.type_id,
            free=fact.free,
            charge=charge,
            unbilled_microcredits=whole.operations_microcredits - charge.operations_microcredits,
            duration_ms=fact.duration_ms,
            finished_ms=fact.finished_ms,
            signature=None if own is None or not own.quoted.operations else own.signature,
        )

    def _priced(self, usages: Sequence[Usage]) -> list[Usage]:
        """Those that a book has a price for: an operation without one must not keep a run from ending."""
        found: list[Usage] = []
        for usage in usages:
            try:
                self._prices.books.row(self.terms.conditions.book, usage.operation, self.terms.conditions.priced_ms)
            except UnknownOperation as error:
                logger.error("run %s: %s", self.terms.run_id, error)
            else:
                found.append(usage)
        return found


def _left(lines: Sequence[RoyaltyLine], used: Counter[str]) -> tuple[RoyaltyLine, ...]:
    remaining = Counter(used)
    left: list[RoyaltyLine] = []
    for line in lines:
        if remaining[line.listing] > 0:
            remaining[line.listing] -= 1
        else:
            left.append(line)
    return tuple(left)
