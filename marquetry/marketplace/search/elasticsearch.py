"""Search by Elasticsearch, over its HTTP interface. It is told of listings from the database; what it gives may be some seconds late."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import select

from marquetry.marketplace.errors import NotConfigured
from marquetry.marketplace.listings.tables import listings
from marquetry.marketplace.search.index import document
from marquetry.marketplace.search.query import MAX_DEPTH, MAX_PAGE, Found, Query, cursor_of, place_of
from marquetry.marketplace.search.words import asked

if TYPE_CHECKING:
    from sqlalchemy import Connection

TIMEOUT_S = 10
MAX_ANSWER_BYTES = 16 * 2**20
KEYWORDS = ("kind", "pricing", "category", "handle", "tags", "base_models", "state")
NUMBERS = ("seq", "trending", "published_ms", "uses", "price_microcredits", "reviews", "stars")
ORDERS: Mapping[str, tuple[str, str]] = {
    "trending": ("trending", "desc"),
    "new": ("published_ms", "desc"),
    "most_used": ("uses", "desc"),
    "price": ("price_microcredits", "asc"),
    "price_desc": ("price_microcredits", "desc"),
}
MAPPINGS: Mapping[str, Any] = {
    "mappings": {
        "dynamic": False,
        "properties": {
            **{name: {"type": "keyword"} for name in KEYWORDS},
            **{name: {"type": "long"} for name in NUMBERS},
            "downloadable": {"type": "boolean"},
            **{name: {"type": "text", "analyzer": "whitespace"} for name in ("title", "words", "body")},
        },
    }
}


class SearchUnavailable(NotConfigured):
    """Elasticsearch does not answer, or not as it should."""

    code = "search_unavailable"


class Elasticsearch:
    """`url` is its address, `index` the name of the index, `key` an API key, if it wants one."""

    def __init__(self, url: str, index: str, key: str = "") -> None:
        self._url = url.rstrip("/")
        self._index = index
        self._headers = {"Content-Type": "application/json", **({"Authorization": f"ApiKey {key}"} if key else {})}

    def prepare(self) -> None:
        """Make the index, unless it is there. Raises SearchUnavailable."""
        try:
            self._ask("PUT", f"/{self._index}", orjson.dumps(MAPPINGS))
        except SearchUnavailable as error:
            if error.details.get("reason") != "resource_already_exists_exception":
                raise

    def push(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Keep these listings; those that are not published leave. Raises SearchUnavailable."""
        lines: list[bytes] = []
        for each in documents:
            gone = each["state"] != "published"
            lines.append(orjson.dumps({"delete" if gone else "index": {"_index": self._index, "_id": each["id"]}}))
            if not gone:
                lines.append(orjson.dumps({name: value for name, value in each.items() if name != "id"}))
        if lines:
            answer = self._ask("POST", "/_bulk", b"\n".join(lines) + b"\n", kind="application/x-ndjson")
            failed = [entry["index"]["error"] for entry in answer.get("items", ()) if "error" in entry.get("index", {})]
            if failed:
                raise SearchUnavailable(f"Elasticsearch refused {len(failed)} listings: {str(failed[0])[:300]}")

    def find(self, connection: Connection, query: Query) -> Found:
        """Raises InvalidSearch, SearchUnavailable."""
        limit = min(max(1, query.limit), MAX_PAGE)
        by_words = query.sort == "relevance" and bool(asked(query.words))
        answer = self._ask("POST", f"/{self._index}/_search", orjson.dumps(body_of(query, limit + 1, by_words)))
        hits = answer["hits"]["hits"]
        page = hits[:limit]
        cursor = ""
        if len(hits) > limit:
            begun = place_of(query.cursor, 1)[0] if by_words and query.cursor else 0
            cursor = cursor_of(begun + limit) if by_words else cursor_of(*page[-1]["sort"])
        counts = {
            name: {bucket["key"]: bucket["doc_count"] for bucket in found["buckets"] if bucket["key"]}
            for name, found in answer.get("aggregations", {}).items()
        }
        return Found(tuple(hit["_id"] for hit in page), cursor, counts)

    def _ask(self, method: str, path: str, body: bytes, kind: str = "application/json") -> dict[str, Any]:
        request = urllib.request.Request(self._url + path, body, {**self._headers, "Content-Type": kind}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                read: dict[str, Any] = orjson.loads(answer.read(MAX_ANSWER_BYTES))
                return read
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(MAX_ANSWER_BYTES)
            raise SearchUnavailable(f"Elasticsearch refused {method} {path}: {error.code}", reason=_reason(said)) from error
        except (OSError, ValueError) as error:
            raise SearchUnavailable("Elasticsearch does not answer; see MARQUETRY_LISTINGS__ELASTICSEARCH_URL") from error


def body_of(query: Query, size: int, by_words: bool) -> dict[str, Any]:
    """The query in Elasticsearch's language."""
    wanted = asked(query.words)
    filters: list[dict[str, Any]] = [{"term": {"state": "published"}}]
    for name, values in (("kind", query.kinds), ("pricing", query.pricings)):
        if values:
            filters.append({"terms": {name: list(values)}})
    for name, value in (("category", query.category), ("handle", query.creator)):
        if value:
            filters.append({"term": {name: value}})
    filters += [{"term": {"tags": tag.strip().lower()}} for tag in query.tags]
    filters += [{"term": {"base_models": model.strip().lower()}} for model in query.base_models]
    if query.downloadable is not None:
        filters.append({"term": {"downloadable": query.downloadable}})
    if query.min_stars:
        rated = "doc['reviews'].value > 0 && doc['stars'].value >= params.least * doc['reviews'].value"
        filters.append({"script": {"script": {"source": rated, "params": {"least": query.min_stars}}}})
    must = [
        {"multi_match": {"query": word, "fields": ["title^10", "words^4", "body"], "type": "phrase_prefix" if last else "best_fields"}}
        for last, word in ((word is wanted[-1], word) for word in wanted)
    ]
    body: dict[str, Any] = {"size": size, "_source": False, "query": {"bool": {"filter": filters, "must": must}}}
    if by_words:
        body["from"] = min(place_of(query.cursor, 1)[0] if query.cursor else 0, MAX_DEPTH)
    else:
        field, way = ORDERS.get(query.sort, ORDERS["trending"])
        body["sort"] = [{field: way}, {"seq": way}]
        if query.cursor:
            body["search_after"] = place_of(query.cursor, 2)
    if query.facets:
        names = {"kind": "kind", "pricing": "pricing", "category": "category", "tag": "tags", "base_model": "base_models"}
        body["aggs"] = {name: {"terms": {"field": field, "size": 30}} for name, field in names.items()}
    return body


def documents_after(connection: Connection, updated_ms: int, seq: int, limit: int = 500) -> list[dict[str, Any]]:
    """Listings in the order of their last change, behind that place."""
    of = listings.c
    behind = (of.updated_ms > updated_ms) | ((of.updated_ms == updated_ms) & (of.seq > seq))
    rows = connection.execute(select(listings).where(behind, of.published_ms.is_not(None)).order_by(of.updated_ms, of.seq).limit(limit))
    return [document_of(connection, row) for row in rows]


def document_of(connection: Connection, row: Any) -> dict[str, Any]:
    """A listing as it is pushed. `updated_ms` is for who pushes."""
    plain = {name: getattr(row, name) for name in (*KEYWORDS, *NUMBERS, "downloadable", "id", "updated_ms")}
    return {**plain, "tags": orjson.loads(row.tags), "base_models": orjson.loads(row.base_models), **document(connection, row)}


def _reason(said: bytes) -> str:
    try:
        return str(orjson.loads(said)["error"]["type"])
    except (ValueError, KeyError, TypeError):
        return ""
