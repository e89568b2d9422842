"""Payouts to creators: what was paid, statements, and what the operator does by hand."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from marquetry.marketplace.listings import payouts, statement
from marquetry.server.api import PREFIXES
from marquetry.server.api.market_models import Reason
from marquetry.server.caller import OWNER_HEADER, owner_of
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_model
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.live import now_ms
from marquetry.server.keys import SETTINGS
from marquetry.server.published.paying import pay
from marquetry.server.published.work import change, look

OPERATOR = Access(permission="admin", scope="admin", fresh=True)
routes = RouteTable("Creators", PREFIXES)
operator = RouteTable("Payouts", PREFIXES, access=OPERATOR)


class PayoutModel(BaseModel):
    id: str
    creator: str
    period: str = Field(description="the month that it is about")
    amount_microcredits: int
    usd_cents: int
    method: str
    state: str = Field(description="begun, settled or cancelled")
    transfer: str
    created_ms: int


class Payouts(BaseModel):
    payouts: list[PayoutModel]


class Settled(BaseModel):
    model_config = ConfigDict(extra="forbid")

    transfer: str = Field(min_length=1, max_length=200, description="how the transfer is known at the bank")


@routes.get("/user/payouts", "What was paid out to the caller", headers=OWNER_HEADER, answers={200: Answer("newest first", Payouts)})
async def own_payouts(request: web.Request) -> web.Response:
    rows = await look(request, payouts.payouts_of, owner_of(request))
    return json_answer(Payouts(payouts=[shown(row) for row in rows]))


@routes.get("/user/payouts/{payout_id}/statement", "What a payout is made of", headers=OWNER_HEADER,
            answers={200: Answer("the statement", content_type="application/pdf")})  # fmt: skip
async def own_statement(request: web.Request) -> web.Response:
    payout = await look(request, payouts.find_payout, request.match_info["payout_id"], owner_of(request))
    found = await look(request, statement.statement_lines, payout)
    data = await asyncio.to_thread(statement.render, payout, found, request.app[SETTINGS].listings.company)
    headers = {"Content-Disposition": f'attachment; filename="statement-{payout.period}.pdf"'}
    return web.Response(body=data, content_type="application/pdf", headers=headers)


@operator.post("/marketplace/payouts/run", "Pay what is due now", body_required=False, answers={200: Answer("what was set aside", Payouts)})
async def run(request: web.Request) -> web.Response:
    """Once a month for each creator, however often it is called. Happens by itself every hour where the market is on."""
    return json_answer(Payouts(payouts=[shown(row) for row in await pay(request.app)]))


@operator.get("/marketplace/payouts/open.csv", "Payouts to be transferred by hand",
              answers={200: Answer("one line for each", content_type="text/csv")})  # fmt: skip
async def by_hand(request: web.Request) -> web.Response:
    rows = await look(request, payouts.open_payouts, payouts.MANUAL)
    headers = {"Content-Disposition": 'attachment; filename="payouts.csv"'}
    return web.Response(text=payouts.as_csv(rows), content_type="text/csv", headers=headers)


@operator.post("/marketplace/payouts/{payout_id}/settle", "A transfer has arrived", body=Settled,
               answers={200: Answer("the payout", PayoutModel)})  # fmt: skip
async def settle(request: web.Request) -> web.Response:
    body = await read_model(request, Settled)
    id = request.match_info["payout_id"]
    return json_answer(shown(await change(request, payouts.settle, payout_id=id, transfer=body.transfer, now_ms=now_ms())))


@operator.post("/marketplace/payouts/{payout_id}/cancel", "A transfer won't happen", body=Reason,
               answers={200: Answer("the payout", PayoutModel)})  # fmt: skip
async def cancel(request: web.Request) -> web.Response:
    """It is the creator's again, and part of the next month's."""
    body = await read_model(request, Reason)
    id = request.match_info["payout_id"]
    return json_answer(shown(await change(request, payouts.cancel, payout_id=id, reason=body.reason, now_ms=now_ms())))


def shown(row: Any) -> PayoutModel:
    names = ("id", "period", "amount_microcredits", "method", "state", "transfer", "created_ms")
    return PayoutModel(**{name: getattr(row, name) for name in names}, creator=row.handle, usd_cents=row.cents)
