"""Splits: how a royalty is divided between its creator and the platform, to the micro-credit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from marquetry.marketplace.pricing.book import date_ms, whole
from marquetry.marketplace.pricing.errors import InvalidBook

FILE = Path(__file__).parent / "splits.yaml"
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Split:
    """`creator_percent` of a royalty is its creator's, rounded down; the rest is the platform's."""

    listing_type: str
    creator_percent: int
    valid_from_ms: int = 0

    @property
    def name(self) -> str:
        """How it is named on the lines of the ledger."""
        return f"{self.listing_type} {self.creator_percent}/{100 - self.creator_percent}"

    def earned(self, amount_microcredits: int) -> int:
        return amount_microcredits * self.creator_percent // 100


class Splits:
    """The rules of all kinds of listings, and since when."""

    def __init__(self, rules: Sequence[Split]) -> None:
        self._rules: dict[str, list[Split]] = {}
        for rule in sorted(rules, key=lambda rule: rule.valid_from_ms):
            self._rules.setdefault(rule.listing_type, []).append(rule)

    def find(self, listing_type: str, now_ms: int) -> Split:
        """The rule that holds for a kind of listing at that time."""
        for name in (listing_type, DEFAULT):
            valid = [rule for rule in self._rules.get(name, ()) if rule.valid_from_ms <= now_ms]
            if valid:
                return valid[-1]
        return Split(DEFAULT, 75)


@cache
def shipped_splits() -> Splits:
    """The rules that ship."""
    import yaml

    return parse_splits(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def parse_splits(data: Sequence[Mapping[str, Any]]) -> Splits:
    """Rules of plain values. Raises InvalidBook."""
    rules: list[Split] = []
    for raw in data:
        percent = whole(raw.get("creator"), "splits: creator")
        if percent > 100:
            raise InvalidBook(f"splits: the creator's part of '{raw.get('type')}' is above 100 percent")
        rules.append(Split(str(raw["type"]), percent, date_ms(raw.get("from"), "splits") or 0))
    return Splits(rules)
