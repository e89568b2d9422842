"""One-time tokens: what is mailed to confirm an e-mail or to set a new password, and what carries a sign-in from one step to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import Connection, delete, insert, select, update

from marquetry.marketplace.accounts.errors import TokenInvalid
from marquetry.marketplace.accounts.opaque import hashed, new_token
from marquetry.marketplace.accounts.tables import one_time_tokens as tokens

MINUTE_MS = 60_000
KEPT_MS = 24 * 60 * MINUTE_MS


class Purpose(StrEnum):
    """What a token is for; it is good for nothing else."""

    CONFIRM_EMAIL = "confirm_email"
    CHANGE_EMAIL = "change_email"
    RESET_PASSWORD = "reset_password"
    SECOND_FACTOR = "second_factor"
    PROVIDER = "provider"
    SSO_CODE = "sso_code"
    SOCKET = "socket"


LASTING_MS: Mapping[Purpose, int] = {
    Purpose.CONFIRM_EMAIL: 24 * 60 * MINUTE_MS,
    Purpose.CHANGE_EMAIL: 60 * MINUTE_MS,
    Purpose.RESET_PASSWORD: 30 * MINUTE_MS,
    Purpose.SECOND_FACTOR: 5 * MINUTE_MS,
    Purpose.PROVIDER: 10 * MINUTE_MS,
    Purpose.SSO_CODE: MINUTE_MS,
    Purpose.SOCKET: MINUTE_MS // 2,
}


@dataclass(frozen=True, slots=True)
class Given:
    """What a token stood for."""

    user_id: str | None
    data: dict[str, Any]


def issue(connection: Connection, /, purpose: Purpose, now_ms: int, *, user_id: str | None = None, **data: Any) -> str:
    """A token for a purpose. Of those that are mailed, only the newest is good."""
    if purpose in (Purpose.CONFIRM_EMAIL, Purpose.CHANGE_EMAIL, Purpose.RESET_PASSWORD) and user_id is not None:
        revoke(connection, purpose, user_id)
    token = new_token("mqt")
    connection.execute(
        insert(tokens).values(
            token_hash=hashed(token),
            purpose=str(purpose),
            user_id=user_id,
            data=orjson.dumps(data),
            created_ms=now_ms,
            expires_ms=now_ms + LASTING_MS[purpose],
        )
    )
    return token


def redeem(connection: Connection, token: str, purpose: Purpose, now_ms: int) -> Given:
    """What it stands for; it is used up by that. Raises TokenInvalid."""
    wanted = (
        tokens.c.token_hash == hashed(token),
        tokens.c.purpose == str(purpose),
        tokens.c.used_ms.is_(None),
        tokens.c.expires_ms > now_ms,
    )
    if not connection.execute(update(tokens).where(*wanted).values(used_ms=now_ms)).rowcount:
        raise TokenInvalid("the link or code was used before, is too old, or is not known; ask for a new one")
    row = connection.execute(select(tokens.c.user_id, tokens.c.data).where(tokens.c.token_hash == hashed(token))).one()
    return Given(row.user_id, orjson.loads(row.data))


def peek(connection: Connection, token: str, purpose: Purpose, now_ms: int) -> Given:
    """As `redeem`, but it stays good. Raises TokenInvalid."""
    wanted = (
        tokens.c.token_hash == hashed(token),
        tokens.c.purpose == str(purpose),
        tokens.c.used_ms.is_(None),
        tokens.c.expires_ms > now_ms,
    )
    row = connection.execute(select(tokens.c.user_id, tokens.c.data).where(*wanted)).first()
    if row is None:
        raise TokenInvalid("the link or code was used before, is too old, or is not known; ask for a new one")
    return Given(row.user_id, orjson.loads(row.data))


def revoke(connection: Connection, purpose: Purpose, user_id: str) -> None:
    """What a person was given for a purpose is good no more."""
    connection.execute(delete(tokens).where(tokens.c.user_id == user_id, tokens.c.purpose == str(purpose)))


def forget_old(connection: Connection, now_ms: int) -> None:
    connection.execute(delete(tokens).where(tokens.c.expires_ms < now_ms - KEPT_MS))
