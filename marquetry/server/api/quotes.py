"""Quotes and receipts: what a graph will cost at most before it runs, and what it really cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from marquetry.marketplace.errors import NotConfigured
from marquetry.server.api import PREFIXES
from marquetry.server.api.jobs import refuse_problems
from marquetry.server.api.price_models import QuoteModel, QuoteRequest, ReceiptModel, RefusalModel
from marquetry.server.caller import OWNER_HEADER, caller_of, files_owner, owner_filter, owner_of
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import check, read_object
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import CHECK, DATABASE
from marquetry.server.market.keys import MARKET
from marquetry.server.openapi import Error

if TYPE_CHECKING:
    from marquetry.server.market.market import Market

routes = RouteTable("Prices", PREFIXES)
OFF = {503: Answer("the market is off: jobs are free", Error)}


class MarketOff(NotConfigured):
    """Jobs are free here."""

    code = "market_off"


@routes.post(
    "/quote",
    "What a graph costs",
    body=QuoteRequest,
    headers=OWNER_HEADER,
    answers={200: Answer("line by line, and at most", QuoteModel), **OFF},
)
async def quote(request: web.Request) -> web.Response:
    """Nothing runs and nothing is held. What the caller's plan does not allow is said beside the quote."""
    market = market_of(request)
    body = _request(await read_object(request))
    checked = await request.app[CHECK].check(await _api_graph(request, body.graph), body.targets, files_owner(request))
    refuse_problems(checked)
    from marquetry.marketplace import ledger
    from marquetry.marketplace.plans.errors import NotInPlan
    from marquetry.server.jobs.live import now_ms
    from marquetry.server.market.market import Order
    from marquetry.server.market.shown import quote_model

    owner, time_ms = owner_of(request), now_ms()
    foreseen = await market.foresee(checked.graph, checked.outputs, files_owner(request))
    order = Order(foreseen, body.quality, caller_of(request).key_id is not None)
    refusal: RefusalModel | None = None
    try:
        (offer,) = await market.offers(owner, [order], time_ms)
    except NotInPlan as error:
        (offer,) = await market.offers(owner, [order], time_ms, enforce=False)
        refusal = RefusalModel(code=error.code, message=error.message, details=error.details)
    balance = await request.app[DATABASE].read(ledger.balance, owner)
    return json_answer(quote_model(offer, balance.spendable, refusal))


@routes.get(
    "/jobs/{job_id}/receipt",
    "What a job cost",
    headers=OWNER_HEADER,
    answers={200: Answer("the lines of its quote with what really happened", ReceiptModel), **OFF},
)
async def receipt(request: web.Request) -> web.Response:
    """What there is so far, while the job runs."""
    market = market_of(request)
    from marquetry.marketplace.metering.receipts import receipt as read_receipt
    from marquetry.server.market.shown import receipt_model

    found = await request.app[DATABASE].read(read_receipt, request.match_info["job_id"], owner_filter(request))
    plan = market.plans[found.plan if found.plan in market.plans else market.settings.default_plan]
    return json_answer(receipt_model(found, plan.unit))


def market_of(request: web.Request) -> Market:
    """The market. Raises MarketOff."""
    market = request.app.get(MARKET)
    if market is None:
        raise MarketOff("the market is off, so jobs are free; the operator turns it on with the setting market.enabled")
    return market


def _request(body: dict[str, Any]) -> QuoteRequest:
    is_graph = (
        "graph" not in body or isinstance(body.get("nodes"), list) or (isinstance(body["graph"], dict) and "class_type" in body["graph"])
    )
    return check(QuoteRequest, {"graph": body} if is_graph else body, "body")


async def _api_graph(request: web.Request, graph: dict[str, Any]) -> dict[str, Any]:
    """The graph in API format, whichever it came in."""
    if not isinstance(graph.get("nodes"), list):
        return graph
    import asyncio

    from marquetry.engine.editor import to_api

    checking = request.app[CHECK]
    conversion = await asyncio.to_thread(to_api, graph, checking.registry, checking.folders, max_nodes=checking.limits.nodes)
    return conversion.graph
