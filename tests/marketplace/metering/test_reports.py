"""Reports: what creators earn by, which plans lose money, how long credits last."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from marquetry.engine.usage import Usage
from marquetry.marketplace import ledger
from marquetry.marketplace.metering.facts import FinishedNode, Report
from marquetry.marketplace.metering.record import Tariff, record
from marquetry.marketplace.metering.reports import creator_statistics, fee_of, margins, projection
from marquetry.marketplace.metering.runs import LOW_BALANCE, close_runs, open_run
from marquetry.marketplace.metering.tables import node_executions, usage_events
from marquetry.marketplace.metering.terms import terms_of
from marquetry.marketplace.plans.catalogue import shipped_plans
from marquetry.marketplace.pricing.book import shipped_books
from marquetry.marketplace.pricing.price import Conditions, PriceList
from marquetry.marketplace.pricing.quote import Consumer, quote
from marquetry.marketplace.pricing.royalties import RoyaltyLine
from marquetry.marketplace.schema import MICROCREDITS

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
PRICES = PriceList(shipped_books())


class Shelf:
    """Two listings of Ann's and one of Cem's."""

    owed = {
        "ink": RoyaltyLine("ann/ink", "ann", "lora", "per_use", 20 * MICROCREDITS, "ink"),
        "comic": RoyaltyLine("ann/comic", "ann", "style_premium", "per_use", 30 * MICROCREDITS, "comic"),
        "oil": RoyaltyLine("cem/oil", "cem", "lora", "per_use", 10 * MICROCREDITS, "oil"),
    }

    def lines(self, resources: Any, owner: str, now_ms: int) -> tuple[RoyaltyLine, ...]:
        return tuple(self.owed[name] for name in resources if name in self.owed)


TARIFF = Tariff(PRICES, lambda connection: Shelf())


def buy(connection: Connection, owner: str, credits: int) -> None:
    amount = credits * MICROCREDITS
    ledger.credit(connection, owner=owner, amount_microcredits=amount, purse="paid", kind="purchase", key=f"gift {owner}", now_ms=1)


def run(connection: Connection, id: str, owner: str, *resources: str, images: int = 0, at_ms: int = NOW_MS, low: int = 0) -> None:
    """A job of one node that draws upon resources and makes pictures."""
    usage = (Usage("image.standard", images), *(Usage("lora.apply", 1, (name,)) for name in resources))
    found = quote(
        [Consumer("1", "1", "Any", usage, resources)], PRICES, Conditions("house:payg", "house", at_ms, MICROCREDITS), Shelf(), owner
    )
    open_run(connection, terms_of(found, id, owner, {}, 0), {}, at_ms)
    record(connection, TARIFF, [Report(id, "", (FinishedNode("1", "1", False, False, usage, 7, at_ms),))], at_ms)
    close_runs(connection, [(id, "completed")], at_ms, low)


def test_a_creator_sees_earnings_uses_and_audience_by_listing(connection: Connection) -> None:
    for owner in ("bob", "eve"):
        buy(connection, owner, 1_000)
    run(connection, "1", "bob", "ink")
    run(connection, "2", "bob", "ink", "comic")
    run(connection, "3", "eve", "ink", "oil", images=2)
    run(connection, "4", "eve", "ink", at_ms=NOW_MS + DAY_MS)
    found = creator_statistics(connection, "ann", NOW_MS, NOW_MS + DAY_MS)
    assert (found.earned_microcredits, found.uses, found.audience) == ((3 * 15 + 18) * MICROCREDITS, 4, 2)
    assert [(entry.listing, entry.earned_microcredits // MICROCREDITS, entry.uses, entry.audience) for entry in found.listings] == [
        ("ann/ink", 45, 3, 2), ("ann/comic", 18, 1, 1),
    ]  # fmt: skip
    assert ledger.earnings(connection, "ann").accrued == (4 * 15 + 18) * MICROCREDITS
    assert ledger.earnings(connection, "cem").accrued == 7_500_000
    assert creator_statistics(connection, "nobody", 0, NOW_MS * 2).uses == 0


def test_who_keeps_listings_hears_of_uses_in_the_same_transaction(connection: Connection) -> None:
    heard: list[tuple[str, list[str], str]] = []

    def note(connection: Connection, *, run_id: str, resources: Any, owner: str, now_ms: int) -> None:
        heard.append((run_id, sorted(resources), owner))

    buy(connection, "bob", 100)
    consumer = Consumer("1", "1", "Any", (Usage("lora.apply", 1, ("ink",)),), ("ink", "plain"))
    found = quote([consumer], PRICES, Conditions("p", "house", NOW_MS, MICROCREDITS), Shelf(), "bob")
    open_run(connection, terms_of(found, "9", "bob", {}, 0), {}, NOW_MS)
    record(connection, Tariff(PRICES, TARIFF.royalties, note), [Report("9", "", ())], NOW_MS, ["9"])
    assert heard == [("9", ["ink"], "bob")]


def test_the_pace_of_the_last_days_says_how_long_credits_last(connection: Connection) -> None:
    buy(connection, "bob", 1_000)
    assert projection(connection, "bob", NOW_MS).lasts_days is None
    for day in range(4):
        run(connection, f"d{day}", "bob", images=5, at_ms=NOW_MS - day * DAY_MS)
    run(connection, "old", "bob", images=5, at_ms=NOW_MS - 8 * DAY_MS)
    found = projection(connection, "bob", NOW_MS)
    assert (found.spent_microcredits, found.spendable_microcredits) == (400 * MICROCREDITS, 500 * MICROCREDITS)
    assert found.per_day_microcredits == 133_333_334  # of three days
    assert (found.lasts_days, found.is_low, dict(found.by_operation)) == (3, False, {"image.standard": 400 * MICROCREDITS})
    assert projection(connection, "bob", NOW_MS, low_microcredits=501 * MICROCREDITS).is_low


def test_falling_below_the_threshold_is_noted_once(connection: Connection) -> None:
    buy(connection, "bob", 150)
    for place in range(4):
        run(connection, f"r{place}", "bob", images=1, low=100 * MICROCREDITS)
    statement = select(usage_events.c.microcredits).where(usage_events.c.event_type == LOW_BALANCE)
    assert list(connection.execute(statement).scalars()) == [90 * MICROCREDITS]


def test_plans_that_cost_more_than_they_bring_are_shown_as_such(connection: Connection) -> None:
    found = {(margin.plan, margin.currency): margin for margin in margins(connection, shipped_plans(), shipped_books(), 0, NOW_MS)}
    starter = found["api-001:starter", "USD"]
    assert (starter.income_microcredits, starter.worst_cost_microcredits) == (9_990 * MICROCREDITS, 12_000 * MICROCREDITS)
    assert (starter.worst_operation, starter.fee_microcredits, starter.loses) == ("image.flux", 590 * MICROCREDITS, True)
    assert starter.margin_microcredits == (9_990 - 12_000 - 590) * MICROCREDITS
    assert found["api-001:pro", "USD"].loses and found["api-001:free", "USD"].worst_operation == "image.sd15"
    assert not found["comics-002:pro", "USD"].loses and not found["marty-004:studio", "INR"].loses
    assert not found["house:payg", "USD"].loses


def test_the_report_has_what_really_was(connection: Connection) -> None:
    buy(connection, "bob", 1_000)
    run(connection, "1", "bob", images=5)
    found = {margin.plan: margin for margin in margins(connection, shipped_plans(), shipped_books(), 0, NOW_MS)}["house:payg"]
    assert (found.charged_microcredits, found.cost_microcredits) == (100 * MICROCREDITS, 50 * MICROCREDITS)


def test_a_payment_costs_two_point_nine_percent_and_thirty_cents() -> None:
    assert fee_of(10_000, "USD") == (290 + 30) * 10 * MICROCREDITS
    assert fee_of(0, "USD") == 0


def test_a_node_with_a_long_id_is_kept_once(connection: Connection) -> None:
    buy(connection, "bob", 100)
    id = "x" * 3_000
    usage = (Usage("image.standard"),)
    found = quote([Consumer(id, id, "Any", usage)], PRICES, Conditions("p", "house", NOW_MS, MICROCREDITS), Shelf(), "bob")
    open_run(connection, terms_of(found, "long", "bob", {}, 0), {}, NOW_MS)
    fact = FinishedNode(id, id, False, False, usage, 7, NOW_MS)
    for _ in range(2):
        record(connection, TARIFF, [Report("long", "", (fact, fact))], NOW_MS)
    assert list(connection.execute(select(node_executions.c.amount_microcredits)).scalars()) == [20 * MICROCREDITS]
