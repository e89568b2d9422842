"""Checks: what a request needs against what its owner's plan allows. A refusal names the plans that allow it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from marquetry.marketplace.plans.catalogue import Plans
from marquetry.marketplace.plans.entitlements import Entitlements, Quota
from marquetry.marketplace.plans.errors import NotInPlan, QuotaUsedUp
from marquetry.marketplace.plans.subscriptions import Standing


@dataclass(frozen=True, slots=True)
class Need:
    """What a request asks for. `side` is the longest of any picture in pixels, `in_flight` counts the owner's jobs that wait or run."""

    side: int = 0
    pictures: int = 0
    families: frozenset[str] = frozenset()
    inpaints: int = 0
    trainings: int = 0
    upscales: int = 0
    in_flight: int = 0
    by_key: bool = False


def check(standing: Standing, plans: Plans, need: Need, used: Mapping[str, int]) -> None:
    """Raises NotInPlan, or QuotaUsedUp for what is counted by the month, of which `used` is used already."""
    has = standing.plan.entitlements
    refuse = _Refusal(standing, plans)
    if not _allows(has.resolution, need.side):
        refuse.not_in_plan("resolution", has.resolution, need.side, lambda other: _allows(other.resolution, need.side))
    if not _allows(has.batch_size, need.pictures):
        refuse.not_in_plan("batch_size", has.batch_size, need.pictures, lambda other: _allows(other.batch_size, need.pictures))
    for family in sorted(need.families):
        if not has.permits_model(family):
            refuse.not_in_plan(
                "models", ", ".join(has.models or ()), family.rstrip("?"), partial(Entitlements.permits_model, family=family)
            )
    if need.upscales and not has.upscale:
        refuse.not_in_plan("upscale", False, True, lambda other: other.upscale)
    if has.concurrency is not None and need.in_flight >= has.concurrency:
        asked = need.in_flight + 1
        refuse.not_in_plan("concurrency", has.concurrency, asked, lambda other: _allows(other.concurrency, asked))
    counted: tuple[tuple[str, Quota, int, Callable[[Entitlements], Quota]], ...] = (
        ("inpaints", has.inpaints, need.inpaints, lambda other: other.inpaints),
        ("trainings", has.trainings, need.trainings, lambda other: other.trainings),
        ("api_calls", has.api_calls, 1 if need.by_key else 0, lambda other: other.api_calls),
    )
    for name, limit, count, of in counted:
        asked = used.get(name, 0) + count
        if count and not _allows(limit, asked):
            refuse.used_up(name, limit, asked, partial(_has, of, asked))


class _Refusal:
    def __init__(self, standing: Standing, plans: Plans) -> None:
        self._standing = standing
        self._plans = plans

    def not_in_plan(self, entitlement: str, limit: object, asked: object, allows: Callable[[Entitlements], bool]) -> None:
        message, details = self._said(entitlement, limit, asked, allows)
        raise NotInPlan(message, **details)

    def used_up(self, entitlement: str, limit: object, asked: object, allows: Callable[[Entitlements], bool]) -> None:
        message, details = self._said(entitlement, limit, asked, allows)
        raise QuotaUsedUp(f"{message}; it is counted anew with the next month", resets_ms=self._standing.month_end_ms, **details)

    def _said(
        self, entitlement: str, limit: object, asked: object, allows: Callable[[Entitlements], bool]
    ) -> tuple[str, dict[str, object]]:
        plan = self._standing.plan
        upgrade = self._plans.with_right(plan, allows)
        advice = f"; the plan {upgrade[0]} has it" if upgrade else ""
        words = entitlement.replace("_", " ")
        message = f"the plan {plan.id} allows {words} {limit}, and this needs {asked}{advice}"
        return message, {"plan": plan.id, "entitlement": entitlement, "limit": limit, "asked": asked, "upgrade": list(upgrade)}


def _has(of: Callable[[Entitlements], Quota], asked: int, other: Entitlements) -> bool:
    return _allows(of(other), asked)


def _allows(limit: Quota, asked: int) -> bool:
    return limit is None or asked <= limit
