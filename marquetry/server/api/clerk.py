"""Clerk's webhooks: accounts that are kept there are made, changed and removed here too, by their external id."""

from __future__ import annotations

from aiohttp import web

from marquetry.server.accounts.key import accounts_of
from marquetry.server.api.account_models import MAX_BODY_BYTES, Done
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_bytes
from marquetry.server.http.routes import Answer, RouteTable

routes = RouteTable("Users", ("/api/v1", "/api"))


@routes.post(
    "/clerk-webhook",
    "Hear of accounts at Clerk",
    body=dict,
    headers={"svix-id": "number of the message", "svix-timestamp": "when it was sent", "svix-signature": "what proves it"},
    access=Access(public=True, foreign=True),
    answers={200: Answer("heard", Done)},
)
async def clerk_webhook(request: web.Request) -> web.Response:
    """user.created, user.updated and user.deleted; others change nothing. A message that comes again changes nothing either."""
    accounts, body = accounts_of(request), await read_bytes(request, MAX_BODY_BYTES)
    from marquetry.server.accounts import clerk

    await clerk.take(accounts, request.headers, body)
    return json_answer(Done())
