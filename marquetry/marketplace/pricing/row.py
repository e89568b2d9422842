"""PriceRow: what one operation costs in one book for a time. Amounts are micro-credits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Band:
    """The price of quantities up to `up_to` (None: all others): `base`, and `each` for every one beyond `included`."""

    base_microcredits: int
    up_to: int | None = None
    included: int = 0
    each_microcredits: int = 0

    def price(self, quantity: int) -> int:
        return self.base_microcredits + self.each_microcredits * max(0, quantity - self.included)


@dataclass(frozen=True, slots=True)
class PriceRow:
    """`per` units that were begun cost `base`; 0: it costs that once, however many there are. With `bands` the quantity chooses one.

    `creator_sets`: whoever published what the node applies sets the price, within `min` and `max`; without them it is `base`.
    `cost` is what it costs the operator, per the same units; `families` are the models that it is for, where it is for some only. Valid from `valid_from_ms` until before `valid_to_ms`.
    """

    book: str
    operation: str
    unit: str
    base_microcredits: int
    min_microcredits: int | None = None
    max_microcredits: int | None = None
    creator_sets: bool = False
    per: int = 1
    bands: tuple[Band, ...] = ()
    cost_microcredits: int = 0
    valid_from_ms: int = 0
    valid_to_ms: int | None = None
    families: tuple[str, ...] = ()
    note: str = ""

    def valid_at(self, now_ms: int) -> bool:
        return self.valid_from_ms <= now_ms and (self.valid_to_ms is None or now_ms < self.valid_to_ms)

    def price(self, quantity: int) -> int:
        """What a quantity costs; never less for more."""
        if quantity <= 0:
            return 0
        for band in self.bands:
            if band.up_to is None or quantity <= band.up_to:
                return band.price(quantity)
        return self.base_microcredits * self.portions(quantity)

    def cost(self, quantity: int) -> int:
        """What a quantity costs the operator."""
        if quantity <= 0:
            return 0
        if self.bands and self.base_microcredits:
            return self.price(quantity) * self.cost_microcredits // self.base_microcredits
        return self.cost_microcredits * self.portions(quantity)

    def portions(self, quantity: int) -> int:
        return 1 if self.per == 0 else -(-quantity // self.per)

    def within(self, amount_microcredits: int) -> int:
        """A creator's price, brought within the bounds."""
        low = self.min_microcredits or 0
        high = amount_microcredits if self.max_microcredits is None else self.max_microcredits
        return max(low, min(amount_microcredits, high))

    @property
    def bound_microcredits(self) -> int:
        """What one use costs at most, whoever set the price."""
        return max(self.base_microcredits, self.max_microcredits or 0) if self.creator_sets else self.base_microcredits
