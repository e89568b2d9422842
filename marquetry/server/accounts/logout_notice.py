"""Logout notice: other applications are told that a person signed out here, so that they end their own sessions (as OpenID Connect's
back-channel logout does: a signed token, by POST)."""

from __future__ import annotations

import logging
from urllib.parse import urlencode

from marquetry.marketplace.accounts import sso
from marquetry.server.accounts.service import Accounts
from marquetry.server.errors import ServerError
from marquetry.server.http.outbound import send

logger = logging.getLogger(__name__)
TIMEOUT_S = 10.0
LASTING_S = 120


async def notify(accounts: Accounts, user_id: str) -> None:
    """Tell every application that registered an address for it."""
    for client in await accounts.read(sso.clients):
        if not client.logout_uri:
            continue
        now_s = accounts.clock_ms() // 1000
        claims = {"sub": user_id, "aud": client.id, "iss": accounts.public_url, "use": "logout", "iat": now_s, "exp": now_s + LASTING_S}
        body = urlencode({"logout_token": accounts.keys.sign(claims)}).encode()
        try:
            await send(
                client.logout_uri,
                body,
                {"Content-Type": "application/x-www-form-urlencoded"},
                timeout_s=TIMEOUT_S,
                allow=_own(client.logout_uri),
            )
        except ServerError as error:
            logger.warning("the application %s was not told of a sign-out: %s", client.name, error.message)


def _own(uri: str) -> tuple[str, ...]:
    """Addresses of applications are the operator's own words, so they may lead to private networks."""
    from yarl import URL

    url = URL(uri)
    return (f"{url.host}:{url.port}",) if url.host and ":" not in url.host else (f"[{url.host}]:{url.port}",)
