"""The market: what is listed, and how a creator lists it."""

from __future__ import annotations

from typing import Any, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.marketplace.listings import creators, listing, versions
from marquetry.marketplace.listings.definition import GraphSpec, InputSpec, OutputSpec
from marquetry.marketplace.listings.kinds import kinds
from marquetry.marketplace.listings.names import Name
from marquetry.marketplace.listings.uses import note_view
from marquetry.marketplace.listings.values import Details, NewVersion
from marquetry.marketplace.search.query import Query
from marquetry.server.api import PREFIXES
from marquetry.server.api.market_models import (
    CreatorBody,
    CreatorModel,
    DetailsBody,
    Done,
    ItemDetail,
    Items,
    KindModel,
    Kinds,
    ListBody,
    Listed,
    VersionBody,
)
from marquetry.server.caller import OWNER_HEADER, files_owner, known_caller, owner_of
from marquetry.server.http.access import PUBLIC, Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_model, read_query
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.live import now_ms
from marquetry.server.keys import SETTINGS
from marquetry.server.published import views
from marquetry.server.published.catalogue import CATALOGUE
from marquetry.server.published.publishing import defined, needed, stored
from marquetry.server.published.search import SEARCH
from marquetry.server.published.work import change, look

PUBLISH = Access(permission="market.publish", scope="publish")
routes = RouteTable("Market", PREFIXES)


class SearchQuery(BaseModel):
    q: str = Field(default="", max_length=300, description="words, all of which are to be found")
    kind: str = Field(default="", max_length=300, description="kinds with commas between")
    tags: str = Field(default="", max_length=500, description="tags with commas between, all of which are held")
    base_model: str = Field(default="", max_length=200, description="base models with commas between")
    category: str = Field(default="", max_length=40)
    creator: str = Field(default="", max_length=40)
    pricing: str = Field(default="", max_length=100, description="pricings with commas between")
    downloadable: bool | None = None
    min_stars: int = Field(default=0, ge=0, le=5)
    sort: Literal["relevance", "trending", "new", "most_used", "price", "price_desc"] | None = Field(
        default=None, description="by default by relevance where words are given, else trending"
    )
    limit: int = Field(default=20, ge=1, le=100)
    cursor: str = Field(default="", max_length=400, description="as the page before gave it")
    facets: bool = Field(default=False, description="count the values of the first thousand results")


def person(request: web.Request) -> str:
    """Who looks; nobody in particular where nobody signed in."""
    caller = known_caller(request)
    return "" if caller is None else caller.owner


@routes.get("/marketplace/kinds", "Kinds of listings", answers={200: Answer("what each may hold", Kinds)}, access=PUBLIC)
async def list_kinds(request: web.Request) -> web.Response:
    shown = [
        KindModel(id=kind.id, title=kind.title, graph=kind.graph, files=kind.files, folders=list(kind.folders),
                  pricings=list(kind.pricings), fields=dict(kind.fields))
        for kind in kinds().values()
    ]  # fmt: skip
    return json_answer(Kinds(kinds=shown))


@routes.get("/marketplace/search", "Find listings", query=SearchQuery, answers={200: Answer("a page of listings", Items)}, access=PUBLIC)
async def search(request: web.Request) -> web.Response:
    query = read_query(request, SearchQuery)
    wanted = Query(
        words=query.q,
        kinds=_parts(query.kind),
        tags=_parts(query.tags),
        base_models=_parts(query.base_model),
        category=query.category,
        creator=query.creator,
        pricings=_parts(query.pricing),
        downloadable=query.downloadable,
        min_stars=query.min_stars,
        sort=query.sort or ("relevance" if query.q else "trending"),
        limit=query.limit,
        cursor=query.cursor,
        facets=query.facets,
    )
    found = await look(request, request.app[SEARCH].find, wanted)
    shown = await look(request, views.items, found.ids)
    return json_answer({"items": shown, "cursor": found.cursor or None, "facets": found.facets})


@routes.get("/marketplace/item/{id}", "A listing", headers=OWNER_HEADER, answers={200: Answer("the listing", ItemDetail)}, access=PUBLIC)
async def item(request: web.Request) -> web.Response:
    """The id may also be `creator%2Fslug`."""
    caller = known_caller(request)
    viewer = "" if caller is None else caller.owner
    moderates = caller is not None and caller.may("market.moderate") and not caller.local
    found = await look(request, views.detail, request.match_info["id"], viewer, now_ms(), moderates)
    if found["node_type"] is not None:
        interface = await request.app[CATALOGUE].interface(found["node_type"], viewer)
        found["interface"] = None if interface is None else dict(interface)
    if not found["mine"]:
        await change(request, note_view, listing_id=found["id"], now_ms=now_ms())
    return json_answer(found)


@routes.post(
    "/marketplace/list",
    "List something",
    body=ListBody,
    headers=OWNER_HEADER,
    answers={201: Answer("it is there, as a draft or further", Listed)},
    access=PUBLISH,
)
async def list_something(request: web.Request) -> web.Response:
    """A draft is seen by its creator alone. With `version` its first version is written too, with `publish` that is submitted."""
    body = await read_model(request, ListBody)
    owner = owner_of(request)
    new = None if body.version is None else await _new_version(request, body.version, owner)

    def work(connection: Any) -> tuple[str, str | None, str]:
        time_ms = now_ms()
        id = listing.create_listing(connection, owner=owner, kind=body.kind, slug=body.slug, details=_details(body), now_ms=time_ms)
        if new is None:
            return id, None, "draft"
        version_id = versions.create_version(connection, owner=owner, listing_id=id, new=new, now_ms=time_ms)
        return id, version_id, _submit(request, connection, owner, version_id) if body.publish else "draft"

    id, version_id, state = await change(request, work)
    return await _listed(request, id, state, version_id, 201)


@routes.patch("/marketplace/item/{id}", "Change a listing", body=DetailsBody, headers=OWNER_HEADER,
              answers={200: Answer("done", Listed)}, access=PUBLISH)  # fmt: skip
async def change_item(request: web.Request) -> web.Response:
    """What a listing says of itself; what its versions hold never changes."""
    body = await read_model(request, DetailsBody)
    id = request.match_info["id"]
    await change(request, listing.change_listing, owner=owner_of(request), listing_id=id, details=_details(body), now_ms=now_ms())
    return await _listed(request, id, "", None, 200)


@routes.delete("/marketplace/item/{id}", "Throw a draft away", headers=OWNER_HEADER, answers={200: Answer("done", Done)}, access=PUBLISH)
async def delete_item(request: web.Request) -> web.Response:
    await change(request, listing.delete_draft, owner=owner_of(request), listing_id=request.match_info["id"])
    return json_answer(Done())


@routes.post("/marketplace/item/{id}/withdraw", "Withdraw a listing", body_required=False, headers=OWNER_HEADER,
             answers={200: Answer("done", Done)}, access=PUBLISH)  # fmt: skip
async def withdraw_item(request: web.Request) -> web.Response:
    """Nobody new gets it. Who bought it goes on using it, and so do graphs that hold it."""
    await change(request, listing.withdraw_listing, owner=owner_of(request), listing_id=request.match_info["id"], now_ms=now_ms())
    request.app[CATALOGUE].changed()
    return json_answer(Done())


@routes.post("/marketplace/item/{id}/restore", "Publish what was withdrawn again", body_required=False, headers=OWNER_HEADER,
             answers={200: Answer("done", Done)}, access=PUBLISH)  # fmt: skip
async def restore_item(request: web.Request) -> web.Response:
    await change(request, listing.restore_listing, owner=owner_of(request), listing_id=request.match_info["id"], now_ms=now_ms())
    request.app[CATALOGUE].changed()
    return json_answer(Done())


@routes.post("/marketplace/item/{id}/versions", "Write a version", body=VersionBody, headers=OWNER_HEADER,
             answers={201: Answer("a draft of it", Listed)}, access=PUBLISH)  # fmt: skip
async def add_version(request: web.Request) -> web.Response:
    body = await read_model(request, VersionBody)
    owner = owner_of(request)
    new = await _new_version(request, body, owner)
    id = request.match_info["id"]
    version_id = await change(request, versions.create_version, owner=owner, listing_id=id, new=new, now_ms=now_ms())
    return await _listed(request, id, "draft", version_id, 201)


@routes.post("/marketplace/versions/{version_id}/submit", "Ask for publication", body_required=False, headers=OWNER_HEADER,
             answers={200: Answer("published, or waiting for review", Listed)}, access=PUBLISH)  # fmt: skip
async def submit_version(request: web.Request) -> web.Response:
    owner, version_id = owner_of(request), request.match_info["version_id"]
    state = await change(request, lambda connection: _submit(request, connection, owner, version_id))
    row = await look(request, versions.own_version, version_id, owner)
    return await _listed(request, row.listing_id, state, version_id, 200)


@routes.post("/marketplace/versions/{version_id}/withdraw", "Withdraw a version", body_required=False, headers=OWNER_HEADER,
             answers={200: Answer("done", Done)}, access=PUBLISH)  # fmt: skip
async def withdraw_version(request: web.Request) -> web.Response:
    version_id = request.match_info["version_id"]
    await change(request, versions.withdraw_version, owner=owner_of(request), version_id=version_id, now_ms=now_ms())
    request.app[CATALOGUE].changed()
    return json_answer(Done())


@routes.delete("/marketplace/versions/{version_id}", "Throw a draft of a version away", headers=OWNER_HEADER,
               answers={200: Answer("done", Done)}, access=PUBLISH)  # fmt: skip
async def discard_version(request: web.Request) -> web.Response:
    await change(request, versions.discard, owner=owner_of(request), version_id=request.match_info["version_id"])
    return json_answer(Done())


@routes.get("/marketplace/versions/{version_id}/graph", "What a version holds, for its creator", headers=OWNER_HEADER,
            answers={200: Answer("graph, inputs and outputs", dict[str, Any])}, access=PUBLISH)  # fmt: skip
async def version_graph(request: web.Request) -> web.Response:
    row = await look(request, versions.own_version, request.match_info["version_id"], owner_of(request))
    return json_answer({"version": row.version, **({} if row.definition is None else orjson.loads(bytes(row.definition)))})


@routes.put("/marketplace/creator", "Choose a handle, or change how you are shown", body=CreatorBody, headers=OWNER_HEADER,
            answers={200: Answer("the creator", CreatorModel)}, access=PUBLISH)  # fmt: skip
async def become_creator(request: web.Request) -> web.Response:
    body = await read_model(request, CreatorBody)
    row = await change(
        request, creators.become_creator, owner=owner_of(request), handle=body.handle, name=body.name, about=body.about, now_ms=now_ms()
    )
    return json_answer(creator_view(row))


def creator_view(row: Any, followed: bool = False) -> CreatorModel:
    names = ("handle", "name", "about", "founding", "followers", "created_ms")
    return CreatorModel(**{name: getattr(row, name) for name in names}, followed=followed)


async def _listed(request: web.Request, id: str, state: str, version_id: str | None, status: int) -> web.Response:
    row = await look(request, listing.own_listing, id, owner_of(request))
    version = None if version_id is None else (await look(request, versions.own_version, version_id, row.owner)).version
    request.app[CATALOGUE].changed()
    name = Name(row.handle, row.slug)
    answer = Listed(
        id=row.id, state=state or row.state, name=f"{row.handle}/{row.slug}", node_type=name.type_id, version_id=version_id, version=version
    )
    return json_answer(answer, status)


async def _new_version(request: web.Request, body: VersionBody, owner: str) -> NewVersion:
    definition = None
    if body.workflow is not None:
        given = body.workflow
        spec = GraphSpec(
            given.graph,
            [InputSpec(each.name, each.node, each.input, each.options, each.required) for each in given.inputs],
            [OutputSpec(each.name, each.node, each.slot, each.tooltip) for each in given.outputs],
            given.shows,
            given.previews,
        )
        definition = await defined(request, spec, owner, files_owner(request))
    files = await stored(request, [(file.kind, file.name) for file in body.files], owner)
    requires = await needed(request, definition, files_owner(request))
    return NewVersion(body.version, body.changelog, definition, body.content, files, requires)


def _submit(request: web.Request, connection: Any, owner: str, version_id: str) -> str:
    review = request.app[SETTINGS].listings.review_required
    return versions.submit(connection, owner=owner, version_id=version_id, review=review, now_ms=now_ms())


def _details(body: DetailsBody) -> Details:
    return Details(**{name: getattr(body, name) for name in DetailsBody.model_fields})


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())[:20]
