"""Sessions: one for each sign-in. A refresh token is good once; one that comes a second time ends the whole session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from marquetry.marketplace.accounts.errors import TokenInvalid, TokenReused
from marquetry.marketplace.accounts.opaque import hashed, new_id, new_token
from marquetry.marketplace.accounts.tables import refresh_tokens, sessions, users

MAX_LISTED = 200
HOUR_MS = 3_600_000
KEPT_MS = 30 * 24 * HOUR_MS  # how long ended sessions are remembered


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long a session lasts in all, and without being used."""

    lasting_ms: int = 24 * HOUR_MS
    idle_ms: int = 8 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request came from."""

    address: str = ""
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """A session with the refresh token that goes on with it."""

    session_id: str
    user_id: str
    refresh_token: str
    expires_ms: int
    second_factor: bool = False
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in as its person sees it."""

    id: str
    user_id: str
    client_id: str | None
    second_factor: bool
    address: str
    user_agent: str
    created_ms: int
    used_ms: int
    expires_ms: int
    ended_ms: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What must be known of a session to let its holder in."""

    session_id: str
    user_id: str
    roles: frozenset[str]
    second_factor: bool
    client_id: str | None
    expires_ms: int
    ended: bool
    suspended: bool


def open_session(
    connection: Connection,
    user_id: str,
    place: Place,
    limits: SessionLimits,
    now_ms: int,
    *,
    second_factor: bool = False,
    client_id: str | None = None,
) -> Opened:
    """A new session of a person who has shown who they are."""
    id, expires_ms = new_id("s"), now_ms + limits.lasting_ms
    connection.execute(
        insert(sessions).values(
            id=id,
            user_id=user_id,
            client_id=client_id,
            second_factor=second_factor,
            address=place.address[:64],
            user_agent=place.user_agent[:300],
            created_ms=now_ms,
            used_ms=now_ms,
            expires_ms=expires_ms,
            ended_reason="",
        )
    )
    connection.execute(update(users).where(users.c.id == user_id).values(signed_in_ms=now_ms))
    return Opened(id, user_id, _issue(connection, id, now_ms), expires_ms, second_factor, client_id)


def rotate(connection: Connection, token: str, limits: SessionLimits, now_ms: int, client_id: str | None = None) -> Opened | TokenInvalid:
    """Exchange a refresh token for the next one. Gives the error instead of raising it, since what it finds out must be kept."""
    issued, session = refresh_tokens, sessions
    row = connection.execute(
        select(issued.c.token_hash, issued.c.used_ms.label("spent_ms"), session, users.c.suspended_ms)
        .join_from(issued, session, session.c.id == issued.c.session_id)
        .join(users, users.c.id == session.c.user_id)
        .where(issued.c.token_hash == hashed(token))
        .with_for_update()
    ).first()
    if row is None or row.client_id != client_id:
        return TokenInvalid("the refresh token is not known; sign in again")
    if row.spent_ms is not None:
        end_session(connection, row.id, "reused", now_ms)
        return TokenReused(
            "this refresh token was used before, so the session is over; sign in again", session_id=row.id, user_id=row.user_id
        )
    if row.ended_ms is not None or row.suspended_ms is not None:
        return TokenInvalid("the session is over; sign in again")
    if now_ms >= row.expires_ms or now_ms - row.used_ms >= limits.idle_ms:
        end_session(connection, row.id, "expired", now_ms)
        return TokenInvalid("the session has expired; sign in again")
    connection.execute(update(issued).where(issued.c.token_hash == row.token_hash).values(used_ms=now_ms))
    connection.execute(update(session).where(session.c.id == row.id).values(used_ms=now_ms))
    return Opened(row.id, row.user_id, _issue(connection, row.id, now_ms), row.expires_ms, row.second_factor, row.client_id)


def standing(connection: Connection, session_id: str) -> Standing | None:
    """How a session stands."""
    row = connection.execute(
        select(sessions, users.c.roles, users.c.suspended_ms)
        .join_from(sessions, users, users.c.id == sessions.c.user_id)
        .where(sessions.c.id == session_id)
    ).first()
    if row is None:
        return None
    return Standing(
        session_id=row.id,
        user_id=row.user_id,
        roles=frozenset(row.roles.split()),
        second_factor=row.second_factor,
        client_id=row.client_id,
        expires_ms=row.expires_ms,
        ended=row.ended_ms is not None,
        suspended=row.suspended_ms is not None,
    )


def sessions_of(connection: Connection, user_id: str, now_ms: int) -> list[Session]:
    """The sessions of a person that go on, newest first."""
    going_on = (sessions.c.user_id == user_id, sessions.c.ended_ms.is_(None), sessions.c.expires_ms > now_ms)
    rows = connection.execute(select(sessions).where(*going_on).order_by(sessions.c.created_ms.desc()).limit(MAX_LISTED)).all()
    return [_session(row) for row in rows]


def find_by_refresh_token(connection: Connection, token: str) -> Session | None:
    """The session that a refresh token belongs to."""
    row = connection.execute(
        select(sessions)
        .join_from(sessions, refresh_tokens, sessions.c.id == refresh_tokens.c.session_id)
        .where(refresh_tokens.c.token_hash == hashed(token))
    ).first()
    return None if row is None else _session(row)


def end_session(connection: Connection, session_id: str, reason: str, now_ms: int, *, user_id: str | None = None) -> bool:
    """End a session, of this person if one is given; whether there was something to end."""
    wanted = [sessions.c.id == session_id, sessions.c.ended_ms.is_(None)]
    if user_id is not None:
        wanted.append(sessions.c.user_id == user_id)
    return bool(connection.execute(update(sessions).where(*wanted).values(ended_ms=now_ms, ended_reason=reason[:50])).rowcount)


def end_sessions(connection: Connection, user_id: str, reason: str, now_ms: int, *, but: str | None = None) -> Sequence[str]:
    """End all sessions of a person, but the one that is named. Gives their ids."""
    wanted = [sessions.c.user_id == user_id, sessions.c.ended_ms.is_(None)]
    if but is not None:
        wanted.append(sessions.c.id != but)
    ids = connection.execute(select(sessions.c.id).where(*wanted)).scalars().all()
    connection.execute(update(sessions).where(*wanted).values(ended_ms=now_ms, ended_reason=reason[:50]))
    return ids


def confirm_second_factor(connection: Connection, session_id: str) -> None:
    """The holder has just shown the second factor."""
    connection.execute(update(sessions).where(sessions.c.id == session_id).values(second_factor=True))


def forget_old(connection: Connection, now_ms: int) -> None:
    """Drop sessions that ended long ago, with their tokens."""
    connection.execute(delete(sessions).where(sessions.c.expires_ms < now_ms - KEPT_MS))


def _issue(connection: Connection, session_id: str, now_ms: int) -> str:
    token = new_token("mqr")
    connection.execute(insert(refresh_tokens).values(token_hash=hashed(token), session_id=session_id, issued_ms=now_ms))
    return token


def _session(row: Row[Any]) -> Session:
    return Session(
        id=row.id,
        user_id=row.user_id,
        client_id=row.client_id,
        second_factor=row.second_factor,
        address=row.address,
        user_agent=row.user_agent,
        created_ms=row.created_ms,
        used_ms=row.used_ms,
        expires_ms=row.expires_ms,
        ended_ms=row.ended_ms,
    )
