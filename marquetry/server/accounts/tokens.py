"""Tokens of a session: a short-lived access token that carries who it is for, and the refresh token that the next one is got with."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from marquetry.marketplace.accounts.opaque import hashed
from marquetry.marketplace.accounts.sessions import Opened
from marquetry.server.accounts.service import Accounts

ACCESS = "access"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What who signed in is given. `csrf` goes with every request that a cookie vouches for."""

    access: str
    access_expires_ms: int
    refresh: str
    refresh_expires_ms: int
    csrf: str
    session_id: str
    user_id: str
    second_factor: bool


def tokens_of(accounts: Accounts, opened: Opened) -> Tokens:
    """Tokens of a session that was just opened or went on."""
    now_ms, csrf = accounts.clock_ms(), secrets.token_urlsafe(24)
    expires_ms = min(now_ms + accounts.settings.access_minutes * 60_000, opened.expires_ms)
    claims: dict[str, Any] = {
        "sub": opened.user_id,
        "sid": opened.session_id,
        "use": ACCESS,
        "csrf": hashed(csrf),
        "iat": now_ms // 1000,
        "exp": expires_ms // 1000,
    }
    return Tokens(
        access=accounts.keys.sign(claims),
        access_expires_ms=expires_ms,
        refresh=opened.refresh_token,
        refresh_expires_ms=opened.expires_ms,
        csrf=csrf,
        session_id=opened.session_id,
        user_id=opened.user_id,
        second_factor=opened.second_factor,
    )
