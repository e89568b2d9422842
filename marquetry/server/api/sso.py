"""Sign-in for other applications with an account of this server: OAuth 2 authorization codes with PKCE, for registered applications."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from marquetry.server.accounts.key import accounts_of
from marquetry.server.api.account_models import MAX_TOKEN, Plain, read_small
from marquetry.server.api.auth import CSRF, PREFIXES
from marquetry.server.caller import require_person
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.routes import Answer, RouteTable

routes = RouteTable("Sign-in for applications", PREFIXES)
APPLICATION = Access(public=True, foreign=True)


class Authorize(Plain):
    client_id: str = Field(max_length=64)
    redirect_uri: str = Field(max_length=2000)
    code_challenge: str = Field(max_length=128, description="S256 of the verifier")
    code_challenge_method: str = Field(default="S256", pattern="^S256$")
    state: str = Field(default="", max_length=1000, description="comes back as it is")


class Authorized(Plain):
    code: str = Field(description="good once, for a minute")
    state: str
    redirect_to: str = Field(description="where to send the browser")


class ClientProof(Plain):
    client_id: str = Field(max_length=64)
    client_secret: str = Field(default="", max_length=MAX_TOKEN)


class TokenRequest(ClientProof):
    grant_type: str = Field(default="authorization_code", pattern="^authorization_code$")
    code: str = Field(max_length=MAX_TOKEN)
    redirect_uri: str = Field(max_length=2000)
    code_verifier: str = Field(max_length=128)


class RefreshRequest(ClientProof):
    refresh_token: str = Field(max_length=MAX_TOKEN)


class TokenProof(ClientProof):
    token: str = Field(max_length=MAX_TOKEN, description="an access token; for revoking also a refresh token")


class SsoTokens(Plain):
    access_token: str
    refresh_token: str
    token_type: str = "Bearer"
    expires_in: int
    scope: str


class Validity(Plain):
    """As RFC 7662 says it: more only of tokens that are good, and of the application that asks."""

    active: bool
    sub: str | None = None
    email: str | None = None
    name: str | None = None
    roles: list[str] | None = None
    client_id: str | None = None
    exp: int | None = None


class Revoked(Plain):
    revoked: bool = True


@routes.post(
    "/auth/sso/authorize",
    "A code for another application",
    body=Authorize,
    headers=CSRF,
    access=Access(person=True, scope="account"),
    answers={200: Answer("the code", Authorized)},
)
async def authorize(request: web.Request) -> web.Response:
    """The person who signed in here lets the application know who they are."""
    accounts, caller, body = accounts_of(request), require_person(request), await read_small(request, Authorize)
    from marquetry.server.accounts import applications

    code, redirect_to = await applications.authorize(accounts, caller, body.client_id, body.redirect_uri, body.code_challenge, body.state)
    return json_answer(Authorized(code=code, state=body.state, redirect_to=redirect_to), headers={"Cache-Control": "no-store"})


@routes.post(
    "/auth/sso/token", "Exchange a code for tokens", body=TokenRequest, access=APPLICATION, answers={200: Answer("them", SsoTokens)}
)
async def token(request: web.Request) -> web.Response:
    accounts, body = accounts_of(request), await read_small(request, TokenRequest)
    from marquetry.server.accounts import applications
    from marquetry.server.accounts.handing_out import place_of

    client = await applications.check(accounts, body.client_id, body.client_secret)
    tokens = await applications.exchange(accounts, client, body.code, body.redirect_uri, body.code_verifier, place_of(accounts, request))
    return json_answer(SsoTokens(**tokens), headers={"Cache-Control": "no-store"})


@routes.post(
    "/auth/sso/refresh", "Go on with tokens", body=RefreshRequest, access=APPLICATION, answers={200: Answer("new ones", SsoTokens)}
)
async def refresh(request: web.Request) -> web.Response:
    """A refresh token is good once; one that comes again ends everything that came of its code."""
    accounts, body = accounts_of(request), await read_small(request, RefreshRequest)
    from marquetry.server.accounts import applications
    from marquetry.server.accounts.handing_out import place_of

    client = await applications.check(accounts, body.client_id, body.client_secret)
    tokens = await applications.refresh(accounts, client, body.refresh_token, place_of(accounts, request))
    return json_answer(SsoTokens(**tokens), headers={"Cache-Control": "no-store"})


@routes.post("/auth/sso/validate", "Whether a token is good", body=TokenProof, access=APPLICATION, answers={200: Answer("it", Validity)})
async def validate(request: web.Request) -> web.Response:
    accounts, body = accounts_of(request), await read_small(request, TokenProof)
    from marquetry.server.accounts import applications

    client = await applications.check(accounts, body.client_id, body.client_secret)
    return json_answer(Validity(**await applications.validate(accounts, client, body.token)), headers={"Cache-Control": "no-store"})


@routes.post(
    "/auth/sso/revoke", "Give tokens back", body=TokenProof, access=APPLICATION, answers={200: Answer("also of unknown ones", Revoked)}
)
async def revoke(request: web.Request) -> web.Response:
    accounts, body = accounts_of(request), await read_small(request, TokenProof)
    from marquetry.server.accounts import applications

    client = await applications.check(accounts, body.client_id, body.client_secret)
    await applications.revoke(accounts, client, body.token)
    return json_answer(Revoked())
