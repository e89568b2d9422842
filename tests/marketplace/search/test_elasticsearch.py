"""Elasticsearch finds what the database finds, told over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from marquetry.marketplace.listings import listing
from marquetry.marketplace.search.database import DatabaseSearch
from marquetry.marketplace.search.elasticsearch import Elasticsearch, SearchUnavailable, documents_after
from marquetry.marketplace.search.query import InvalidSearch, Query
from tests.marketplace.listings.conftest import NOW, Market
from tests.marketplace.search.elasticsearch_peer import KEY, Peer, running
from tests.marketplace.search.test_database_search import shop

__all__ = ["shop"]
INDEX = "listings"


@pytest.fixture
def peer() -> Iterator[tuple[Peer, str]]:
    with running() as found:
        yield found


@pytest.fixture
def engine(peer: tuple[Peer, str], shop: Market) -> Elasticsearch:
    engine = Elasticsearch(peer[1], INDEX, KEY)
    engine.prepare()
    engine.push(documents_after(shop.connection, 0, 0))
    return engine


@pytest.mark.parametrize(
    "query",
    [
        {"words": "ink"},
        {"words": "ink", "sort": "relevance"},
        {"words": "cafe no"},
        {"tags": ["comic"], "sort": "price"},
        {"base_models": ["sdxl"]},
        {"pricings": ["per_use", "one_time"], "sort": "price_desc"},
        {"creator": "bob"},
        {"words": "nobody"},
        {"downloadable": True},
    ],
)
def test_it_finds_what_the_database_finds(shop: Market, engine: Elasticsearch, query: dict[str, Any]) -> None:
    wanted = Query(**query)
    assert engine.find(shop.connection, wanted).ids == DatabaseSearch().find(shop.connection, wanted).ids


def test_facets_are_counted_alike(shop: Market, engine: Elasticsearch) -> None:
    wanted = Query(facets=True)
    assert engine.find(shop.connection, wanted).facets == DatabaseSearch().find(shop.connection, wanted).facets


@pytest.mark.parametrize("sort", ["trending", "price", "relevance"])
def test_pages_follow_one_another(market: Market, peer: tuple[Peer, str], sort: Any) -> None:
    for place in range(5):
        market.published(slug=f"ink-{place}", shade=place, pricing="per_use", price_microcredits=1 + place // 2)
    engine = Elasticsearch(peer[1], INDEX, KEY)
    engine.prepare()
    engine.push(documents_after(market.connection, 0, 0))
    found: list[str] = []
    cursor = ""
    while True:
        page = engine.find(market.connection, Query(words="ink", sort=sort, limit=2, cursor=cursor))
        found += page.ids
        cursor = page.cursor
        if not cursor:
            break
    assert len(found) == len(set(found)) == 5


def test_what_is_withdrawn_leaves_the_index(shop: Market, engine: Elasticsearch) -> None:
    (id,) = engine.find(shop.connection, Query(words="noir")).ids
    listing.withdraw_listing(shop.connection, owner="bob", listing_id=id, now_ms=NOW + 1)
    changed = documents_after(shop.connection, NOW, 10**9)
    assert [each["id"] for each in changed] == [id]
    engine.push(changed)
    assert engine.find(shop.connection, Query(words="noir")).ids == ()


def test_an_index_that_is_there_stays(engine: Elasticsearch) -> None:
    engine.prepare()


def test_a_wrong_key_or_nobody_there_is_said(shop: Market, peer: tuple[Peer, str]) -> None:
    with pytest.raises(SearchUnavailable, match="401"):
        Elasticsearch(peer[1], INDEX, "wrong").find(shop.connection, Query())
    with pytest.raises(SearchUnavailable, match="ELASTICSEARCH_URL"):
        Elasticsearch("http://127.0.0.1:9", INDEX).find(shop.connection, Query())


def test_a_cursor_of_another_search_is_refused(shop: Market, engine: Elasticsearch) -> None:
    with pytest.raises(InvalidSearch):
        engine.find(shop.connection, Query(cursor="x"))
