"""Plans are what was stated; what a plan does not allow is refused with the plans that do."""

from __future__ import annotations

import pytest

from marquetry.marketplace.plans.catalogue import parse_family, shipped_plans
from marquetry.marketplace.plans.checks import Need, check
from marquetry.marketplace.plans.errors import InvalidPlan, NotInPlan, QuotaUsedUp, UnknownPlan
from marquetry.marketplace.plans.packs import shipped_packs, warnings
from marquetry.marketplace.plans.roles import PERMISSIONS, role_of
from marquetry.marketplace.plans.subscriptions import Standing
from marquetry.marketplace.pricing.book import shipped_books
from marquetry.marketplace.schema import MICROCREDITS

PLANS = shipped_plans()


def of(plan: str) -> Standing:
    return Standing("bob", PLANS[plan], 0, 1_000)


@pytest.mark.parametrize(
    ("plan", "currency", "month", "grant", "images"),
    [
        ("api-001:starter", "USD", 999, 0, 100), ("api-001:pro", "USD", 2999, 0, 500), ("comics-002:creator", "USD", 1900, 25_000, 0),
        ("comics-002:pro", "USD", 4900, 75_000, 0), ("marty-004:starter", "INR", 49_900, 5_000, 0),
        ("marty-004:creator", "INR", 149_900, 20_000, 0), ("marty-004:studio", "INR", 399_900, 60_000, 0),
    ],
)  # fmt: skip
def test_plans_cost_and_give_what_was_stated(plan: str, currency: str, month: int, grant: int, images: int) -> None:
    found = PLANS[plan]
    assert found.prices[currency] == {"month": month, "year": month * 10}
    assert (found.grant_microcredits, found.entitlements.images) == (grant * MICROCREDITS, images)


def test_free_plans_are_what_was_stated() -> None:
    assert PLANS["comics-002:free"].grant_microcredits == 5_000 * MICROCREDITS  # 500 Buzz
    free = PLANS["api-001:free"].entitlements
    assert (free.images, free.resolution, free.models, free.auto_enhance) == (5, 512, ("sd1",), False)


def test_entitlements_grow_with_the_plan() -> None:
    starter, creator, studio = (PLANS[f"marty-004:{name}"].entitlements for name in ("starter", "creator", "studio"))
    assert [entry.concurrency for entry in (starter, creator, studio)] == [2, 5, None]
    assert [entry.retention_days for entry in (starter, creator, studio)] == [30, 60, 90]
    assert [entry.api_calls for entry in (starter, creator, studio)] == [0, 1000, None]
    assert [entry.white_label for entry in (starter, creator, studio)] == [False, False, True]
    pro = PLANS["api-001:pro"].entitlements
    assert (pro.resolution, pro.models, pro.queue_weight, pro.inpaints, pro.trainings) == (1024, None, 3, None, 1)
    assert PLANS["api-001:starter"].entitlements.inpaints == 1


def test_plans_of_the_same_name_are_told_apart_by_their_family() -> None:
    assert {plan.id for plan in PLANS if plan.id.endswith(":starter")} == {"api-001:starter", "marty-004:starter"}
    with pytest.raises(UnknownPlan, match="family:name"):
        PLANS["starter"]


def test_old_names_mean_roles() -> None:
    assert [role_of(name) for name in ("free", "starter", "creator", "pro", "Studio", "marty-004:studio", "nobody")] == [
        "free", "starter", "pro", "pro", "business", "business", "free",
    ]  # fmt: skip
    assert PLANS["marty-004:creator"].role == "pro" and PLANS["marty-004:studio"].role == "business"
    assert PERMISSIONS["free"] < PERMISSIONS["starter"] < PERMISSIONS["pro"] < PERMISSIONS["business"] < PERMISSIONS["admin"]


def test_every_plan_has_a_book() -> None:
    assert all(plan.book in {book.id for book in shipped_books()} for plan in PLANS)


def refused(plan: str, need: Need, **used: int) -> dict[str, object]:
    with pytest.raises(NotInPlan) as caught:
        check(of(plan), PLANS, need, used)
    return caught.value.details


@pytest.mark.parametrize(
    ("plan", "need", "entitlement", "upgrade"),
    [
        ("api-001:free", Need(side=513), "resolution", "api-001:starter"),
        ("api-001:starter", Need(side=1024), "resolution", "api-001:pro"),
        ("api-001:free", Need(families=frozenset({"sd2"})), "models", "api-001:starter"),
        ("api-001:starter", Need(families=frozenset({"sdxl"})), "models", "api-001:pro"),
        ("marty-004:starter", Need(pictures=11), "batch_size", "marty-004:creator"),
        ("api-001:starter", Need(upscales=1), "upscale", "api-001:pro"),
        ("marty-004:starter", Need(in_flight=2), "concurrency", "marty-004:creator"),
        ("marty-004:creator", Need(in_flight=5), "concurrency", "marty-004:studio"),
        ("marty-004:starter", Need(by_key=True), "api_calls", "marty-004:creator"),
    ],
)
def test_a_refusal_names_the_cheapest_plan_of_the_family_that_allows_it(plan: str, need: Need, entitlement: str, upgrade: str) -> None:
    details = refused(plan, need)
    assert (details["entitlement"], details["upgrade"][0]) == (entitlement, upgrade)  # type: ignore[index]


def test_what_is_counted_by_the_month_says_when_it_is_counted_anew() -> None:
    check(of("api-001:starter"), PLANS, Need(inpaints=1), {})
    with pytest.raises(QuotaUsedUp) as caught:
        check(of("api-001:starter"), PLANS, Need(inpaints=1), {"inpaints": 1})
    assert caught.value.details["resets_ms"] == 1_000
    assert caught.value.details["upgrade"] == ["api-001:pro", "api-001:enterprise"]
    check(of("api-001:pro"), PLANS, Need(inpaints=50), {"inpaints": 5_000})
    check(of("marty-004:creator"), PLANS, Need(by_key=True), {"api_calls": 999})
    assert refused("marty-004:creator", Need(by_key=True), api_calls=1000)["upgrade"] == ["marty-004:studio"]


def test_packs_keep_their_prices_and_larger_ones_that_cost_more_are_named() -> None:
    marty = {pack.id: (pack.microcredits // (10 * MICROCREDITS), pack.prices["INR"]) for pack in shipped_packs() if "INR" in pack.prices}
    assert sorted(marty.values()) == [(100, 9_900), (500, 39_900), (1_000, 89_900), (5_000, 399_900)]
    assert warnings(shipped_packs()) == ["marty-004:1000 costs more INR for each credit than the smaller marty-004:500"]


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ({"name": "x", "entitlements": {"wings": 2}}, "unknown entitlements wings"),
        ({"name": "x", "entitlements": {"concurrency": -1}}, "concurrency must be a whole number"),
        ({"name": "x", "entitlements": {"white_label": 1}}, "white_label must be bool"),
        ({"name": "x", "grant": 1.5}, "grant must be a whole number"),
        ({"name": "x", "role": "king"}, "the role is one of"),
        ({"name": "x", "modifiers": ["luck"]}, "unknown modifiers luck"),
        ({"name": "x", "prices": {"USD": -1}}, "USD must be a whole number"),
    ],
)
def test_a_plan_that_can_t_be_is_refused_with_its_place(plan: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidPlan, match=f"plans, x.*{reason}"):
        parse_family({"family": "f", "book": "house", "plans": [plan]})
