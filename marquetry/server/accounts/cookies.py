"""Cookies of people who sign in from pages: tokens that no script can read, and one that scripts of our own pages send back with every
change (double submit): a page of another site can neither read it nor set the header."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from marquetry.server.accounts.origins import is_encrypted
from marquetry.server.accounts.service import Accounts
from marquetry.server.accounts.tokens import Tokens

ACCESS_COOKIE, REFRESH_COOKIE, CSRF_COOKIE = "mq_access", "mq_refresh", "mq_csrf"
CSRF_HEADER = "X-CSRF-Token"


def set_cookies(accounts: Accounts, request: web.Request, response: web.StreamResponse, tokens: Tokens) -> None:
    """Put the tokens of a sign-in into cookies."""
    flags = _flags(accounts, request)
    now_ms = accounts.clock_ms()
    lasting_s = (tokens.refresh_expires_ms - now_ms) // 1000
    response.set_cookie(ACCESS_COOKIE, tokens.access, httponly=True, max_age=(tokens.access_expires_ms - now_ms) // 1000, **flags)
    response.set_cookie(REFRESH_COOKIE, tokens.refresh, httponly=True, max_age=lasting_s, **flags)
    response.set_cookie(CSRF_COOKIE, tokens.csrf, max_age=lasting_s, **flags)


def clear_cookies(accounts: Accounts, request: web.Request, response: web.StreamResponse) -> None:
    """Take them away."""
    for name in (ACCESS_COOKIE, REFRESH_COOKIE, CSRF_COOKIE):
        response.del_cookie(name, **_flags(accounts, request))


def _flags(accounts: Accounts, request: web.Request) -> dict[str, Any]:
    same_site = accounts.settings.cookie_same_site
    encrypted = is_encrypted(request, accounts.settings.trusted_proxies) or accounts.settings.public_url.startswith("https:")
    return {"path": "/", "secure": encrypted or same_site == "none", "samesite": same_site.capitalize()}
