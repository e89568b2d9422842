"""Payouts: once a month, if it is enough, in two steps; and what statement and list say of it."""

from __future__ import annotations

import datetime

import pytest

from marquetry.marketplace import ledger
from marquetry.marketplace.listings import payouts
from marquetry.marketplace.listings.errors import ListingMissing, WrongState
from marquetry.marketplace.listings.sales import purchase
from marquetry.marketplace.listings.statement import credits, render, statement_lines
from tests.marketplace.listings.conftest import NOW, Market

CENT = 10_000_000
NEXT_MONTH = NOW + 31 * 24 * 3600 * 1000


def sold(market: Market, price_microcredits: int, slug: str = "portrait", shade: int = 5) -> None:
    id = market.published(slug=slug, shade=shade, pricing="one_time", price_microcredits=price_microcredits)
    buyer = f"buyer of {slug}"
    market.credit(buyer, price_microcredits)
    purchase(market.connection, buyer=buyer, listing_id=id, key="k", now_ms=NOW)


def begin(market: Market, minimum: int = CENT, now_ms: int = NEXT_MONTH) -> list[payouts.Payout]:
    return payouts.begin_due(market.connection, minimum_microcredits=minimum, method="manual", now_ms=now_ms)


def test_what_is_due_is_set_aside_once_a_month_in_whole_cents(market: Market) -> None:
    sold(market, 4 * CENT + 4)  # three quarters are the creator's: three cents and three micro-credits
    (payout,) = begin(market)
    assert (payout.amount_microcredits, payout.cents, payout.state) == (3 * CENT, 3, "begun")
    assert begin(market) == []
    earned = ledger.earnings(market.connection, "ann")
    assert (earned.accrued, earned.payable) == (3, 3 * CENT)


def test_less_than_the_minimum_waits(market: Market) -> None:
    sold(market, 4 * CENT)
    assert begin(market, minimum=4 * CENT) == []
    assert ledger.earnings(market.connection, "ann").accrued == 3 * CENT


def test_a_settled_payout_is_over(market: Market) -> None:
    sold(market, 4 * CENT)
    (payout,) = begin(market)
    for _ in range(2):
        settled = payouts.settle(market.connection, payout_id=payout.id, transfer="bank 7", now_ms=NEXT_MONTH)
        assert (settled.state, settled.transfer) == ("settled", "bank 7")
    assert ledger.earnings(market.connection, "ann").paid_out == 3 * CENT
    with pytest.raises(WrongState):
        payouts.cancel(market.connection, payout_id=payout.id, reason="", now_ms=NEXT_MONTH)


def test_a_cancelled_payout_is_part_of_the_next_months(market: Market) -> None:
    sold(market, 4 * CENT)
    (payout,) = begin(market)
    payouts.cancel(market.connection, payout_id=payout.id, reason="no account", now_ms=NEXT_MONTH)
    assert ledger.earnings(market.connection, "ann").accrued == 3 * CENT
    (again,) = begin(market, now_ms=NEXT_MONTH + 31 * 24 * 3600 * 1000)
    assert again.amount_microcredits == 3 * CENT and again.id != payout.id


def test_a_payout_is_its_creators_alone(market: Market) -> None:
    sold(market, 4 * CENT)
    (payout,) = begin(market)
    assert payouts.find_payout(market.connection, payout.id, "ann") == payout
    with pytest.raises(ListingMissing):
        payouts.find_payout(market.connection, payout.id, "bob")


def test_the_statement_has_each_listing_with_its_division(market: Market) -> None:
    sold(market, 4 * CENT)
    sold(market, 8 * CENT, "other", 6)
    (payout,) = begin(market)
    found = statement_lines(market.connection, payout)
    assert [(title, count, amount) for title, _, count, amount in found] == [("Other", 1, 6 * CENT), ("Portrait", 1, 3 * CENT)]
    data = render(payout, [("<b>Title & more", "any:7500", 1, 3 * CENT)], "Marquetry")
    assert data.startswith(b"%PDF-") and len(data) > 1000


def test_the_list_for_transfers_by_hand_holds_no_formulas(market: Market) -> None:
    sold(market, 4 * CENT)
    from marquetry.marketplace.listings.creators import become_creator

    become_creator(market.connection, owner="ann", handle="", name="=HYPERLINK(1)", about="", now_ms=NOW)
    begin(market)
    text = payouts.as_csv(payouts.open_payouts(market.connection, "manual"))
    assert text.splitlines()[1].split(",")[2:] == ["'=HYPERLINK(1)", payouts.period_of(NEXT_MONTH), "3", str(3 * CENT)]


@pytest.mark.parametrize(("day", "period"), [("2026-01-01", "2025-12"), ("2026-03-31", "2026-02"), ("2024-12-31", "2024-11")])
def test_a_payout_is_about_the_month_before(day: str, period: str) -> None:
    at = int(datetime.datetime.fromisoformat(day).replace(tzinfo=datetime.UTC).timestamp()) * 1000
    assert payouts.period_of(at) == period
    begin_ms, end_ms = payouts.bounds_of(period)
    assert begin_ms < end_ms <= at


def test_credits_are_written_with_three_digits() -> None:
    assert [credits(amount) for amount in (1_234_567_899, -1_500_000, 999)] == ["1,234.567", "-1.500", "0.000"]
