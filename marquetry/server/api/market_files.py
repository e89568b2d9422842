"""Weights and other files of listings: given by creators, used by jobs, taken away only where that is allowed."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.marketplace.listings import versions
from marquetry.marketplace.listings.entitlements import require_entitled
from marquetry.marketplace.listings.errors import ListingMissing, NotDownloadable
from marquetry.marketplace.listings.listing import find_listing
from marquetry.server.api import PREFIXES
from marquetry.server.api.market import PUBLISH
from marquetry.server.caller import OWNER_HEADER, owner_of
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_query
from marquetry.server.http.files import file_answer
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.live import now_ms
from marquetry.server.keys import FOLDERS, SETTINGS
from marquetry.server.published.keeping import receive
from marquetry.server.published.work import look

routes = RouteTable("Market", PREFIXES)


class WeightsQuery(BaseModel):
    kind: str = Field(min_length=1, max_length=40, description="folder of models, as loras")
    name: str = Field(min_length=1, max_length=200, description="ends with .safetensors")


class VersionQuery(BaseModel):
    version: str = Field(default="", max_length=64, description="by default the newest")


class KeptWeights(BaseModel):
    kind: str
    name: str = Field(description="as graphs and versions of listings name it")
    size_bytes: int
    sha256: str


class WeightNames(BaseModel):
    files: list[dict[str, Any]]


@routes.post("/marketplace/weights", "Give weights for a listing", query=WeightsQuery, body=bytes, body_type="application/octet-stream",
             headers=OWNER_HEADER, answers={201: Answer("they are kept apart", KeptWeights)}, access=PUBLISH)  # fmt: skip
async def give_weights(request: web.Request) -> web.Response:
    """The body is the file. Only jobs of who may use the listing read it; no list shows it."""
    query = read_query(request, WeightsQuery)
    limit = request.app[SETTINGS].listings.weights_bytes
    name, size, digest = await receive(request, request.app[FOLDERS], owner_of(request), query.kind, query.name, limit)
    return json_answer(KeptWeights(kind=query.kind, name=name, size_bytes=size, sha256=digest), 201)


@routes.get("/marketplace/item/{id}/weights", "Names of a listing's weights, for graphs", query=VersionQuery, headers=OWNER_HEADER,
            answers={200: Answer("for who may use them", WeightNames)})  # fmt: skip
async def weight_names(request: web.Request) -> web.Response:
    rows = await look(request, _files, request.match_info["id"], read_query(request, VersionQuery).version, owner_of(request), False)
    return json_answer(WeightNames(files=[{"kind": row.kind, "name": row.name, "size_bytes": row.size_bytes} for row in rows]))


@routes.get("/marketplace/item/{id}/download/{place}", "Take a file away", query=VersionQuery, headers=OWNER_HEADER,
            answers={200: Answer("the file, or the graph with the number `graph`", content_type="*/*")})  # fmt: skip
async def download(request: web.Request) -> web.StreamResponse:
    """Only of listings that may be taken away, by who may use them."""
    id, place, version = request.match_info["id"], request.match_info["place"], read_query(request, VersionQuery).version
    rows = await look(request, _files, id, version, owner_of(request), True)
    if place == "graph":
        return json_answer(await look(request, _graph, id, version, owner_of(request)))
    row = next((row for row in rows if str(row.place) == place), None)
    if row is None:
        raise ListingMissing(f"the listing has no file number {place[:20]}")
    return file_answer(await asyncio.to_thread(request.app[FOLDERS].full_path, row.kind, row.name))


def _files(connection: Any, listing_id: str, version: str, person: str, take_away: bool) -> list[Any]:
    return versions.files_of(connection, _usable(connection, listing_id, version, person, take_away).id)


def _graph(connection: Any, listing_id: str, version: str, person: str) -> Any:
    found = _usable(connection, listing_id, version, person, True).definition
    if found is None:
        raise ListingMissing("the listing has no graph")
    return orjson.loads(bytes(found))


def _usable(connection: Any, listing_id: str, version: str, person: str, take_away: bool) -> Any:
    """The row of a version that the person may use, and take away. Raises ListingMissing, NotEntitled, NotDownloadable."""
    row = find_listing(connection, listing_id, person)
    found = versions.find_version(connection, row.id, version)
    if row.owner != person:
        if found.state not in ("published", "withdrawn"):
            raise ListingMissing(f"there is no version {version[:64]} of it")
        if take_away and not row.downloadable:
            raise NotDownloadable("this may be used here and not be taken away")
        require_entitled(connection, Offered(row), person, now_ms())
    return found


class Offered:
    """A listing's row as entitlements ask for it."""

    def __init__(self, row: Any) -> None:
        self.listing_id = row.id
        self.owner, self.title, self.handle, self.slug = row.owner, row.title, row.handle, row.slug
        self.pricing, self.price_microcredits = row.pricing, row.price_microcredits
