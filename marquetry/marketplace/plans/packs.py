"""Packs: credits to buy once. Prices are kept as they were stated; who administers is told where more costs more apiece."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from marquetry.marketplace.plans.errors import InvalidPlan
from marquetry.marketplace.plans.grants import CREDIT

FILE = Path(__file__).parent / "packs.yaml"


@dataclass(frozen=True, slots=True)
class Pack:
    """`prices` are in minor units by currency."""

    id: str
    microcredits: int
    prices: Mapping[str, int]

    @property
    def family(self) -> str:
        return self.id.partition(":")[0]


@cache
def shipped_packs() -> tuple[Pack, ...]:
    """The packs that ship."""
    return read_packs(FILE)


def read_packs(path: Path) -> tuple[Pack, ...]:
    """Packs from a file. Raises InvalidPlan."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return tuple(
            Pack(str(raw["id"]), int(raw["credits"]) * CREDIT, {str(name): int(price) for name, price in raw["prices"].items()})
            for raw in data
        )
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidPlan(f"the packs in {path.name} can't be read: {error}") from error


def warnings(packs: Iterable[Pack]) -> list[str]:
    """Where a larger pack costs more for each credit than a smaller one of its family and currency."""
    groups: dict[tuple[str, str], list[tuple[int, int, str]]] = {}
    for pack in packs:
        for currency, price in pack.prices.items():
            groups.setdefault((pack.family, currency), []).append((pack.microcredits, price, pack.id))
    found: list[str] = []
    for (_, currency), group in groups.items():
        group.sort()
        for smaller, larger in pairwise(group):
            if larger[1] * smaller[0] > smaller[1] * larger[0]:
                found.append(f"{larger[2]} costs more {currency} for each credit than the smaller {smaller[2]}")
    return found
