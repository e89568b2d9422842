"""Billing: what was paid, invoices, what stands on them; for admins refunds and money that came another way."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import TYPE_CHECKING, Any

from aiohttp import web

from marquetry.server.api import PREFIXES
from marquetry.server.api.payment_models import (
    AdminPayments,
    AdminQuery,
    BillingDetails,
    BillingHistory,
    BillingQuery,
    ManualPayment,
    PaymentModel,
    RefundBody,
    RefundModel,
)
from marquetry.server.api.payments import FAILED, NOT_SET_UP
from marquetry.server.caller import OWNER_HEADER, caller_of, owner_of, require
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_model, read_query
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.payments.key import payments_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

routes = RouteTable("Billing", PREFIXES)
CHANGING = Access(scope="money", fresh=True)
ADMIN = Access(permission="payments.manage", scope="admin", fresh=True)
MAX_TABLE_ROWS = 10_000
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@routes.get(
    "/billing/history",
    "Payments",
    query=BillingQuery,
    headers=OWNER_HEADER,
    also=("/api/billing/history",),
    answers={200: Answer("payments, newest first, with invoices, refunds and disputes; and debts", BillingHistory)},
)
async def history(request: web.Request) -> web.Response:
    """Every payment has an invoice. What credits were used for is in the history of credits."""
    query = read_query(request, BillingQuery)
    owner, desk = owner_of(request), payments_of(request).desk
    from marquetry.marketplace.payments.debts import debts_of
    from marquetry.server.payments.shown import debt_model, payment_models

    def found(connection: Connection) -> tuple[list[PaymentModel], list[Any]]:
        page = payment_models(connection, owner, after=query.after, limit=query.limit + 1)
        return page, debts_of(connection, owner)

    page, debts = await desk.read(found)
    shown = page[: query.limit]
    more = shown[-1].payment_id if len(page) > query.limit else None
    return json_answer(BillingHistory(payments=shown, debts=[debt_model(debt) for debt in debts], next_after=more))


@routes.get(
    "/billing/history.csv",
    "Payments as a table",
    headers=OWNER_HEADER,
    also=("/api/billing/history.csv",),
    answers={200: Answer(f"CSV with a line of names, newest first, at most {MAX_TABLE_ROWS:,} payments", content_type="text/csv")},
)
async def history_table(request: web.Request) -> web.Response:
    from marquetry.server.payments.shown import COLUMNS, payment_models

    found = await payments_of(request).desk.read(payment_models, owner_of(request), limit=MAX_TABLE_ROWS)

    def table() -> str:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        for payment in found:
            writer.writerow([_cell(getattr(payment, name)) for name in COLUMNS])
        return text.getvalue()

    headers = {"Content-Disposition": 'attachment; filename="payments.csv"'}
    return web.Response(text=await asyncio.to_thread(table), content_type="text/csv", headers=headers)


@routes.get(
    r"/billing/invoices/{number:[A-Za-z0-9-]{1,40}}.pdf",
    "An invoice or credit note",
    headers=OWNER_HEADER,
    also=(r"/api/billing/invoices/{number:[A-Za-z0-9-]{1,40}}.pdf", r"/billing/invoices/{number:[A-Za-z0-9-]{1,40}}.pdf"),
    answers={200: Answer("a PDF", content_type="application/pdf")},
)
async def invoice(request: web.Request) -> web.Response:
    """One's own; of others for who manages payments."""
    from marquetry.marketplace.payments.invoice_pdf import render
    from marquetry.marketplace.payments.invoices import get_invoice

    caller = caller_of(request)
    owner = None if caller.may("payments.manage") else caller.owner
    found = await payments_of(request).desk.read(get_invoice, request.match_info["number"], owner)
    body = await asyncio.to_thread(render, found.printed)
    headers = {"Content-Disposition": f'inline; filename="{found.number}.pdf"', "Cache-Control": "private, no-store"}
    return web.Response(body=body, content_type="application/pdf", headers=headers)


@routes.get("/billing/details", "What stands on invoices", headers=OWNER_HEADER, answers={200: Answer("the buyer", BillingDetails)})
async def details(request: web.Request) -> web.Response:
    from marquetry.marketplace.payments.invoices import buyer_of

    buyer = await payments_of(request).desk.read(buyer_of, owner_of(request))
    return json_answer(BillingDetails(name=buyer.name, address=buyer.address, country=buyer.country, tax_id=buyer.tax_id))


@routes.put(
    "/billing/details",
    "Change what stands on invoices",
    body=BillingDetails,
    headers=OWNER_HEADER,
    access=CHANGING,
    answers={200: Answer("for invoices from now on", BillingDetails)},
)
async def set_details(request: web.Request) -> web.Response:
    body, owner, desk = await read_model(request, BillingDetails), owner_of(request), payments_of(request).desk
    from marquetry.marketplace.payments.invoices import Buyer, set_buyer

    await desk.write(set_buyer, owner, Buyer(body.name, body.address, body.country, body.tax_id), desk.clock_ms())
    return json_answer(body)


@routes.get(
    "/admin/payments",
    "Payments of everybody",
    query=AdminQuery,
    headers=OWNER_HEADER,
    access=ADMIN,
    answers={200: Answer("payments, newest first; open debts; what is odd about packs", AdminPayments)},
)
async def all_payments(request: web.Request) -> web.Response:
    require(request, "payments.manage")
    query = read_query(request, AdminQuery)
    from marquetry.marketplace.payments.debts import owed
    from marquetry.marketplace.payments.receipts import UNEXPECTED
    from marquetry.marketplace.plans.packs import shipped_packs, warnings
    from marquetry.server.payments.shown import payment_models

    kinds = (UNEXPECTED,) if query.unexpected else ()

    def found(connection: Connection) -> tuple[list[PaymentModel], int]:
        page = payment_models(connection, query.owner, kinds=kinds, after=query.after, limit=query.limit + 1)
        return page, owed(connection)

    page, debts = await payments_of(request).desk.read(found)
    shown = page[: query.limit]
    more = shown[-1].payment_id if len(page) > query.limit else None
    return json_answer(AdminPayments(payments=shown, owed_microcredits=debts, warnings=warnings(shipped_packs()), next_after=more))


@routes.post(
    "/admin/payments/{payment_id}/refund",
    "Give a payment back",
    body=RefundBody,
    headers=OWNER_HEADER,
    access=ADMIN,
    answers={200: Answer("its credits are taken back; what was spent of them is a debt", RefundModel), **FAILED, **NOT_SET_UP},
)
async def refund(request: web.Request) -> web.Response:
    """Wholly or in part, through the provider. Where it can't say yet, `state` is begun, and it is asked again."""
    caller, body = require(request, "payments.manage"), await read_model(request, RefundBody)
    from marquetry.server.payments.shown import refund_model

    made = await payments_of(request).refund(
        request.match_info["payment_id"], body.amount_minor, key=body.key, reason=body.reason, made_by=caller.owner
    )
    return json_answer(refund_model(made))


@routes.post(
    "/admin/payments/manual",
    "Enter money that came another way",
    body=ManualPayment,
    headers=OWNER_HEADER,
    access=ADMIN,
    answers={200: Answer("the payment, with its credits and its invoice", PaymentModel)},
)
async def manual(request: web.Request) -> web.Response:
    """A bank transfer for a pack, say, when no provider works. Once for each reference."""
    require(request, "payments.manage")
    body, payments = await read_model(request, ManualPayment), payments_of(request)
    from marquetry.server.payments.shown import payment_models

    made = await payments.manual(body.owner, body.pack, body.currency, body.reference, body.note)
    found = await payments.desk.read(payment_models, body.owner, limit=200)
    return json_answer(next(payment for payment in found if payment.payment_id == made.id))


def _cell(value: object) -> object:
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULA) else value
