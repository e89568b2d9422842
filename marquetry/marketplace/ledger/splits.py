"""Splits: which part of a node's charge its creators earn. Rules are data, by type of listing and date; what division leaves is the platform's.

`royalty`, the default: creators share what their listings ask for, computing is the platform's. `gross`: they share the computing as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from marquetry.marketplace.ledger.checks import checked_amount
from marquetry.marketplace.ledger.errors import InvalidEntry
from marquetry.marketplace.ledger.values import Share

Basis: TypeAlias = Literal["royalty", "gross"]
WHOLE = 10_000
ANY = "*"


@dataclass(frozen=True, slots=True)
class SplitRule:
    """From `from_ms` on, creators of listings of this type earn `creator_basis_points` of 10,000; `*` is every type without a rule."""

    listing_type: str
    creator_basis_points: int
    basis: Basis = "royalty"
    from_ms: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.creator_basis_points <= WHOLE:
            raise InvalidEntry(f"a creator earns 0 to {WHOLE} basis points, not {self.creator_basis_points}")
        if self.basis not in ("royalty", "gross"):
            raise InvalidEntry(f"a split is of the royalty or of the gross charge, not of '{self.basis}'")

    @property
    def name(self) -> str:
        """As it is kept on the line: type of listing, basis points, basis."""
        return f"{self.listing_type[:40]}:{self.creator_basis_points}:{self.basis}"


RULES: tuple[SplitRule, ...] = (
    SplitRule(ANY, 7500),
    SplitRule("style_premium", 6000),
    SplitRule("character_template", 7000),
    SplitRule("background_pack", 7000),
)
"""Catalogue, CON-03."""


@dataclass(frozen=True, slots=True)
class Royalty:
    """What a listing asks for one node execution."""

    creator: str
    listing: str
    listing_type: str
    amount_microcredits: int


def rule_for(listing_type: str, at_ms: int, rules: Iterable[SplitRule] = RULES) -> SplitRule:
    """The rule that holds at that time: of the type where there is one, else of every type. Raises InvalidEntry where there is none."""
    valid = [rule for rule in rules if rule.from_ms <= at_ms and rule.listing_type in (listing_type, ANY)]
    if not valid:
        raise InvalidEntry(f"no rule says how listings of type '{listing_type[:64]}' are divided")
    return max(valid, key=lambda rule: (rule.listing_type != ANY, rule.from_ms))


def divide(
    royalties: Sequence[Royalty], *, compute_microcredits: int = 0, at_ms: int, rules: Iterable[SplitRule] = RULES
) -> tuple[Share, ...]:
    """Shares of a charge of `compute_microcredits` and all royalties; each is rounded down, and they never exceed the charge.

    The computing counts in equal parts for the listings that the node draws upon, and is shared by those whose rule says `gross`.
    """
    checked_amount(compute_microcredits)
    known = tuple(rules)
    shares = []
    for place, royalty in enumerate(royalties):
        rule = rule_for(royalty.listing_type, at_ms, known)
        base = checked_amount(royalty.amount_microcredits)
        if rule.basis == "gross":
            base += _part(compute_microcredits, place, len(royalties))
        shares.append(Share(royalty.creator, royalty.listing, base * rule.creator_basis_points // WHOLE, rule.name))
    return tuple(shares)


def _part(amount: int, place: int, parts: int) -> int:
    """One of equal parts of an amount; all together are the amount."""
    return amount * (place + 1) // parts - amount * place // parts
