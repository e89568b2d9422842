"""Reviews, favourites, collections, follows, reports, featured slots, and how much a listing is wanted."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marquetry.marketplace.listings import creators, listing, reviews, social
from marquetry.marketplace.listings.errors import InvalidListing, ListingMissing, MayNotReview, NameTaken, NotTheirs
from marquetry.marketplace.listings.tables import listing_days, listings
from marquetry.marketplace.listings.trending import HALF_LIFE_MS, ONE, SALE, USE, raised
from marquetry.marketplace.listings.uses import DAY_MS, note_uses
from marquetry.marketplace.listings.versions import find_version
from tests.marketplace.listings.conftest import NOW, Market


def ran(market: Market, listing_id: str, owner: str, run_id: str, now_ms: int = NOW) -> list[str]:
    resources = [find_version(market.connection, listing_id, "").content_hash, "unknown"]
    return note_uses(market.connection, run_id=run_id, resources=resources, owner=owner, now_ms=now_ms)


def test_only_who_ran_or_bought_it_reviews_it_once(market: Market) -> None:
    id = market.published()
    with pytest.raises(MayNotReview):
        reviews.review(market.connection, owner="carl", author="Carl", listing_id=id, stars=5, text="", now_ms=NOW)
    ran(market, id, "carl", "run 1")
    first = reviews.review(market.connection, owner="carl", author="Carl", listing_id=id, stars=5, text="fine", now_ms=NOW)
    second = reviews.review(market.connection, owner="carl", author="Carl", listing_id=id, stars=2, text="less fine", now_ms=NOW + 1)
    row = listing.find_listing(market.connection, id, "")
    assert (first == second, row.reviews, row.stars) == (True, 1, 2)
    reviews.hide_review(market.connection, review_id=first, hidden=True)
    assert listing.find_listing(market.connection, id, "").reviews == 0
    assert reviews.reviews_of(market.connection, id) == []


def test_creators_answer_reviews_and_write_none_of_their_own(market: Market) -> None:
    id = market.published()
    ran(market, id, "ann", "run 0")
    with pytest.raises(MayNotReview):
        reviews.review(market.connection, owner="ann", author="Ann", listing_id=id, stars=5, text="", now_ms=NOW)
    ran(market, id, "carl", "run 1")
    review_id = reviews.review(market.connection, owner="carl", author="Carl", listing_id=id, stars=4, text="", now_ms=NOW)
    with pytest.raises(NotTheirs):
        reviews.reply(market.connection, owner="bob", review_id=review_id, text="thanks", now_ms=NOW)
    reviews.reply(market.connection, owner="ann", review_id=review_id, text="thanks", now_ms=NOW)
    assert reviews.reviews_of(market.connection, id)[0].reply == "thanks"


def test_a_run_counts_once_and_people_once_a_day(market: Market) -> None:
    id = market.published()
    assert ran(market, id, "carl", "run 1") == [id]
    assert ran(market, id, "carl", "run 1") == []
    ran(market, id, "carl", "run 2")
    ran(market, id, "dora", "run 3", NOW + DAY_MS)
    ran(market, id, "carl", "run 4", NOW + DAY_MS)
    days = market.connection.execute(listing_days.select().order_by(listing_days.c.day)).all()
    assert [(day.uses, day.people, day.newcomers) for day in days] == [(2, 1, 1), (2, 2, 1)]
    assert listing.find_listing(market.connection, id, "").uses == 4


def test_favourites_are_counted_once(market: Market) -> None:
    id = market.published()
    for _ in range(2):
        social.mark_favourite(market.connection, owner="carl", listing_id=id, now_ms=NOW)
    assert listing.find_listing(market.connection, id, "").favourites == 1
    for _ in range(2):
        social.unmark_favourite(market.connection, owner="carl", listing_id=id)
    assert listing.find_listing(market.connection, id, "").favourites == 0


def test_a_private_collection_is_its_owners_alone(market: Market) -> None:
    ids = [market.published(), market.published(owner="bob", slug="other", shade=6)]
    collection = social.make_collection(market.connection, owner="carl", title="Mine", description="", public=False, now_ms=NOW)
    social.fill_collection(market.connection, owner="carl", collection_id=collection, listing_ids=[*reversed(ids), ids[0]], now_ms=NOW)
    assert social.find_collection(market.connection, collection, "carl")[1] == [ids[1], ids[0]]
    with pytest.raises(ListingMissing):
        social.find_collection(market.connection, collection, "dora")
    with pytest.raises(ListingMissing):
        social.fill_collection(market.connection, owner="dora", collection_id=collection, listing_ids=ids, now_ms=NOW)


def test_followers_are_counted_and_can_be_taken_along(market: Market) -> None:
    assert creators.follow(market.connection, owner="carl", handle="ann", now_ms=NOW) == 1
    assert creators.follow(market.connection, owner="carl", handle="ann", now_ms=NOW + 1) == 1
    assert creators.follow(market.connection, owner="dora", handle="ann", now_ms=NOW + 2) == 2
    assert [row.owner for row in creators.followers(market.connection, "ann")] == ["carl", "dora"]
    assert creators.unfollow(market.connection, owner="carl", handle="ann") == 1


def test_a_handle_stays_and_is_taken_once(market: Market) -> None:
    with pytest.raises(NameTaken):
        creators.become_creator(market.connection, owner="carl", handle="ann", name="Carl", about="", now_ms=NOW)
    with pytest.raises(NameTaken):
        creators.become_creator(market.connection, owner="ann", handle="anna", name="Ann", about="", now_ms=NOW)
    with pytest.raises(InvalidListing):
        creators.become_creator(market.connection, owner="carl", handle="admin", name="Carl", about="", now_ms=NOW)


def test_an_upheld_report_takes_the_listing_down(market: Market) -> None:
    id = market.published()
    report = social.report(market.connection, owner="carl", listing_id=id, reason="stolen", text="it is mine", now_ms=NOW)
    assert report == social.report(market.connection, owner="carl", listing_id=id, reason="spam", text="", now_ms=NOW)
    assert [row.reason for row in social.open_reports(market.connection)] == ["spam"]
    social.resolve(market.connection, report_id=report, uphold=True, resolution="proved", by="mod", now_ms=NOW)
    assert listing.find_listing(market.connection, id, "ann").state == "taken_down"
    assert social.open_reports(market.connection) == []


def test_a_slot_shows_what_is_in_it_now(market: Market) -> None:
    ids = [market.published(), market.published(owner="bob", slug="other", shade=6)]
    social.feature(market.connection, listing_id=ids[0], slot="front", place=2, starts_ms=NOW, ends_ms=NOW + 10, by="mod")
    social.feature(market.connection, listing_id=ids[1], slot="front", place=1, starts_ms=NOW, ends_ms=NOW + 5, by="mod")
    assert social.featured(market.connection, "front", NOW) == [ids[1], ids[0]]
    assert social.featured(market.connection, "front", NOW + 5) == [ids[0]]


def test_what_is_wanted_now_trends_above_what_was_wanted_more_long_ago(market: Market) -> None:
    old, new = market.published(), market.published(owner="bob", slug="other", shade=6)
    for place in range(20):
        ran(market, old, "carl", f"old {place}")
    for place in range(3):
        ran(market, new, "carl", f"new {place}", NOW + 5 * HALF_LIFE_MS)
    rows = market.connection.execute(listings.select().order_by(listings.c.trending.desc())).all()
    assert [row.id for row in rows] == [new, old]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40 * 24 * 3600 * 1000), st.sampled_from([USE, SALE])), min_size=1, max_size=60))
def test_the_kept_score_is_the_logarithm_of_the_decayed_sum(happened: Sequence[tuple[int, int]]) -> None:
    import math

    score = 0
    for at, weight in sorted(happened):
        score = raised(score, weight, NOW + at)
    last = max(at for at, _ in happened)
    total = sum(2.0**weight * 2.0 ** ((at - last) / HALF_LIFE_MS) for at, weight in happened)
    exact = (NOW + last) / HALF_LIFE_MS + math.log2(total)
    assert abs(score / ONE - exact) < 1e-3
