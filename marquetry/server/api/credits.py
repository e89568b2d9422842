"""Credits: balance and history of the caller, reservations, and what admins adjust."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any

from aiohttp import web

from marquetry.server.api import PREFIXES
from marquetry.server.api.credit_models import (
    MAX_PAGE,
    Adjusted,
    BalanceModel,
    CreditAdjustment,
    CreditRefund,
    HistoryModel,
    HistoryQuery,
    Refunded,
    Release,
    Reservation,
    Reserve,
    Settle,
    SettledModel,
    TableQuery,
    balance_model,
    entry_model,
    kinds_of,
)
from marquetry.server.caller import OWNER_HEADER, caller_of, owner_of, require
from marquetry.server.database.writer import Operation
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_model, read_query
from marquetry.server.http.errors import NotFound, RequestError
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.live import now_ms
from marquetry.server.keys import DATABASE

if TYPE_CHECKING:
    from marquetry.marketplace.ledger import Balance, Entry

routes = RouteTable("Credits", PREFIXES)
reservations = RouteTable("Credits", ("/api/v1", ""))
SPENDING = Access(scope="money")
ADJUSTING = Access(permission="credits.adjust", scope="admin", fresh=True)
KEY_HEADER = {"Idempotency-Key": "the same key with the same body reserves once, however often it is sent", **OWNER_HEADER}
MAX_KEY_CHARACTERS = 256
MAX_ROWS = 100_000


@routes.get(
    "/credits/balance",
    "Balance",
    headers=OWNER_HEADER,
    also=("/api/credits/balance",),
    answers={200: Answer("what the caller has", BalanceModel)},
)
async def get_balance(request: web.Request) -> web.Response:
    return json_answer(balance_model(await _balance(request, owner_of(request))))


@reservations.get(
    "/users/{user_id}/buzz", "Balance of a person", headers=OWNER_HEADER, answers={200: Answer("what the person has", BalanceModel)}
)
async def get_balance_of(request: web.Request) -> web.Response:
    """One's own, by id or as `me`; of others for who may adjust credits."""
    caller, wanted = caller_of(request), request.match_info["user_id"]
    if wanted not in ("me", caller.owner) and not caller.may("credits.adjust"):
        raise NotFound(f"there is no user '{wanted[:100]}'")
    return json_answer(balance_model(await _balance(request, caller.owner if wanted == "me" else wanted)))


@routes.get(
    "/credits/history",
    "History of credits",
    query=HistoryQuery,
    headers=OWNER_HEADER,
    also=("/api/credits/history", "/buzz/transactions", "/api/v1/buzz/transactions"),
    answers={200: Answer("entries, newest first", HistoryModel)},
)
async def history(request: web.Request) -> web.Response:
    """Purchases, grants, holds, charges, refunds, earnings and payouts that touch the caller's accounts."""
    query = read_query(request, HistoryQuery)
    found = await _entries(request, owner_of(request), query, query.after, query.limit + 1)
    page = [entry_model(entry) for entry in found[: query.limit]]
    return json_answer(HistoryModel(entries=page, next_after=page[-1].id if len(found) > query.limit else None))


@routes.get(
    "/credits/history.csv",
    "History of credits as a table",
    query=TableQuery,
    headers=OWNER_HEADER,
    also=("/api/credits/history.csv",),
    answers={200: Answer(f"CSV with a line of names, newest first, at most {MAX_ROWS:,} entries", content_type="text/csv")},
)
async def history_table(request: web.Request) -> web.StreamResponse:
    from marquetry.server.ledger.table import HEADER, rows

    query, owner = read_query(request, TableQuery), owner_of(request)
    page = await _entries(request, owner, query, None, MAX_PAGE)
    answer = web.StreamResponse(headers={"Content-Disposition": 'attachment; filename="credits.csv"'})
    answer.content_type, answer.charset = "text/csv", "utf-8"
    await answer.prepare(request)
    await answer.write(HEADER)
    written = 0
    while page and written < MAX_ROWS:
        await answer.write(rows(page))
        written += len(page)
        page = await _entries(request, owner, query, page[-1].id, MAX_PAGE) if len(page) == MAX_PAGE else []
    await answer.write_eof()
    return answer


@reservations.post(
    "/buzz/reserve",
    "Set credits aside",
    body=Reserve,
    headers=KEY_HEADER,
    access=SPENDING,
    answers={200: Answer("they are held for five minutes", Reservation)},
)
async def reserve(request: web.Request) -> web.Response:
    """Without a commit within five minutes they go back by themselves. What an API key sets aside counts against what it may spend."""
    from marquetry.server.ledger import operations

    body, owner = await read_model(request, Reserve), owner_of(request)
    wanted = operations.Reservation(owner, _reservation_id(request, owner), body.microcredits, now_ms(), caller_of(request).key_id)
    hold = await request.app[DATABASE].write(operations.RESERVE, wanted)
    return json_answer(
        Reservation(
            reservation_id=hold.run_id,
            state=hold.state,
            amount_microcredits=hold.amount_microcredits,
            expires_ms=hold.expires_ms,
            balance=balance_model(await _balance(request, owner)),
        )
    )


@reservations.post(
    "/buzz/commit",
    "Spend what was set aside",
    body=Settle,
    headers=OWNER_HEADER,
    access=SPENDING,
    answers={200: Answer("done", SettledModel)},
)
async def commit(request: web.Request) -> web.Response:
    """All of it, or the given amount; the rest goes back. The same again changes nothing."""
    from marquetry.server.ledger import operations

    body = await read_model(request, Settle)
    return await _settle(request, operations.COMMIT, body.reservation_id, body.microcredits, body.description)


@reservations.post(
    "/buzz/release",
    "Give back what was set aside",
    body=Release,
    headers=OWNER_HEADER,
    access=SPENDING,
    answers={200: Answer("done", SettledModel)},
)
async def release(request: web.Request) -> web.Response:
    """The same again changes nothing."""
    from marquetry.server.ledger import operations

    body = await read_model(request, Release)
    return await _settle(request, operations.RELEASE, body.reservation_id, None, "")


@routes.post(
    "/admin/credits",
    "Adjust somebody's credits",
    body=CreditAdjustment,
    access=ADJUSTING,
    also=("/api/admin/credits",),
    answers={200: Answer("the balance after it", Adjusted)},
)
async def adjust(request: web.Request) -> web.Response:
    """Give, or below zero take. The reason is kept with who did it, in the books and in the security events of the person."""
    from marquetry.server.ledger import operations

    caller, body = require(request, "credits.adjust"), await read_model(request, CreditAdjustment)
    wanted = operations.Adjustment(
        caller.owner, body.owner, body.amount_microcredits, body.purse, body.reason, f"admin: {body.key}", now_ms()
    )  # fmt: skip
    balance = await request.app[DATABASE].write(operations.ADJUST, wanted)
    return json_answer(Adjusted(owner=body.owner, balance=balance_model(balance)))


@routes.post(
    "/admin/credits/refund",
    "Refund a run",
    body=CreditRefund,
    access=ADJUSTING,
    also=("/api/admin/credits/refund",),
    answers={200: Answer("what went back", Refunded)},
)
async def refund(request: web.Request) -> web.Response:
    """What the run, or one node of it, was charged goes back to where it came from; creators give their part back."""
    from marquetry.server.ledger import operations

    caller, body = require(request, "credits.adjust"), await read_model(request, CreditRefund)
    wanted = operations.RunRefund(
        caller.owner, body.run_id, body.node_id, body.amount_microcredits, body.reason, f"admin: {body.key}", now_ms()
    )  # fmt: skip
    refunded = await request.app[DATABASE].write(operations.REFUND, wanted)
    return json_answer(Refunded(run_id=body.run_id, refunded_microcredits=refunded))


async def _balance(request: web.Request, owner: str) -> Balance:
    from marquetry.marketplace.ledger import balance

    return await request.app[DATABASE].read(balance, owner)


async def _entries(request: web.Request, owner: str, query: TableQuery, after: int | None, limit: int) -> list[Entry]:
    from marquetry.marketplace.ledger import entries

    return await request.app[DATABASE].read(
        entries, owner, kinds=kinds_of(query.kinds), since_ms=query.since_ms, until_ms=query.until_ms, after=after, limit=limit
    )


def _reservation_id(request: web.Request, owner: str) -> str:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return f"reservation-{secrets.token_hex(16)}"
    if not 0 < len(key) <= MAX_KEY_CHARACTERS:
        raise RequestError(f"Idempotency-Key has 1 to {MAX_KEY_CHARACTERS} characters")
    return f"reservation-{hashlib.sha256(f'{len(owner)}:{owner}{key}'.encode('utf-8', 'surrogateescape')).hexdigest()}"


async def _settle(request: web.Request, operation: Operation[Any, Any], id: str, amount: int | None, description: str) -> web.Response:
    from marquetry.server.ledger.operations import Settlement

    wanted = Settlement(owner_of(request), id, amount, description, now_ms())
    settled = await request.app[DATABASE].write(operation, wanted)
    return json_answer(
        SettledModel(
            reservation_id=id,
            captured_microcredits=settled.captured_microcredits,
            released_microcredits=settled.released_microcredits,
            balance=balance_model(settled.balance),
        )
    )
