"""Plan: what a subscription costs, what it grants and allows, and how prices are shown to its owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from marquetry.marketplace.plans.entitlements import Entitlements

Interval: TypeAlias = Literal["month", "year"]
INTERVALS: tuple[Interval, ...] = ("month", "year")
MODIFIERS = frozenset({"quality", "batch", "tier", "peak"})


@dataclass(frozen=True, slots=True)
class DisplayUnit:
    """What the owner sees credits as; charges of operations are whole numbers of it."""

    name: str
    microcredits: int

    def rounded_up(self, amount_microcredits: int) -> int:
        """Whole units."""
        return -(-amount_microcredits // self.microcredits)


@dataclass(frozen=True, slots=True)
class Plan:
    """`id` is `family:name`. `prices` are in minor units (cents, paise) by currency and interval; without any it is not for sale by itself.

    `grant_microcredits` is given at the start of each month. `role` is the one of free, starter, pro, business that other products know.
    """

    id: str
    title: str
    role: str
    book: str
    unit: DisplayUnit
    prices: Mapping[str, Mapping[Interval, int]]
    grant_microcredits: int
    entitlements: Entitlements
    modifiers: frozenset[str] = frozenset()
    contact_sales: bool = False
    note: str = ""

    @property
    def family(self) -> str:
        return self.id.partition(":")[0]

    @property
    def is_free(self) -> bool:
        return not self.prices and not self.contact_sales

    @property
    def rank(self) -> int:
        """Dearer plans come after; those that sales people make come last."""
        if self.contact_sales:
            return 2**40
        return max((price.get("month", 0) for price in self.prices.values()), default=0)
