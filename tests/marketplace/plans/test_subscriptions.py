"""Subscriptions begin, change, go on and end by the calendar; their credits and quotas are counted in months."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection

from marquetry.marketplace import ledger
from marquetry.marketplace.plans import subscriptions
from marquetry.marketplace.plans.catalogue import shipped_plans
from marquetry.marketplace.plans.errors import QuotaTaken, SubscriptionClosed, UnknownPlan
from marquetry.marketplace.plans.grants import Campaign, grant_due, shipped_campaigns, welcome
from marquetry.marketplace.plans.months import after, calendar_month, month_of
from marquetry.marketplace.plans.quotas import give_back, take, used
from marquetry.marketplace.schema import MICROCREDITS

PLANS = shipped_plans()


def ms(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * 1000


START = ms(2027, 1, 31, 12)


def granted(connection: Connection, owner: str = "bob") -> int:
    return ledger.balance(connection, owner).granted // MICROCREDITS


def plan_of(connection: Connection, now_ms: int, owner: str = "bob") -> str:
    return subscriptions.standing(connection, owner, now_ms, PLANS, "house:payg").plan.id


def test_months_end_on_the_last_day_where_there_is_no_such_day() -> None:
    assert after(START, 1) == ms(2027, 2, 28, 12)
    assert after(START, 2) == ms(2027, 3, 31, 12)
    assert after(START, 12) == ms(2028, 1, 31, 12)
    assert month_of(START, ms(2027, 3, 1)) == (ms(2027, 2, 28, 12), ms(2027, 3, 31, 12))
    assert calendar_month(START) == (ms(2027, 1, 1), ms(2027, 2, 1))


def test_without_a_subscription_the_default_plan_holds_by_the_calendar(connection: Connection) -> None:
    found = subscriptions.standing(connection, "bob", START, PLANS, "house:payg")
    assert (found.plan.id, found.subscription, found.month_start_ms, found.month_end_ms) == (
        "house:payg",
        None,
        ms(2027, 1, 1),
        ms(2027, 2, 1),
    )


def test_each_month_grants_its_credits_once_and_takes_back_what_is_left(connection: Connection) -> None:
    subscriptions.subscribe(connection, "bob", PLANS["comics-002:creator"], START, currency="USD", interval="year")
    assert [grant_due(connection, PLANS, START), grant_due(connection, PLANS, START)] == [1, 0]
    assert granted(connection) == 25_000
    second = after(START, 1)
    assert grant_due(connection, PLANS, second) == 1
    ledger.expire_grants(connection, second)
    assert granted(connection) == 25_000


def test_months_that_nobody_saw_are_over(connection: Connection) -> None:
    subscriptions.subscribe(connection, "bob", PLANS["comics-002:creator"], START, currency="USD", interval="year")
    assert grant_due(connection, PLANS, after(START, 5) + 1) == 1
    assert granted(connection) == 25_000


def test_one_that_is_canceled_holds_until_its_period_ends(connection: Connection) -> None:
    made = subscriptions.subscribe(
        connection, "bob", PLANS["api-001:pro"], START, currency="USD", provider="stripe", provider_subscription_id="s"
    )
    assert subscriptions.cancel(connection, made.id, START + 5).cancel_at_period_end
    end = after(START, 1)
    assert [plan_of(connection, end - 1), plan_of(connection, end)] == ["api-001:pro", "house:payg"]
    subscriptions.end_due(connection, PLANS, end)
    with pytest.raises(SubscriptionClosed):
        subscriptions.resume(connection, made.id, end)


def test_a_cancellation_can_be_taken_back(connection: Connection) -> None:
    made = subscriptions.subscribe(connection, "bob", PLANS["api-001:pro"], START, currency="USD")
    subscriptions.cancel(connection, made.id, START + 5)
    assert not subscriptions.resume(connection, made.id, START + 6).cancel_at_period_end


def test_one_whose_payment_is_late_goes_on_until_its_provider_says_that_it_is_over(connection: Connection) -> None:
    made = subscriptions.subscribe(
        connection, "bob", PLANS["api-001:pro"], START, currency="USD", provider="stripe", provider_subscription_id="s"
    )
    late = after(START, 1) + 5
    subscriptions.set_status(connection, made.id, "past_due", late)
    assert plan_of(connection, late) == "api-001:pro"
    assert grant_due(connection, PLANS, late) == 0
    found = subscriptions.find_by_provider(connection, "stripe", "s")
    assert found is not None and found.id == made.id
    subscriptions.set_status(connection, made.id, "canceled", late + 1)
    assert plan_of(connection, late + 2) == "house:payg"


def test_a_renewal_begins_where_the_last_period_ended(connection: Connection) -> None:
    made = subscriptions.subscribe(
        connection, "bob", PLANS["marty-004:starter"], START, currency="INR", provider="razorpay", provider_subscription_id="r"
    )
    renewed = subscriptions.renew(connection, made.id, PLANS, START + 40)
    assert (renewed.period_start_ms, renewed.period_end_ms) == (after(START, 1), after(after(START, 1), 1))


def test_a_dearer_plan_holds_at_once_and_a_cheaper_one_with_the_next_period(connection: Connection) -> None:
    made = subscriptions.subscribe(connection, "bob", PLANS["marty-004:creator"], START, currency="INR")
    assert subscriptions.change_plan(connection, made.id, PLANS["marty-004:studio"], PLANS, START + 1).plan == "marty-004:studio"
    lower = subscriptions.change_plan(connection, made.id, PLANS["marty-004:starter"], PLANS, START + 2)
    assert (lower.plan, lower.next_plan) == ("marty-004:studio", "marty-004:starter")
    renewed = subscriptions.renew(connection, made.id, PLANS, START + 3)
    assert (renewed.plan, renewed.next_plan, renewed.price_minor, renewed.max_concurrency) == ("marty-004:starter", None, 49_900, 2)


def test_a_new_subscription_ends_the_one_before(connection: Connection) -> None:
    first = subscriptions.subscribe(connection, "bob", PLANS["api-001:starter"], START, currency="USD")
    subscriptions.subscribe(connection, "bob", PLANS["api-001:pro"], START + 10, currency="USD")
    assert plan_of(connection, START + 11) == "api-001:pro"
    ended = subscriptions.find(connection, first.id)
    assert ended is not None and ended.status == "canceled"


def test_a_plan_is_sold_only_in_its_currencies(connection: Connection) -> None:
    with pytest.raises(UnknownPlan, match="USD"):
        subscriptions.subscribe(connection, "bob", PLANS["api-001:pro"], START, currency="EUR")


def test_free_plans_go_on_by_themselves(connection: Connection) -> None:
    subscriptions.subscribe(connection, "bob", PLANS["comics-002:free"], START)
    end = after(START, 1)
    assert subscriptions.end_due(connection, PLANS, end) == 1
    assert (plan_of(connection, end + 1), grant_due(connection, PLANS, end + 1), granted(connection)) == ("comics-002:free", 1, 5_000)


def test_new_people_are_given_the_first_campaign_that_runs_once(connection: Connection) -> None:
    launch = Campaign("launch", 1_000 * MICROCREDITS, START, START + 100)
    trial = Campaign("trial", 500 * MICROCREDITS)
    assert welcome(connection, "ann", START, (launch, trial)) == 1_000 * MICROCREDITS
    assert welcome(connection, "ann", START + 200, (launch, trial)) == 0
    assert welcome(connection, "bob", START + 100, (launch, trial)) == 500 * MICROCREDITS
    assert (granted(connection, "ann"), granted(connection, "bob")) == (1_000, 500)


def test_the_trial_that_ships_is_fifty_credits_and_the_launch_twice_that() -> None:
    found = {campaign.id: campaign for campaign in shipped_campaigns()}
    assert found["trial"].trial_microcredits == 500 * MICROCREDITS
    assert found["launch"].trial_microcredits == 2 * found["trial"].trial_microcredits
    assert [campaign.id for campaign in shipped_campaigns() if campaign.runs(START)] == ["trial"]


def test_a_quota_is_taken_up_to_its_limit_and_given_back(connection: Connection) -> None:
    take(connection, "bob", "images", START, 3, 5)
    with pytest.raises(QuotaTaken, match="3 of 5"):
        take(connection, "bob", "images", START, 3, 5)
    take(connection, "bob", "images", START, 2, 5)
    give_back(connection, "bob", "images", START, 4)
    take(connection, "bob", "api_calls", START, 1, None)
    assert used(connection, "bob", START) == {"images": 1, "api_calls": 1}
    assert used(connection, "bob", after(START, 1)) == {}
