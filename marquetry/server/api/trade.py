"""Buying listings, and what people say of them and keep."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from marquetry.marketplace.listings import creators, entitlements, listing, reviews, sales, social
from marquetry.server.api import PREFIXES
from marquetry.server.api.market import person
from marquetry.server.api.market_models import Done, Items
from marquetry.server.api.trade_models import (
    CollectionBody,
    CollectionModel,
    Collections,
    Follow,
    Made,
    PinBody,
    PurchaseBody,
    PurchaseModel,
    Purchases,
    ReportBody,
    ReviewBody,
    ReviewModel,
    Reviews,
    SaleModel,
    TextBody,
)
from marquetry.server.caller import OWNER_HEADER, caller_of, owner_of
from marquetry.server.http.access import PUBLIC, Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_model, read_query
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.live import now_ms
from marquetry.server.published import views
from marquetry.server.published.catalogue import CATALOGUE
from marquetry.server.published.work import change, look

BUY = Access(permission="market.buy", scope="money", fresh=True)
REVIEW = Access(permission="market.review")
routes = RouteTable("Market", PREFIXES)
KEY = {"Idempotency-Key": "the same key buys once, however often it is sent", **OWNER_HEADER}


class PageQuery(BaseModel):
    limit: int = Field(default=50, ge=1, le=200)
    offset: int = Field(default=0, ge=0, le=100_000)


class CollectionsQuery(BaseModel):
    public: bool = Field(default=False, description="those of everybody that are public")


@routes.post("/marketplace/purchase", "Buy or subscribe", body=PurchaseBody, headers=KEY, answers={200: Answer("it is yours", SaleModel)},
             access=BUY)  # fmt: skip
async def buy(request: web.Request) -> web.Response:
    """The price leaves the caller's credits at once. A subscription that runs goes on for one period more."""
    body = await read_model(request, PurchaseBody)
    key = body.key or request.headers.get("Idempotency-Key", "")[:128] or uuid.uuid4().hex
    caller = caller_of(request)
    sale = await change(
        request,
        sales.purchase,
        buyer=caller.owner,
        listing_id=body.listing,
        key=key,
        coupon=body.coupon,
        key_id=caller.key_id,
        now_ms=now_ms(),
    )
    request.app[CATALOGUE].changed()
    return json_answer(asdict(sale))


@routes.get("/marketplace/purchases", "What the caller bought", headers=OWNER_HEADER, answers={200: Answer("newest first", Purchases)})
async def purchases(request: web.Request) -> web.Response:
    rows = await look(request, sales.purchases_of, owner_of(request))
    shown = [
        PurchaseModel(id=row.id, listing=row.listing_id, name=f"{row.handle}/{row.slug}", title=row.title, mode=row.mode,
                      price_microcredits=row.price_microcredits, time_ms=row.time_ms)
        for row in rows
    ]  # fmt: skip
    return json_answer(Purchases(purchases=shown))


@routes.put("/marketplace/item/{id}/pin", "Stay with a version of what was bought", body=PinBody, headers=OWNER_HEADER,
            answers={200: Answer("done", Done)})  # fmt: skip
async def pin(request: web.Request) -> web.Response:
    body = await read_model(request, PinBody)
    row = await look(request, listing.find_listing, request.match_info["id"], owner_of(request))
    await change(
        request, lambda connection: entitlements.pin(connection, row.id, owner_of(request), body.version, now_ms())
    )  # fmt: skip
    return json_answer(Done())


@routes.get("/marketplace/item/{id}/reviews", "Reviews", query=PageQuery, headers=OWNER_HEADER,
            answers={200: Answer("newest first", Reviews)}, access=PUBLIC)  # fmt: skip
async def list_reviews(request: web.Request) -> web.Response:
    query, viewer = read_query(request, PageQuery), person(request)
    row = await look(request, listing.find_listing, request.match_info["id"], viewer)
    rows = await look(request, reviews.reviews_of, row.id, limit=query.limit, offset=query.offset)
    names = [name for name in ReviewModel.model_fields if name != "mine"]
    shown = [ReviewModel(**{name: getattr(each, name) for name in names}, mine=each.owner == viewer) for each in rows]
    return json_answer(Reviews(reviews=shown))


@routes.put("/marketplace/item/{id}/review", "Review a listing, or change one's review", body=ReviewBody, headers=OWNER_HEADER,
            answers={200: Answer("the id of the review", Made)}, access=REVIEW)  # fmt: skip
async def write_review(request: web.Request) -> web.Response:
    """By people who ran or bought it, one each."""
    body = await read_model(request, ReviewBody)
    owner = owner_of(request)
    known = await look(request, creators.find_creator_of, owner)
    author = "" if known is None else known.name
    id = await change(
        request, reviews.review, owner=owner, author=author, listing_id=request.match_info["id"], stars=body.stars, text=body.text,
        now_ms=now_ms(),
    )  # fmt: skip
    return json_answer(Made(id=id))


@routes.delete("/marketplace/item/{id}/review", "Take one's review back", headers=OWNER_HEADER, answers={200: Answer("done", Done)})
async def delete_review(request: web.Request) -> web.Response:
    await change(request, reviews.delete_review, owner=owner_of(request), listing_id=request.match_info["id"])
    return json_answer(Done())


@routes.put("/marketplace/reviews/{review_id}/reply", "Answer a review as the creator", body=TextBody, headers=OWNER_HEADER,
            answers={200: Answer("done", Done)})  # fmt: skip
async def reply(request: web.Request) -> web.Response:
    body = await read_model(request, TextBody)
    id = request.match_info["review_id"]
    await change(request, reviews.reply, owner=owner_of(request), review_id=id, text=body.text, now_ms=now_ms())
    return json_answer(Done())


@routes.get("/marketplace/favourites", "The caller's favourites", headers=OWNER_HEADER, answers={200: Answer("newest first", Items)})
async def list_favourites(request: web.Request) -> web.Response:
    ids = await look(request, social.favourites_of, owner_of(request))
    return json_answer({"items": await look(request, views.items, ids), "cursor": None, "facets": {}})


@routes.put("/marketplace/item/{id}/favourite", "Mark a listing", body_required=False, headers=OWNER_HEADER,
            answers={200: Answer("done", Done)})  # fmt: skip
async def mark(request: web.Request) -> web.Response:
    await change(request, social.mark_favourite, owner=owner_of(request), listing_id=request.match_info["id"], now_ms=now_ms())
    request.app[CATALOGUE].changed()
    return json_answer(Done())


@routes.delete("/marketplace/item/{id}/favourite", "Mark a listing no more", headers=OWNER_HEADER, answers={200: Answer("done", Done)})
async def unmark(request: web.Request) -> web.Response:
    await change(request, social.unmark_favourite, owner=owner_of(request), listing_id=request.match_info["id"])
    request.app[CATALOGUE].changed()
    return json_answer(Done())


@routes.post("/marketplace/item/{id}/report", "Tell moderators of a listing", body=ReportBody, headers=OWNER_HEADER,
             answers={200: Answer("the id of the report", Made)})  # fmt: skip
async def report(request: web.Request) -> web.Response:
    body = await read_model(request, ReportBody)
    id = await change(
        request,
        social.report,
        owner=owner_of(request),
        listing_id=request.match_info["id"],
        reason=body.reason,
        text=body.text,
        now_ms=now_ms(),
    )
    return json_answer(Made(id=id))


@routes.put("/marketplace/creators/{handle}/follow", "Follow a creator", body_required=False, headers=OWNER_HEADER,
            answers={200: Answer("how many do", Follow)})  # fmt: skip
async def follow(request: web.Request) -> web.Response:
    count = await change(request, creators.follow, owner=owner_of(request), handle=request.match_info["handle"], now_ms=now_ms())
    return json_answer(Follow(followers=count))


@routes.delete("/marketplace/creators/{handle}/follow", "Follow a creator no more", headers=OWNER_HEADER,
               answers={200: Answer("how many do", Follow)})  # fmt: skip
async def unfollow(request: web.Request) -> web.Response:
    count = await change(request, creators.unfollow, owner=owner_of(request), handle=request.match_info["handle"])
    return json_answer(Follow(followers=count))


@routes.get("/marketplace/collections", "Collections: the caller's, or all that are public", headers=OWNER_HEADER,
            query=CollectionsQuery,
            answers={200: Answer("newest first", Collections)})  # fmt: skip
async def list_collections(request: web.Request) -> web.Response:
    owner = owner_of(request)
    rows = await look(request, social.collections_of, None if read_query(request, CollectionsQuery).public else owner)
    return json_answer(Collections(collections=[_collection(row, owner) for row in rows]))


@routes.post("/marketplace/collections", "Make a collection", body=CollectionBody, headers=OWNER_HEADER,
             answers={201: Answer("its id", Made)})  # fmt: skip
async def make_collection(request: web.Request) -> web.Response:
    body, owner = await read_model(request, CollectionBody), owner_of(request)

    def work(connection: Connection) -> str:
        time_ms = now_ms()
        id = social.make_collection(
            connection, owner=owner, title=body.title, description=body.description, public=body.public, now_ms=time_ms
        )
        if body.items:
            social.fill_collection(connection, owner=owner, collection_id=id, listing_ids=body.items, now_ms=time_ms)
        return id

    return json_answer(Made(id=await change(request, work)), 201)


@routes.get("/marketplace/collections/{collection_id}", "A collection", headers=OWNER_HEADER,
            answers={200: Answer("the collection with its listings", CollectionModel)}, access=PUBLIC)  # fmt: skip
async def one_collection(request: web.Request) -> web.Response:
    viewer = person(request)
    row, ids = await look(request, social.find_collection, request.match_info["collection_id"], viewer)
    shown = _collection(row, viewer).model_dump()
    return json_answer({**shown, "items": await look(request, views.items, ids)})


@routes.put("/marketplace/collections/{collection_id}", "Change a collection", body=CollectionBody, headers=OWNER_HEADER,
            answers={200: Answer("done", Done)})  # fmt: skip
async def change_collection(request: web.Request) -> web.Response:
    """Without `items` what it holds stays."""
    body, owner, id = await read_model(request, CollectionBody), owner_of(request), request.match_info["collection_id"]
    await change(
        request, social.change_collection, owner=owner, collection_id=id, title=body.title, description=body.description, public=body.public,
        now_ms=now_ms(),
    )  # fmt: skip
    if body.items is not None:
        await change(request, social.fill_collection, owner=owner, collection_id=id, listing_ids=body.items, now_ms=now_ms())
    return json_answer(Done())


@routes.delete("/marketplace/collections/{collection_id}", "Throw a collection away", headers=OWNER_HEADER,
               answers={200: Answer("done", Done)})  # fmt: skip
async def delete_collection(request: web.Request) -> web.Response:
    await change(request, social.delete_collection, owner=owner_of(request), collection_id=request.match_info["collection_id"])
    return json_answer(Done())


def _collection(row: Any, viewer: str) -> CollectionModel:
    names = ("id", "title", "description", "public", "updated_ms")
    return CollectionModel(**{name: getattr(row, name) for name in names}, mine=row.owner == viewer)
