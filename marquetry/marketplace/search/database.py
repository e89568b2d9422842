"""Search in the database that holds the listings: what it gives is never late. Costs follow what is found, not how much there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Select, and_, or_, select

from marquetry.marketplace.listings.tables import listing_tags, listings
from marquetry.marketplace.search.index import matching, ranked
from marquetry.marketplace.search.query import MAX_DEPTH, MAX_PAGE, Found, InvalidSearch, Query, cursor_of, place_of
from marquetry.marketplace.search.words import asked

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

BASE = "base:"  # before base models among the tags
_orders: Mapping[str, tuple[Any, bool]] = {
    "trending": (listings.c.trending, True),
    "new": (listings.c.published_ms, True),
    "most_used": (listings.c.uses, True),
    "price": (listings.c.price_microcredits, False),
    "price_desc": (listings.c.price_microcredits, True),
}


class DatabaseSearch:
    """See the module."""

    def find(self, connection: Connection, query: Query) -> Found:
        limit = min(max(1, query.limit), MAX_PAGE)
        by_words = query.sort == "relevance" and bool(asked(query.words))
        found = _by_relevance(connection, query, limit) if by_words else _in_order(connection, query, limit)
        if not query.facets:
            return found
        return Found(found.ids, found.cursor, _facets(connection, query))


def page_statement(dialect: str, query: Query) -> Select[Any]:
    """A page of listings in the order of a column, without limit: from the cursor on."""
    value, falling = _orders.get(query.sort, _orders["trending"])
    statement = select(listings.c.id, listings.c.seq, value.label("place")).where(*_conditions(dialect, query, words=True))
    if query.cursor:
        last, seq = place_of(query.cursor, 2)
        if falling:
            statement = statement.where(or_(value < last, and_(value == last, listings.c.seq < seq)))
        else:
            statement = statement.where(or_(value > last, and_(value == last, listings.c.seq > seq)))
    order = (value.desc(), listings.c.seq.desc()) if falling else (value, listings.c.seq)
    return statement.order_by(*order)


def _in_order(connection: Connection, query: Query, limit: int) -> Found:
    rows = connection.execute(page_statement(connection.dialect.name, query).limit(limit + 1)).all()
    page = rows[:limit]
    cursor = cursor_of(page[-1].place or 0, page[-1].seq) if len(rows) > limit else ""
    return Found(tuple(row.id for row in page), cursor)


def _by_relevance(connection: Connection, query: Query, limit: int) -> Found:
    (begin,) = place_of(query.cursor, 1) if query.cursor else (0,)
    if not 0 <= begin < MAX_DEPTH:
        raise InvalidSearch(f"results by relevance end after {MAX_DEPTH:,}; say more of what you look for")
    statement = select(listings.c.id).where(*_conditions(connection.dialect.name, query, words=False))
    statement = ranked(statement, connection.dialect.name, query.words).limit(limit + 1).offset(begin)
    ids = list(connection.execute(statement).scalars())
    more = len(ids) > limit and begin + limit < MAX_DEPTH
    return Found(tuple(ids[:limit]), cursor_of(begin + limit) if more else "")


def _conditions(dialect: str, query: Query, *, words: bool) -> list[ColumnElement[bool]]:
    of = listings.c
    conditions: list[ColumnElement[bool]] = [of.state == "published"]
    if query.kinds:
        conditions.append(of.kind == query.kinds[0] if len(query.kinds) == 1 else of.kind.in_(query.kinds))
    if query.pricings:
        conditions.append(of.pricing.in_(query.pricings))
    if query.category:
        conditions.append(of.category == query.category)
    if query.creator:
        conditions.append(of.handle == query.creator)
    if query.downloadable is not None:
        conditions.append(of.downloadable.is_(query.downloadable))
    if query.min_stars:
        conditions.append(and_(of.reviews > 0, of.stars >= query.min_stars * of.reviews))
    for tag in [*query.tags, *(BASE + model for model in query.base_models)]:
        conditions.append(of.id.in_(select(listing_tags.c.listing_id).where(listing_tags.c.tag == tag.strip().lower())))
    matched = matching(dialect, query.words) if words else None
    return conditions if matched is None else [*conditions, matched]


def _facets(connection: Connection, query: Query) -> dict[str, dict[str, int]]:
    """Counts over the first matches."""
    of = listings.c
    statement = select(of.kind, of.pricing, of.category, of.tags, of.base_models).where(
        *_conditions(connection.dialect.name, query, words=True)
    )
    rows = connection.execute(statement.order_by(of.trending.desc(), of.seq.desc()).limit(MAX_DEPTH)).all()
    counts = {
        "kind": Counter(row.kind for row in rows),
        "pricing": Counter(row.pricing for row in rows),
        "category": Counter(row.category for row in rows if row.category),
        "tag": Counter(tag for row in rows for tag in orjson.loads(row.tags)),
        "base_model": Counter(model for row in rows for model in orjson.loads(row.base_models)),
    }
    return {name: dict(counter.most_common(30)) for name, counter in counts.items()}
