"""API keys: made, listed, changed and revoked by people who signed in; a key can't do any of that, so it can't give itself more."""

from __future__ import annotations

from aiohttp import web

from marquetry.marketplace.accounts.roles import SCOPES
from marquetry.server.accounts.key import accounts_of
from marquetry.server.api.account_models import Done, KeyChange, Keys, KeyView, MadeKey, NewKeyBody, read_small
from marquetry.server.api.auth import CSRF
from marquetry.server.caller import require_person
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.routes import Answer, RouteTable

routes = RouteTable("API keys", ("/api/v1", "/api"), access=Access(scope="account", person=True, fresh=True))


@routes.get("/settings/api-keys", "One's keys", answers={200: Answer("keys, newest first", Keys)})
async def list_keys(request: web.Request) -> web.Response:
    accounts, caller = accounts_of(request), require_person(request)
    from marquetry.marketplace.accounts import api_keys
    from marquetry.server.accounts.views import key_view

    found = await accounts.read(api_keys.keys_of, caller.owner)
    return json_answer(Keys(keys=[key_view(key) for key in found], scopes=dict(SCOPES)))


@routes.post("/settings/api-keys", "Make a key", body=NewKeyBody, headers=CSRF, answers={201: Answer("the key, this one time", MadeKey)})
async def make_key(request: web.Request) -> web.Response:
    accounts, caller, body = accounts_of(request), require_person(request), await read_small(request, NewKeyBody)
    from marquetry.server.accounts import key_making
    from marquetry.server.accounts.handing_out import place_of

    made = await key_making.make(accounts, caller, body, place_of(accounts, request))
    return json_answer(made, 201, {"Cache-Control": "no-store"})


@routes.patch("/settings/api-keys/{key_id}", "Change a key", body=KeyChange, headers=CSRF, answers={200: Answer("the key", KeyView)})
async def change_key(request: web.Request) -> web.Response:
    """What the body does not name stays as it is."""
    accounts, caller, body = accounts_of(request), require_person(request), await read_small(request, KeyChange)
    from marquetry.server.accounts import key_making
    from marquetry.server.accounts.handing_out import place_of

    return json_answer(await key_making.change(accounts, caller, request.match_info["key_id"], body, place_of(accounts, request)))


@routes.delete("/settings/api-keys/{key_id}", "Revoke a key", headers=CSRF, answers={200: Answer("it is good no more", Done)})
async def revoke_key(request: web.Request) -> web.Response:
    accounts, caller = accounts_of(request), require_person(request)
    from marquetry.server.accounts import key_making
    from marquetry.server.accounts.handing_out import place_of

    await key_making.revoke(accounts, caller.owner, caller.owner, request.match_info["key_id"], place_of(accounts, request))
    return json_answer(Done())
