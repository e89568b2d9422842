"""Finding listings by words, facets and orders, page by page, at a cost that follows what is found."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, insert, text

from marquetry.marketplace.listings import listing
from marquetry.marketplace.listings.tables import listings
from marquetry.marketplace.listings.values import Details
from marquetry.marketplace.search.database import DatabaseSearch, page_statement
from marquetry.marketplace.search.query import InvalidSearch, Query
from marquetry.marketplace.search.words import asked, indexed
from tests.marketplace.listings.conftest import NOW, Market

SEARCH = DatabaseSearch()


def titles(market: Market, **query: Any) -> list[str]:
    found = SEARCH.find(market.connection, Query(**query))
    rows = {row.id: row.title for row in market.connection.execute(listings.select())}
    return [rows[id] for id in found.ids]


@pytest.fixture
def shop(market: Market) -> Market:
    market.published(slug="ink-lines", shade=1, title="Ink Lines", tags=["comic", "ink"], base_models=["sd1"], description="crisp outlines")
    market.published(slug="water", shade=2, title="Watercolour", tags=["paint"], description="soft ink washes", pricing="per_use",
                     price_microcredits=30)  # fmt: skip
    market.published(
        "bob", "noir", shade=3, title="Café Noir", tags=["comic"], base_models=["sdxl"], pricing="one_time", price_microcredits=20
    )
    market.draft(slug="secret", title="Ink nobody sees")
    return market


def test_words_are_all_found_begun_or_whole_with_marks_or_without(shop: Market) -> None:
    assert titles(shop, words="ink", sort="relevance") == ["Ink Lines", "Watercolour"]
    assert titles(shop, words="ink soft") == ["Watercolour"]
    assert titles(shop, words="cafe") == titles(shop, words="CAFÉ no") == ["Café Noir"]
    assert titles(shop, words="bob") == ["Café Noir"]
    assert titles(shop, words="nobody") == []


@pytest.mark.parametrize(
    "words", ['"', "ink OR lines NEAR", "(", "*", "a' OR 1=1 --", "title:ink", "-ink", "ink & !lines | x:*", "\x00", "%_"]
)
def test_what_engines_take_for_commands_are_words(shop: Market, words: str) -> None:
    for sort in ("relevance", "trending"):
        SEARCH.find(shop.connection, Query(words=words, sort=sort))


def test_facets_narrow_and_are_counted(shop: Market) -> None:
    assert titles(shop, tags=["comic"], sort="price") == ["Ink Lines", "Café Noir"]
    assert titles(shop, tags=["comic", "ink"]) == ["Ink Lines"]
    assert titles(shop, base_models=["sdxl"]) == ["Café Noir"]
    assert titles(shop, pricings=["per_use", "one_time"], sort="price_desc") == ["Watercolour", "Café Noir"]
    assert titles(shop, creator="bob") == ["Café Noir"]
    facets = SEARCH.find(shop.connection, Query(facets=True)).facets
    assert facets["tag"] == {"comic": 2, "ink": 1, "paint": 1}
    assert facets["pricing"] == {"free": 1, "per_use": 1, "one_time": 1}


def test_what_changes_is_found_by_its_new_words_and_what_is_withdrawn_not_at_all(shop: Market) -> None:
    (id,) = SEARCH.find(shop.connection, Query(words="noir")).ids
    listing.change_listing(shop.connection, owner="bob", listing_id=id, details=Details("Dusk", licence="MIT"), now_ms=NOW)
    assert titles(shop, words="dusk") == ["Dusk"] and titles(shop, words="cafe") == []
    listing.withdraw_listing(shop.connection, owner="bob", listing_id=id, now_ms=NOW)
    assert titles(shop, words="dusk") == []
    listing.restore_listing(shop.connection, owner="bob", listing_id=id, now_ms=NOW)
    assert titles(shop, words="dusk") == ["Dusk"]


@pytest.mark.parametrize("sort", ["trending", "new", "most_used", "price", "price_desc", "relevance"])
@pytest.mark.parametrize("words", ["", "ink"])
def test_pages_follow_one_another_without_gaps_or_doubles(market: Market, sort: Any, words: str) -> None:
    for place in range(7):
        market.published(slug=f"ink-{place}", shade=place, pricing="per_use", price_microcredits=1 + place // 2)
    found: list[str] = []
    cursor = ""
    while True:
        page = SEARCH.find(market.connection, Query(words=words, sort=sort, limit=3, cursor=cursor))
        found += page.ids
        cursor = page.cursor
        if not cursor:
            break
    assert len(found) == len(set(found)) == 7


@pytest.mark.parametrize("cursor", ["x", "bm90IGEgY3Vyc29y", "W10", "WzEuNSwyXQ", "é"])
def test_a_cursor_that_nobody_gave_is_refused(market: Market, cursor: str) -> None:
    with pytest.raises(InvalidSearch):
        SEARCH.find(market.connection, Query(cursor=cursor))


@pytest.mark.parametrize("sort", ["trending", "new", "most_used", "price"])
@pytest.mark.parametrize("kinds", [(), ("lora",)])
def test_a_page_is_read_from_an_index_and_nothing_is_sorted(market: Market, sort: Any, kinds: tuple[str, ...]) -> None:
    many(market.connection, 600)
    plan = explained(market.connection, Query(sort=sort, kinds=kinds))
    assert "ix_listings_" in plan
    assert "TEMP B-TREE" not in plan and "Sort" not in plan.replace("Incremental Sort", "") and "Seq Scan" not in plan


def test_words_are_looked_up_in_their_index(market: Market) -> None:
    many(market.connection, 600)
    if market.connection.dialect.name == "postgresql":  # so few rows are read faster one by one
        market.connection.execute(text("SET LOCAL enable_seqscan = off"))
    plan = explained(market.connection, Query(words="rare7", sort="new"))
    assert "VIRTUAL TABLE INDEX" in plan or "ix_listing_search_document" in plan or "listing_search_pkey" in plan
    assert "SCAN listings" not in plan.replace("SCAN listings USING", "")


def test_words_are_the_same_in_the_index_and_in_the_question() -> None:
    assert indexed("Crème_Brûlée", ["SD-XL 1.0"]) == "creme brulee sd xl 1 0"
    assert asked("CRÈME crème") == ["creme"]


def many(connection: Connection, count: int) -> None:
    """Published rows without versions, and their words."""
    zero = dict.fromkeys(("uses", "sales", "views", "favourites", "reviews", "stars"), 0)
    empty = dict.fromkeys(("summary", "description", "category", "licence_text", "state_reason"), "")
    lists = dict.fromkeys(("tags", "base_models", "trigger_words", "previews"), "[]")
    rows = [
        {"id": f"l{place}", "owner": "ann", "handle": "ann", "slug": f"s{place}", "kind": ("lora", "workflow")[place % 2], "split_type": "lora",
         "title": f"rare{place}", "licence": "MIT", "pricing": "free", "price_microcredits": place % 50, "period_days": 30, "downloadable": False,
         "state": "published", "created_ms": NOW, "updated_ms": NOW, "published_ms": NOW + place, "trending": place, **zero, **empty, **lists}
        for place in range(count)
    ]  # fmt: skip
    connection.execute(insert(listings), rows)
    for row in connection.execute(listings.select()).all():
        if connection.dialect.name == "sqlite":
            statement = "INSERT INTO listing_search (rowid, title, words, body) VALUES (:seq, :title, '', '')"
        else:
            statement = "INSERT INTO listing_search (seq, document) VALUES (:seq, to_tsvector('simple', :title))"
        connection.execute(text(statement), {"seq": row.seq, "title": row.title})
    connection.execute(text("ANALYZE"))


def explained(connection: Connection, query: Query) -> str:
    statement = page_statement(connection.dialect.name, query).limit(20)
    compiled = statement.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
    verb = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    return "\n".join(" ".join(str(part) for part in row) for row in connection.exec_driver_sql(f"{verb} {compiled}".replace("%", "%%")))
