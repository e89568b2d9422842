"""Price: the one function that makes quotes and charges, of usage, plan, price book, date and royalties. Whole micro-credits throughout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from marquetry.engine.usage import Usage
from marquetry.marketplace.ledger.splits import RULES, Basis, Royalty, SplitRule, divide
from marquetry.marketplace.pricing.book import Books
from marquetry.marketplace.pricing.modifiers import Factor
from marquetry.marketplace.pricing.row import PriceRow
from marquetry.marketplace.pricing.royalties import RoyaltyLine

QUOTA_OPERATIONS = ("image.", "i2i.")
"""What the operations begin with that a plan's number of images covers."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What was agreed when a run was quoted. Charges are made under the same, whenever its nodes finish.

    Operations cost whole units of `rounding_microcredits`. `split_basis`: creators have a part of their royalties, or of the whole charge.
    """

    plan: str
    book: str
    priced_ms: int
    rounding_microcredits: int
    factors: tuple[Factor, ...] = ()
    split_basis: Basis = "royalty"


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A step from the price of the book to the amount, such as a factor, rounding, or what a quota covers."""

    name: str
    reason: str
    amount_microcredits: int


@dataclass(frozen=True, slots=True)
class OperationLine:
    """What an operation costs. `covered` of its quantity are paid by a quota; `cost` is the operator's."""

    operation: str
    quantity: int
    unit: str
    unit_price_microcredits: int
    amount_microcredits: int
    adjustments: tuple[Adjustment, ...] = ()
    covered: int = 0
    cost_microcredits: int = 0


@dataclass(frozen=True, slots=True)
class RoyaltyCharge:
    """What a listing gets, and how much of it its creator earns by which split."""

    listing: str
    creator: str
    listing_type: str
    mode: str
    amount_microcredits: int
    earned_microcredits: int
    split: str
    resource: str = ""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a node costs, line by line."""

    operations: tuple[OperationLine, ...] = ()
    royalties: tuple[RoyaltyCharge, ...] = ()

    @property
    def operations_microcredits(self) -> int:
        return sum(line.amount_microcredits for line in self.operations)

    @property
    def royalties_microcredits(self) -> int:
        return sum(line.amount_microcredits for line in self.royalties)

    @property
    def amount_microcredits(self) -> int:
        return self.operations_microcredits + self.royalties_microcredits

    @property
    def cost_microcredits(self) -> int:
        return sum(line.cost_microcredits for line in self.operations)

    @property
    def covered(self) -> int:
        return sum(line.covered for line in self.operations)


@dataclass(frozen=True, slots=True)
class PriceList:
    """The books and the splits of an installation."""

    books: Books
    splits: tuple[SplitRule, ...] = RULES

    def charge(
        self,
        usages: Sequence[Usage],
        conditions: Conditions,
        royalties: Sequence[RoyaltyLine] = (),
        *,
        covered: int = 0,
        maximum_microcredits: int | None = None,
        settled: bool = False,
    ) -> Charge:
        """What an execution costs that consumed `usages` and owes `royalties`; a quota pays for up to `covered` of its images.

        Never less for more, and its operations never above `maximum_microcredits`. `settled`: the royalties were brought within the bounds of
        the book before. Raises UnknownOperation.
        """
        rows = [self.books.row(conditions.book, usage.operation, conditions.priced_ms) for usage in usages]
        setting = next((row for row in rows if row.creator_sets), None)
        owed = tuple(royalties) if settled else tuple(_bounded(line, setting) for line in royalties)
        lines: list[OperationLine] = []
        for usage, row in zip(usages, rows, strict=True):
            quota = min(covered, usage.quantity) if usage.operation.startswith(QUOTA_OPERATIONS) else 0
            covered -= quota
            listed = len(royalties) if row.creator_sets else 0
            lines.append(_operation(usage, row, conditions, quota, listed))
        within = tuple(lines) if maximum_microcredits is None else _capped(lines, maximum_microcredits)
        return self._divided(within, owed, conditions)

    def bound(self, usages: Sequence[Usage], conditions: Conditions) -> int:
        """What royalties may come to where it is not known yet what they are for; only for operations whose creators' prices are bounded."""
        rows = [(usage, self.books.row(conditions.book, usage.operation, conditions.priced_ms)) for usage in usages]
        return sum(usage.quantity * (row.max_microcredits or 0) for usage, row in rows if row.creator_sets)

    def _divided(self, lines: tuple[OperationLine, ...], owed: tuple[RoyaltyLine, ...], conditions: Conditions) -> Charge:
        if not owed:
            return Charge(lines)
        rules = (
            self.splits
            if conditions.split_basis == "royalty"
            else tuple(replace(rule, basis=conditions.split_basis) for rule in self.splits)
        )
        asked = [Royalty(line.creator, line.listing, line.listing_type, line.amount_microcredits) for line in owed]
        at_ms = conditions.priced_ms
        shares = divide(asked, compute_microcredits=Charge(lines).operations_microcredits, at_ms=at_ms, rules=rules)
        charges = tuple(
            RoyaltyCharge(
                listing=line.listing,
                creator=line.creator,
                listing_type=line.listing_type,
                mode=line.mode,
                amount_microcredits=line.amount_microcredits,
                earned_microcredits=share.amount_microcredits,
                split=share.split,
                resource=line.resource,
            )
            for line, share in zip(owed, shares, strict=True)
        )
        return Charge(lines, charges)


def _bounded(line: RoyaltyLine, row: PriceRow | None) -> RoyaltyLine:
    if row is None or line.mode != "per_use":
        return line
    return replace(line, amount_microcredits=row.within(line.amount_microcredits))


def _operation(usage: Usage, row: PriceRow, conditions: Conditions, covered: int, listed: int) -> OperationLine:
    """`listed` applications are priced by their creators, in the royalties."""
    full = row.price(max(0, usage.quantity - listed))
    amount = row.price(max(0, usage.quantity - listed - covered))
    steps: list[Adjustment] = []
    if covered:
        steps.append(Adjustment("quota", f"{covered} of the plan's images", amount - full))
    for factor in conditions.factors:
        changed = factor.applied(amount)
        if changed != amount:
            steps.append(Adjustment(factor.name, factor.reason, changed - amount))
        amount = changed
    rounded = -(-amount // conditions.rounding_microcredits) * conditions.rounding_microcredits
    if rounded != amount:
        steps.append(Adjustment("rounding", "to whole units", rounded - amount))
    return OperationLine(usage.operation, usage.quantity, row.unit, row.price(1), rounded, tuple(steps), covered, row.cost(usage.quantity))


def _capped(lines: Sequence[OperationLine], maximum_microcredits: int) -> tuple[OperationLine, ...]:
    """The same at no more than that in all: nobody pays more than they were told."""
    left = max(0, maximum_microcredits)
    kept: list[OperationLine] = []
    for line in lines:
        over = line.amount_microcredits - left
        if over > 0:
            step = Adjustment("quote", "not above the quote", -over)
            line = replace(line, amount_microcredits=left, adjustments=(*line.adjustments, step))
        left -= line.amount_microcredits
        kept.append(line)
    return tuple(kept)
