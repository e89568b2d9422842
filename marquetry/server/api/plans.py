"""Plans: which there are, which the caller has, how fast credits go, and for admins which plans lose money."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.api import PREFIXES
from marquetry.server.api.price_models import MarginModel, MarginReport, PackModel, PlanList, ProjectionModel, SubscriptionModel
from marquetry.server.api.quotes import OFF, market_of
from marquetry.server.caller import OWNER_HEADER, owner_of, require
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_query
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import DATABASE

routes = RouteTable("Plans", PREFIXES)
DAY_MS = 86_400_000


class PlansQuery(BaseModel):
    family: str | None = Field(default=None, max_length=100, description="only plans of this family")


class MarginsQuery(BaseModel):
    days: int = Field(default=30, ge=1, le=3660, description="how far back what really was is counted")


@routes.get("/plans", "Plans", query=PlansQuery, answers={200: Answer("plans and packs of credits", PlanList), **OFF})
async def plans(request: web.Request) -> web.Response:
    market = market_of(request)
    wanted = read_query(request, PlansQuery).family
    from marquetry.marketplace.plans.packs import shipped_packs
    from marquetry.server.market.shown import plan_model

    shown = [plan_model(plan) for plan in market.plans if wanted in (None, plan.family)]
    packs = [
        PackModel(id=pack.id, microcredits=pack.microcredits, prices=dict(pack.prices))
        for pack in shipped_packs()
        if wanted in (None, pack.family)
    ]
    return json_answer(PlanList(plans=shown, packs=packs))


@routes.get(
    "/subscription",
    "The caller's plan",
    headers=OWNER_HEADER,
    answers={200: Answer("the plan, what it allows, and what is used of it", SubscriptionModel), **OFF},
)
async def subscription(request: web.Request) -> web.Response:
    market = market_of(request)
    from marquetry.marketplace.metering.reports import projection
    from marquetry.marketplace.plans.quotas import used
    from marquetry.marketplace.plans.roles import PERMISSIONS
    from marquetry.server.jobs.live import now_ms
    from marquetry.server.market.shown import plan_model

    owner, time_ms, database = owner_of(request), now_ms(), request.app[DATABASE]
    await market.greet(owner, time_ms)
    standing = await market.standing(owner, time_ms)
    taken = await database.read(used, owner, standing.month_start_ms)
    pace = await database.read(projection, owner, time_ms, low_microcredits=market.settings.low_balance_microcredits)
    found = standing.subscription
    return json_answer(
        SubscriptionModel(
            plan=plan_model(standing.plan),
            status="none" if found is None else found.status,
            interval=None if found is None else found.interval,
            currency=None if found is None else found.currency,
            price_minor=None if found is None else found.price_minor,
            period_start_ms=standing.month_start_ms if found is None else found.period_start_ms,
            period_end_ms=standing.month_end_ms if found is None else found.period_end_ms,
            month_start_ms=standing.month_start_ms,
            month_end_ms=standing.month_end_ms,
            cancel_at_period_end=found is not None and found.cancel_at_period_end,
            next_plan=None if found is None else found.next_plan,
            permissions=sorted(PERMISSIONS[standing.plan.role]),
            used=taken,
            usage=ProjectionModel.model_validate(asdict(pace)),
        )
    )


@routes.get(
    "/admin/margins",
    "Which plans lose money",
    query=MarginsQuery,
    headers=OWNER_HEADER,
    answers={200: Answer("each plan in each currency", MarginReport), **OFF},
)
async def margins(request: web.Request) -> web.Response:
    """A plan loses money when using all of it on what costs most costs the operator more than the plan brings."""
    require(request, "admin")
    market = market_of(request)
    days = read_query(request, MarginsQuery).days
    from marquetry.marketplace.metering.reports import margins as read_margins
    from marquetry.marketplace.plans.packs import shipped_packs, warnings
    from marquetry.server.jobs.live import now_ms

    time_ms = now_ms()
    found = await request.app[DATABASE].read(read_margins, market.plans, market.prices.books, time_ms - days * DAY_MS, time_ms)
    shown = [MarginModel.model_validate(asdict(margin)) for margin in found]
    return json_answer(MarginReport(plans=shown, warnings=warnings(shipped_packs())))
