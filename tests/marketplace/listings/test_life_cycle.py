"""From a draft that nobody sees to what everybody may use, and back."""

from __future__ import annotations

import pytest

from marquetry.marketplace.listings import listing, versions
from marquetry.marketplace.listings.closure import closure, usable_version
from marquetry.marketplace.listings.errors import InvalidListing, ListingMissing, NameTaken, NotTheirs, WrongState
from marquetry.marketplace.listings.kinds import kind_of, kinds
from marquetry.marketplace.listings.names import Name, checked_version, parse, rank
from marquetry.marketplace.listings.values import Details, NewVersion, StoredFile
from tests.marketplace.listings.conftest import NOW, Market, definition


def test_there_is_a_kind_for_each_thing_that_can_be_listed() -> None:
    assert sorted(kinds()) == [
        "character_template", "checkpoint", "dataset", "location_pack", "lora", "pack", "service", "style", "weights", "workflow",
    ]  # fmt: skip


def test_versions_sort_as_their_numbers_do() -> None:
    given = ["1.10.0", "1.0.0", "2.0.0", "1.0.0-beta.10", "1.2.0", "1.0.0-beta.2", "1.0.1"]
    assert sorted(given, key=rank) == ["1.0.0-beta.2", "1.0.0-beta.10", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"]


@pytest.mark.parametrize("wrong", ["1", "1.0", "01.0.0", "1.0.0.0", "v1.0.0", "1.0.0-", "1.0.0-A"])
def test_what_is_no_version_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidListing, match=r"MAJOR\.MINOR\.PATCH"):
        checked_version(wrong)


@pytest.mark.parametrize("wrong", ["listing:Ann/x", "listing:ann", "listing:ann/x@", "listing:ann/x@1/2", "ann/x", "listing:-a/x"])
def test_what_is_no_name_of_a_published_graph_is_none(wrong: str) -> None:
    assert parse(wrong) is None


def test_a_draft_is_seen_by_its_creator_alone(market: Market) -> None:
    id = market.draft()
    assert listing.find_listing(market.connection, id, "ann").state == "draft"
    for viewer in ("bob", ""):
        with pytest.raises(ListingMissing):
            listing.find_listing(market.connection, id, viewer)


def test_nobody_else_changes_or_extends_a_listing(market: Market) -> None:
    id = market.published()
    with pytest.raises(NotTheirs):
        listing.change_listing(market.connection, owner="bob", listing_id=id, details=Details(title="Mine"), now_ms=NOW)
    with pytest.raises(NotTheirs):
        market.version(id, "1.0.1", owner="bob")
    with pytest.raises(NotTheirs):
        listing.withdraw_listing(market.connection, owner="bob", listing_id=id, now_ms=NOW)


def test_with_review_a_version_waits_for_a_moderator(market: Market) -> None:
    id = market.draft()
    version_id = market.version(id)
    assert versions.submit(market.connection, owner="ann", version_id=version_id, review=True, now_ms=NOW) == "review"
    assert [row.id for row in versions.waiting_for_review(market.connection)] == [version_id]
    assert listing.find_listing(market.connection, id, "ann").state == "draft"
    versions.reject(market.connection, version_id=version_id, reviewer="mod", note="no picture")
    assert versions.own_version(market.connection, version_id, "ann").note == "no picture"
    versions.submit(market.connection, owner="ann", version_id=version_id, review=True, now_ms=NOW)
    versions.approve(market.connection, version_id=version_id, reviewer="mod", now_ms=NOW)
    assert listing.find_listing(market.connection, id, "bob").newest_id == version_id


def test_a_version_is_never_written_twice_nor_submitted_twice(market: Market) -> None:
    id = market.published()
    with pytest.raises(NameTaken, match="never change"):
        market.version(id, "1.0.0", definition=definition(9))
    version_id = versions.versions_of(market.connection, id)[0].id
    with pytest.raises(WrongState):
        versions.submit(market.connection, owner="ann", version_id=version_id, review=False, now_ms=NOW)


def test_the_newest_release_is_followed_whatever_order_they_came_in(market: Market) -> None:
    id = market.draft()
    for number in ("1.10.0", "1.9.0", "2.0.0-beta.1"):
        version_id = market.version(id, number)
        versions.submit(market.connection, owner="ann", version_id=version_id, review=False, now_ms=NOW)
    found = closure(market.connection, ["listing:ann/portrait"], "bob", NOW)
    assert found.names == {"listing:ann/portrait": "listing:ann/portrait@1.10.0"}


def test_a_withdrawn_version_is_followed_no_more_and_goes_on_for_who_bought_it(market: Market) -> None:
    id = market.draft(pricing="one_time", price_microcredits=1_000)
    for number in ("1.0.0", "1.1.0"):
        version_id = market.version(id, number)
        versions.submit(market.connection, owner="ann", version_id=version_id, review=False, now_ms=NOW)
    from marquetry.marketplace.listings.entitlements import entitle

    entitle(market.connection, id, "carl", "one_time", NOW)
    versions.withdraw_version(market.connection, owner="ann", version_id=version_id, now_ms=NOW)
    pinned = Name("ann", "portrait", "1.1.0")
    assert usable_version(market.connection, pinned, "carl", NOW).version == "1.1.0"
    assert usable_version(market.connection, pinned, "dora", NOW) is None
    assert usable_version(market.connection, pinned, "dora", NOW, nested=True) is not None
    assert usable_version(market.connection, Name("ann", "portrait"), "dora", NOW).version == "1.0.0"


def test_what_was_taken_down_runs_for_nobody(market: Market) -> None:
    id = market.published()
    listing.take_down(market.connection, listing_id=id, reason="stolen", now_ms=NOW)
    assert usable_version(market.connection, Name("ann", "portrait"), "ann", NOW) is None
    with pytest.raises(ListingMissing):
        listing.find_listing(market.connection, id, "bob")
    assert listing.find_listing(market.connection, id, "ann").state_reason == "stolen"
    listing.put_back(market.connection, listing_id=id, now_ms=NOW)
    assert listing.find_listing(market.connection, id, "bob").state == "published"


def test_a_slug_is_taken_once_per_creator(market: Market) -> None:
    market.draft()
    market.draft(owner="bob")
    with pytest.raises(NameTaken):
        market.draft()


def test_what_a_kind_needs_is_asked_for(market: Market) -> None:
    workflow = market.draft()
    with pytest.raises(InvalidListing, match="needs a graph"):
        market.version(workflow, definition=None)
    lora = market.draft(slug="ink", kind="lora")
    with pytest.raises(InvalidListing, match="has no graph"):
        market.version(lora, files=[StoredFile("loras", "x", 1, "0" * 64)])
    with pytest.raises(InvalidListing, match="files of loras"):
        market.version(lora, definition=None, files=[StoredFile("vae", "x", 1, "0" * 64)])


def test_a_premium_style_divides_its_earnings_by_its_own_rule(market: Market) -> None:
    id = market.draft(slug="noir", kind="style")
    new = NewVersion("1.0.0", content={"prompt": "{prompt}, noir", "premium": True})
    version_id = versions.create_version(market.connection, owner="ann", listing_id=id, new=new, now_ms=NOW)
    versions.submit(market.connection, owner="ann", version_id=version_id, review=False, now_ms=NOW)
    assert listing.find_listing(market.connection, id, "ann").split_type == "style_premium"
    assert kind_of("location_pack").split({}) == "background_pack"


@pytest.mark.parametrize(
    ("field", "details"),
    [
        ("price_microcredits", Details("x", pricing="free", price_microcredits=5)),
        ("price_microcredits", Details("x", licence="MIT", pricing="per_use", price_microcredits=0)),
        ("licence", Details("x", licence="my own !!")),
        ("licence_text", Details("x", pricing="per_use", price_microcredits=5)),
        ("tags", Details("x", tags=["a\x00b"])),
        ("title", Details(" ")),
    ],
)
def test_wrong_details_are_named(market: Market, field: str, details: Details) -> None:
    with pytest.raises(InvalidListing) as refused:
        listing.create_listing(market.connection, owner="ann", kind="workflow", slug="wrong", details=details, now_ms=NOW)
    assert refused.value.details["field"] == field
