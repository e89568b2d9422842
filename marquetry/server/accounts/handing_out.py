"""Handing out tokens: in the answer's body for programs, as cookies for pages; and finding them again in requests."""

from __future__ import annotations

from aiohttp import web

from marquetry.marketplace.accounts import sessions
from marquetry.marketplace.accounts.errors import TokenInvalid
from marquetry.marketplace.accounts.sessions import Place
from marquetry.server.accounts import origins
from marquetry.server.accounts.admission import check_double_submit
from marquetry.server.accounts.cookies import REFRESH_COOKIE, set_cookies
from marquetry.server.accounts.service import Accounts
from marquetry.server.accounts.tokens import Tokens
from marquetry.server.api.account_models import SignedIn
from marquetry.server.caller import known_caller
from marquetry.server.http.answer import json_answer


def place_of(accounts: Accounts, request: web.Request) -> Place:
    """Where a request comes from."""
    return origins.place_of(request, accounts.settings.trusted_proxies)


def hand_out(accounts: Accounts, request: web.Request, tokens: Tokens, *, cookies: bool, status: int = 200) -> web.Response:
    """The answer to a sign-in."""
    lasting_s = max(0, (tokens.access_expires_ms - accounts.clock_ms()) // 1000)
    said = SignedIn(
        access_token=None if cookies else tokens.access,
        refresh_token=None if cookies else tokens.refresh,
        expires_in_s=lasting_s,
        refresh_in_s=lasting_s * 4 // 5,
        session_expires_ms=tokens.refresh_expires_ms,
        csrf_token=tokens.csrf if cookies else None,
        user_id=tokens.user_id,
        session_id=tokens.session_id,
    )
    answer = json_answer(said, status, {"Cache-Control": "no-store"})
    if cookies:
        set_cookies(accounts, request, answer, tokens)
    return answer


def refresh_token_of(request: web.Request, given: str) -> tuple[str, bool]:
    """The refresh token of a request, and whether it came as a cookie. Raises TokenInvalid and CsrfRefused."""
    if given:
        return given, False
    cookie = request.cookies.get(REFRESH_COOKIE)
    if not cookie:
        raise TokenInvalid("there is no refresh token in the body and no cookie with one; sign in again")
    check_double_submit(request)
    return cookie, True


async def session_of(accounts: Accounts, request: web.Request, given: str) -> tuple[str, str] | None:
    """Session and person of whatever a request shows: its caller, or a refresh token. Raises CsrfRefused."""
    caller = known_caller(request)
    if caller is not None and caller.session_id is not None:
        return caller.session_id, caller.owner
    if not given and REFRESH_COOKIE not in request.cookies:
        return None
    found = await accounts.read(sessions.find_by_refresh_token, refresh_token_of(request, given)[0])
    return None if found is None else (found.id, found.user_id)
