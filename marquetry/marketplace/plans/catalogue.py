"""The plans of an installation: families of them in data files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from marquetry.marketplace.plans.entitlements import Entitlements, read_entitlements
from marquetry.marketplace.plans.errors import InvalidPlan, UnknownPlan
from marquetry.marketplace.plans.plan import INTERVALS, MODIFIERS, DisplayUnit, Interval, Plan
from marquetry.marketplace.plans.roles import ROLES
from marquetry.marketplace.schema import MICROCREDITS

FOLDER = Path(__file__).parent / "families"
DEFAULT_PLAN = "house:payg"
MONTHS_OF_A_YEAR = 10  # that are paid: two are free


class Plans:
    """Plans by id, in the order of their files."""

    def __init__(self, plans: Iterable[Plan]) -> None:
        self._plans = {plan.id: plan for plan in plans}

    def __iter__(self) -> Iterator[Plan]:
        return iter(self._plans.values())

    def __contains__(self, id: object) -> bool:
        return id in self._plans

    def __getitem__(self, id: str) -> Plan:
        """Raises UnknownPlan."""
        if id not in self._plans:
            raise UnknownPlan(f"there is no plan '{id[:100]}'; plans are named family:name, such as {', '.join(list(self._plans)[:3])}")
        return self._plans[id]

    def with_right(self, plan: Plan, allows: Callable[[Entitlements], bool]) -> tuple[str, ...]:
        """The plans of the same family, else of all, that allow something; the cheapest first."""
        able = sorted((other for other in self if allows(other.entitlements) and other.id != plan.id), key=lambda other: other.rank)
        own = [other.id for other in able if other.family == plan.family]
        return tuple(own or [other.id for other in able])


@cache
def shipped_plans() -> Plans:
    """The plans that ship."""
    return Plans(plan for path in sorted(FOLDER.glob("*.yaml")) for plan in read_family(path))


def plans_with(folder: Path | None) -> Plans:
    """The plans that ship, and those of an operator's folder; one of the same id takes the place of ours. Raises InvalidPlan."""
    if folder is None:
        return shipped_plans()
    return Plans([*shipped_plans(), *(plan for path in sorted(folder.glob("*.yaml")) for plan in read_family(path))])


def read_family(path: Path) -> list[Plan]:
    """The plans of one file. Raises InvalidPlan."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InvalidPlan(f"the plans in {path.name} can't be read: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("plans"), list):
        raise InvalidPlan(f"the file of plans {path.name} must hold family, book, unit and a list of plans")
    return parse_family(data, path.name)


def parse_family(data: Mapping[str, Any], where: str = "plans") -> list[Plan]:
    """Plans of plain values. Raises InvalidPlan."""
    unit = data.get("unit") or {"name": "credits", "mc": 1}
    shown = DisplayUnit(str(unit["name"]), _whole(unit["mc"], f"{where}: unit") * MICROCREDITS)
    return [_plan(data, raw, shown, where) for raw in data["plans"]]


def _plan(data: Mapping[str, Any], raw: Mapping[str, Any], unit: DisplayUnit, where: str) -> Plan:
    where = f"{where}, {raw.get('name')}"
    modifiers = frozenset(map(str, raw.get("modifiers", data.get("modifiers", ()))))
    if modifiers - MODIFIERS:
        raise InvalidPlan(f"{where}: unknown modifiers {', '.join(sorted(modifiers - MODIFIERS))}")
    role = str(raw.get("role", "free"))
    if role not in ROLES:
        raise InvalidPlan(f"{where}: the role is one of {', '.join(ROLES)}, not {role!r}")
    return Plan(
        id=f"{data['family']}:{raw['name']}",
        title=str(raw.get("title", raw["name"])),
        role=role,
        book=str(raw.get("book", data["book"])),
        unit=unit,
        prices={str(currency): _prices(price, f"{where}, {currency}") for currency, price in (raw.get("prices") or {}).items()},
        grant_microcredits=_whole(raw.get("grant", 0), f"{where}: grant") * unit.microcredits,
        entitlements=read_entitlements(raw.get("entitlements") or {}, where),
        modifiers=modifiers,
        contact_sales=raw.get("contact_sales") is True,
        note=str(raw.get("note", "")),
    )


def _prices(raw: Any, where: str) -> dict[Interval, int]:
    month = _whole(raw, where) if isinstance(raw, int) else _whole(raw.get("month"), where)
    if isinstance(raw, int):
        return {"month": month, "year": month * MONTHS_OF_A_YEAR}
    return {interval: _whole(raw[interval], where) for interval in INTERVALS if interval in raw}


def _whole(value: Any, where: str) -> int:
    if type(value) is not int or value < 0:
        raise InvalidPlan(f"{where} must be a whole number from 0 on, not {value!r}")
    return value
