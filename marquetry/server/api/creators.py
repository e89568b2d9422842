"""Creators: who they are, what they earn, coupons; and what moderators do."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.marketplace.listings import coupons, creators, listing, reviews, social, statistics, versions
from marquetry.marketplace.listings.errors import CreatorMissing
from marquetry.server.api import PREFIXES
from marquetry.server.api.market import PUBLISH, creator_view, person
from marquetry.server.api.market_models import CreatorModel, Done, Items, Reason
from marquetry.server.api.trade_models import (
    CouponBody,
    CouponModel,
    Coupons,
    EarningsModel,
    FeatureBody,
    Followers,
    Made,
    ReportModel,
    Reports,
    ResolveBody,
    ReviewQueue,
    StatsModel,
)
from marquetry.server.caller import OWNER_HEADER, owner_of
from marquetry.server.http.access import PUBLIC, Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_model, read_query
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.live import now_ms
from marquetry.server.published import views
from marquetry.server.published.catalogue import CATALOGUE
from marquetry.server.published.work import change, look

MODERATE = Access(permission="market.moderate", scope="admin")
routes = RouteTable("Creators", PREFIXES)
moderation = RouteTable("Moderation of the market", PREFIXES, access=MODERATE)


class StatsQuery(BaseModel):
    days: int = Field(default=30, ge=1, le=366, description="how many of the last days")


class EarningsQuery(BaseModel):
    limit: int = Field(default=100, ge=1, le=500)


class MineQuery(BaseModel):
    limit: int = Field(default=100, ge=1, le=500)


@routes.get("/marketplace/creators/{handle}", "A creator", headers=OWNER_HEADER, answers={200: Answer("the creator", CreatorModel)},
            access=PUBLIC)  # fmt: skip
async def creator(request: web.Request) -> web.Response:
    handle, viewer = request.match_info["handle"], person(request)
    row = await look(request, creators.find_creator, handle)
    if row is None:
        raise CreatorMissing(f"nobody has the handle '{handle[:40]}'")
    followed = bool(viewer) and handle in await look(request, creators.followed_by, viewer)
    return json_answer(creator_view(row, followed))


@routes.get("/marketplace/creator", "The caller as a creator", headers=OWNER_HEADER, answers={200: Answer("the creator", CreatorModel)})
async def own_creator(request: web.Request) -> web.Response:
    return json_answer(creator_view(await look(request, creators.require_creator, owner_of(request))))


@routes.get("/marketplace/mine", "The caller's listings, drafts too", query=MineQuery, headers=OWNER_HEADER,
            answers={200: Answer("newest first", Items)})  # fmt: skip
async def mine(request: web.Request) -> web.Response:
    rows = await look(request, listing.listings_of, owner_of(request), read_query(request, MineQuery).limit)
    return json_answer({"items": [views.item(row) for row in rows], "cursor": None, "facets": {}})


@routes.get("/marketplace/creator/followers", "Who follows the caller", headers=OWNER_HEADER,
            answers={200: Answer("oldest first; yours to take along", Followers)}, access=PUBLISH)  # fmt: skip
async def followers(request: web.Request) -> web.Response:
    row = await look(request, creators.require_creator, owner_of(request))
    rows = await look(request, creators.followers, row.handle)
    return json_answer(Followers(followers=[{"user": each.owner, "since_ms": each.created_ms} for each in rows]))


@routes.get("/marketplace/creator/stats", "Uses, sales, audience and earnings of the caller's listings", query=StatsQuery,
            headers=OWNER_HEADER, answers={200: Answer("by listing and by day", StatsModel)})  # fmt: skip
async def stats(request: web.Request) -> web.Response:
    span = read_query(request, StatsQuery).days
    return json_answer(await look(request, statistics.creator_stats, owner_of(request), now_ms(), span))


@routes.get("/user/earnings", "What the caller earned", query=EarningsQuery, headers=OWNER_HEADER,
            answers={200: Answer("in all, and the newest entries", EarningsModel)})  # fmt: skip
async def earnings(request: web.Request) -> web.Response:
    return json_answer(await look(request, statistics.earnings_of, owner_of(request), read_query(request, EarningsQuery).limit))


@routes.get("/marketplace/coupons", "The caller's coupons", headers=OWNER_HEADER, answers={200: Answer("newest first", Coupons)},
            access=PUBLISH)  # fmt: skip
async def list_coupons(request: web.Request) -> web.Response:
    rows = await look(request, coupons.coupons_of, owner_of(request))
    return json_answer(Coupons(coupons=[CouponModel(**{name: getattr(row, name) for name in CouponModel.model_fields}) for row in rows]))


@routes.post("/marketplace/coupons", "Make a coupon", body=CouponBody, headers=OWNER_HEADER, answers={201: Answer("its id", Made)},
             access=PUBLISH)  # fmt: skip
async def make_coupon(request: web.Request) -> web.Response:
    body = await read_model(request, CouponBody)
    id = await change(request, coupons.make_coupon, owner=owner_of(request), now_ms=now_ms(), **body.model_dump())
    return json_answer(Made(id=id), 201)


@routes.delete("/marketplace/coupons/{coupon_id}", "Throw a coupon away", headers=OWNER_HEADER, answers={200: Answer("done", Done)},
               access=PUBLISH)  # fmt: skip
async def delete_coupon(request: web.Request) -> web.Response:
    await change(request, coupons.delete_coupon, owner=owner_of(request), coupon_id=request.match_info["coupon_id"])
    return json_answer(Done())


@routes.get("/marketplace/featured/{slot}", "What is put in front", answers={200: Answer("in its order", Items)}, access=PUBLIC)
async def featured(request: web.Request) -> web.Response:
    ids = await look(request, social.featured, request.match_info["slot"], now_ms())
    return json_answer({"items": await look(request, views.items, ids), "cursor": None, "facets": {}})


@moderation.get("/marketplace/moderation/versions", "What waits for review", answers={200: Answer("oldest first", ReviewQueue)})
async def waiting(request: web.Request) -> web.Response:
    rows = await look(request, versions.waiting_for_review)
    return json_answer(ReviewQueue(versions=[_waiting(row) for row in rows]))


@moderation.post("/marketplace/moderation/versions/{version_id}/approve", "Publish a version", body_required=False,
                 answers={200: Answer("done", Done)})  # fmt: skip
async def approve(request: web.Request) -> web.Response:
    version_id = request.match_info["version_id"]
    await change(request, versions.approve, version_id=version_id, reviewer=owner_of(request), now_ms=now_ms())
    request.app[CATALOGUE].changed()
    return json_answer(Done())


@moderation.post("/marketplace/moderation/versions/{version_id}/reject", "Send a version back", body=Reason,
                 answers={200: Answer("done", Done)})  # fmt: skip
async def reject(request: web.Request) -> web.Response:
    body = await read_model(request, Reason)
    await change(request, versions.reject, version_id=request.match_info["version_id"], reviewer=owner_of(request), note=body.reason)
    return json_answer(Done())


@moderation.get("/marketplace/moderation/reports", "Reports of listings", answers={200: Answer("open ones, oldest first", Reports)})
async def reports(request: web.Request) -> web.Response:
    rows = await look(request, social.open_reports)
    names = ("id", "title", "reason", "text", "state", "resolution", "created_ms", "resolved_ms")
    shown = [
        ReportModel(listing=row.listing_id, name=f"{row.handle}/{row.slug}", **{name: getattr(row, name) for name in names}) for row in rows
    ]
    return json_answer(Reports(reports=shown))


@moderation.post("/marketplace/moderation/reports/{report_id}", "Decide on a report", body=ResolveBody,
                 answers={200: Answer("done", Done)})  # fmt: skip
async def resolve(request: web.Request) -> web.Response:
    body = await read_model(request, ResolveBody)
    await change(
        request, social.resolve, report_id=request.match_info["report_id"], uphold=body.uphold, resolution=body.resolution,
        by=owner_of(request), now_ms=now_ms(),
    )  # fmt: skip
    request.app[CATALOGUE].changed()
    return json_answer(Done())


@moderation.post("/marketplace/moderation/items/{id}/take-down", "Take a listing down", body=Reason, answers={200: Answer("done", Done)})
async def take_down(request: web.Request) -> web.Response:
    """Nobody sees or runs it any more, its creator apart, who reads the reason."""
    body = await read_model(request, Reason)
    await change(request, listing.take_down, listing_id=request.match_info["id"], reason=body.reason, now_ms=now_ms())
    request.app[CATALOGUE].changed()
    return json_answer(Done())


@moderation.post("/marketplace/moderation/items/{id}/put-back", "Undo a take-down", body_required=False,
                 answers={200: Answer("done", Done)})  # fmt: skip
async def put_back(request: web.Request) -> web.Response:
    await change(request, listing.put_back, listing_id=request.match_info["id"], now_ms=now_ms())
    request.app[CATALOGUE].changed()
    return json_answer(Done())


@moderation.post("/marketplace/moderation/reviews/{review_id}/{act:hide|show}", "Hide a review, or show it again", body_required=False,
                 answers={200: Answer("done", Done)})  # fmt: skip
async def hide_review(request: web.Request) -> web.Response:
    await change(request, reviews.hide_review, review_id=request.match_info["review_id"], hidden=request.match_info["act"] == "hide")
    return json_answer(Done())


@moderation.post(
    "/marketplace/moderation/featured", "Put a listing in front for a time", body=FeatureBody, answers={201: Answer("its id", Made)}
)
async def feature(request: web.Request) -> web.Response:
    body = await read_model(request, FeatureBody)
    given = body.model_dump()
    id = await change(request, social.feature, listing_id=given.pop("listing"), by=owner_of(request), **given)
    return json_answer(Made(id=id), 201)


@moderation.delete("/marketplace/moderation/featured/{slot_id}", "Take a listing from the front", answers={200: Answer("done", Done)})
async def unfeature(request: web.Request) -> web.Response:
    await change(request, social.unfeature, slot_id=request.match_info["slot_id"])
    return json_answer(Done())


@moderation.post("/marketplace/moderation/creators/{handle}/founding", "Give the badge of founding creators", body_required=False,
                 answers={200: Answer("done", Done)})  # fmt: skip
async def give_badge(request: web.Request) -> web.Response:
    await change(request, lambda connection: creators.set_founding(connection, request.match_info["handle"], True))
    return json_answer(Done())


def _waiting(row: Any) -> dict[str, Any]:
    names = ("id", "listing_id", "title", "handle", "slug", "kind", "version", "changelog", "created_ms")
    return {name: getattr(row, name) for name in names}
