"""Buying, subscribing, coupons, royalties: who may use what, and who earns how much."""

from __future__ import annotations

import pytest

from marquetry.marketplace import ledger
from marquetry.marketplace.errors import PaymentRequired
from marquetry.marketplace.listings import coupons
from marquetry.marketplace.listings.closure import closure
from marquetry.marketplace.listings.entitlements import is_entitled, pin
from marquetry.marketplace.listings.errors import AlreadyOwned, CouponRefused, NotEntitled, WrongState
from marquetry.marketplace.listings.royalty import ListingRoyalties
from marquetry.marketplace.listings.sales import purchase
from marquetry.marketplace.listings.uses import DAY_MS
from marquetry.marketplace.listings.versions import find_version, versions_of
from tests.marketplace.listings.conftest import NOW, Market

PRICE = 1_000_001


def test_a_sale_moves_the_price_once_and_divides_it(market: Market) -> None:
    id = market.published(pricing="one_time", price_microcredits=PRICE)
    market.credit("carl", 3_000_000)
    sale = purchase(market.connection, buyer="carl", listing_id=id, key="k1", now_ms=NOW)
    again = purchase(market.connection, buyer="carl", listing_id=id, key="k1", now_ms=NOW + 1)
    assert (again.id, again.replayed) == (sale.id, True)
    assert ledger.balance(market.connection, "carl").spendable == 3_000_000 - PRICE
    assert ledger.earnings(market.connection, "ann").accrued == PRICE * 3 // 4
    assert is_entitled(market.connection, id, "carl", NOW)
    with pytest.raises(AlreadyOwned):
        purchase(market.connection, buyer="carl", listing_id=id, key="k2", now_ms=NOW)


def test_without_credits_nothing_is_sold(market: Market) -> None:
    id = market.published(pricing="one_time", price_microcredits=PRICE)
    with pytest.raises(PaymentRequired):
        purchase(market.connection, buyer="carl", listing_id=id, key="k1", now_ms=NOW)
    assert not is_entitled(market.connection, id, "carl", NOW)


def test_what_must_be_bought_cant_be_used_before(market: Market) -> None:
    id = market.published(pricing="one_time", price_microcredits=PRICE)
    with pytest.raises(NotEntitled) as refused:
        closure(market.connection, ["listing:ann/portrait"], "carl", NOW)
    assert refused.value.details == {"listing": id, "mode": "one_time", "price_microcredits": PRICE}
    assert closure(market.connection, ["listing:ann/portrait"], "ann", NOW).graphs
    market.credit("carl", PRICE)
    purchase(market.connection, buyer="carl", listing_id=id, key="k", now_ms=NOW)
    assert closure(market.connection, ["listing:ann/portrait"], "carl", NOW).graphs


def test_a_subscription_ends_and_can_be_extended_before(market: Market) -> None:
    id = market.published(pricing="subscription", price_microcredits=100, period_days=30)
    market.credit("carl", 1_000)
    first = purchase(market.connection, buyer="carl", listing_id=id, key="1", now_ms=NOW)
    second = purchase(market.connection, buyer="carl", listing_id=id, key="2", now_ms=NOW + DAY_MS)
    assert (first.ends_ms, second.ends_ms) == (NOW + 30 * DAY_MS, NOW + 60 * DAY_MS)
    assert is_entitled(market.connection, id, "carl", NOW + 59 * DAY_MS)
    assert not is_entitled(market.connection, id, "carl", NOW + 60 * DAY_MS)


@pytest.mark.parametrize("pricing", ["free", "per_use"])
def test_there_is_nothing_to_buy_of_what_is_free_or_paid_by_use(market: Market, pricing: str) -> None:
    id = market.published(pricing=pricing, price_microcredits=5 if pricing == "per_use" else 0)
    with pytest.raises(WrongState):
        purchase(market.connection, buyer="carl", listing_id=id, key="1", now_ms=NOW)


def test_a_coupon_is_used_within_its_limits(market: Market) -> None:
    id = market.published(pricing="one_time", price_microcredits=1_001)
    coupons.make_coupon(market.connection, owner="ann", code="half", percent=50, amount_microcredits=0, now_ms=NOW, max_uses=1)
    for buyer in ("carl", "dora"):
        market.credit(buyer, 5_000)
    sale = purchase(market.connection, buyer="carl", listing_id=id, key="1", now_ms=NOW, coupon="Half")
    assert (sale.list_price_microcredits, sale.price_microcredits) == (1_001, 501)
    with pytest.raises(CouponRefused, match="used up"):
        purchase(market.connection, buyer="dora", listing_id=id, key="1", now_ms=NOW, coupon="HALF")


def test_coupons_of_one_creator_are_worth_nothing_to_another_nor_after_their_time(market: Market) -> None:
    id = market.published(owner="bob", pricing="one_time", price_microcredits=1_000)
    coupons.make_coupon(market.connection, owner="ann", code="MINE", percent=100, amount_microcredits=0, now_ms=NOW)
    coupons.make_coupon(market.connection, owner="bob", code="PAST", percent=100, amount_microcredits=0, now_ms=NOW, ends_ms=NOW + 5)
    market.credit("carl", 5_000)
    for code in ("MINE", "NONE"):
        with pytest.raises(CouponRefused):
            purchase(market.connection, buyer="carl", listing_id=id, key=code, now_ms=NOW, coupon=code)
    with pytest.raises(CouponRefused):
        purchase(market.connection, buyer="carl", listing_id=id, key="p", now_ms=NOW + 5, coupon="PAST")
    free = purchase(market.connection, buyer="carl", listing_id=id, key="p2", now_ms=NOW + 4, coupon="PAST")
    assert free.price_microcredits == 0


def test_royalties_are_owed_by_strangers_once_per_listing_and_not_by_holders_or_creators(market: Market) -> None:
    per_use = market.published(pricing="per_use", price_microcredits=70)
    sold = market.published(owner="bob", slug="other", shade=6, pricing="one_time", price_microcredits=90)
    content = [find_version(market.connection, id, "").content_hash for id in (per_use, sold)]
    book = ListingRoyalties(market.connection)
    lines = book.lines([content[0], content[0], "unknown", content[1]], "carl", NOW)
    assert [(line.listing, line.creator, line.mode, line.amount_microcredits) for line in lines] == [
        (per_use, "ann", "per_use", 70),
        (sold, "bob", "owned", 0),
    ]
    assert [line.amount_microcredits for line in book.lines(content, "ann", NOW)] == [0, 0]


def test_who_publishes_what_another_published_before_earns_nothing_by_it(market: Market) -> None:
    first = market.published(pricing="per_use", price_microcredits=70)
    copy = market.published(owner="bob", slug="copy", pricing="per_use", price_microcredits=1)
    content = find_version(market.connection, copy, "").content_hash
    assert [line.listing for line in ListingRoyalties(market.connection).lines([content], "carl", NOW)] == [first]


def test_a_holder_may_stay_with_a_version(market: Market) -> None:
    from marquetry.marketplace.listings import versions

    id = market.published(pricing="one_time", price_microcredits=1)
    market.credit("carl", 1)
    purchase(market.connection, buyer="carl", listing_id=id, key="1", now_ms=NOW)
    pin(market.connection, id, "carl", "1.0.0", NOW)
    newer = market.version(id, "2.0.0")
    versions.submit(market.connection, owner="ann", version_id=newer, review=False, now_ms=NOW)
    assert len(versions_of(market.connection, id)) == 2
    assert closure(market.connection, ["listing:ann/portrait"], "carl", NOW).names == {"listing:ann/portrait": "listing:ann/portrait@1.0.0"}
    pin(market.connection, id, "carl", "", NOW)
    assert closure(market.connection, ["listing:ann/portrait"], "carl", NOW).names == {"listing:ann/portrait": "listing:ann/portrait@2.0.0"}
