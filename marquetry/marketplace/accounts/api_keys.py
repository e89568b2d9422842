"""API keys and service tokens: they call for somebody within their scopes, until they expire, and spend no more than they may.

What may be spent is counted when a job's maximum is held and given back with what is left of it; only a person who signed in sets the limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, or_, select, update

from marquetry.marketplace.accounts.errors import AccountConflict, AccountMissing, InvalidAccountInput, KeySpendLimit
from marquetry.marketplace.accounts.opaque import hashed, new_id, new_token
from marquetry.marketplace.accounts.roles import SCOPES
from marquetry.marketplace.accounts.tables import api_keys, users

KEY, SERVICE = "key", "service"
PREFIXES = {KEY: "mq", SERVICE: "mqs"}
SHOWN_CHARACTERS = 11
MAX_KEYS = 100
MAX_NAME_CHARACTERS = 200
MAX_LIMIT = 2**62


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as its owner sees it. `prefix` is how its text begins."""

    id: str
    user_id: str | None
    kind: str
    name: str
    prefix: str
    scopes: frozenset[str]
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    used_ms: int | None
    spend_limit_microcredits: int | None
    spent_microcredits: int


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that is to be made. Without `user_id` it is a service token."""

    name: str
    scopes: frozenset[str]
    user_id: str | None = None
    expires_ms: int | None = None
    spend_limit_microcredits: int | None = None


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whom a key calls for: its person, with their roles now, or a service."""

    key: ApiKey
    roles: frozenset[str]
    suspended: bool


def make_key(connection: Connection, new: NewKey, now_ms: int) -> tuple[ApiKey, str]:
    """The key, and its text, which is shown this one time. Raises InvalidAccountInput and AccountConflict."""
    name = new.name.strip()
    if not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise InvalidAccountInput(f"a key's name has 1 to {MAX_NAME_CHARACTERS} characters", field="name")
    if new.expires_ms is not None and new.expires_ms <= now_ms:
        raise InvalidAccountInput("a key must expire in the future", field="expires_ms")
    mine = (api_keys.c.user_id == new.user_id, api_keys.c.revoked_ms.is_(None))
    if connection.execute(select(func.count()).select_from(api_keys).where(*mine)).scalar_one() >= MAX_KEYS:
        raise AccountConflict(f"there are {MAX_KEYS} keys already; revoke one first")
    kind = KEY if new.user_id is not None else SERVICE
    text, id = new_token(PREFIXES[kind]), new_id("k")
    connection.execute(
        insert(api_keys).values(
            id=id,
            user_id=new.user_id,
            kind=kind,
            name=name,
            prefix=text[:SHOWN_CHARACTERS],
            key_hash=hashed(text),
            scopes=" ".join(sorted(checked_scopes(new.scopes))),
            created_ms=now_ms,
            expires_ms=new.expires_ms,
            spend_limit_microcredits=_checked_limit(new.spend_limit_microcredits),
            spent_microcredits=0,
        )
    )
    return find_key(connection, id, new.user_id), text


def find_key(connection: Connection, key_id: str, user_id: str | None) -> ApiKey:
    """A person's key, or with None a service token. Raises AccountMissing."""
    row = connection.execute(select(api_keys).where(api_keys.c.id == key_id, api_keys.c.user_id == user_id)).first()
    if row is None:
        raise AccountMissing(f"there is no key '{key_id[:64]}'")
    return _key(row)


def keys_of(connection: Connection, user_id: str | None) -> list[ApiKey]:
    """A person's keys, or with None all service tokens, newest first, those that were revoked included."""
    rows = connection.execute(
        select(api_keys).where(api_keys.c.user_id == user_id).order_by(api_keys.c.created_ms.desc(), api_keys.c.id).limit(MAX_KEYS * 2)
    ).all()
    return [_key(row) for row in rows]


def change_key(connection: Connection, /, key_id: str, user_id: str | None, **values: Any) -> ApiKey:
    """Set `name`, `scopes`, `expires_ms` or `spend_limit_microcredits`. Raises AccountMissing and InvalidAccountInput."""
    if "scopes" in values:
        values["scopes"] = " ".join(sorted(checked_scopes(values["scopes"])))
    if "spend_limit_microcredits" in values:
        values["spend_limit_microcredits"] = _checked_limit(values["spend_limit_microcredits"])
    find_key(connection, key_id, user_id)
    if values:
        connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(**values))
    return find_key(connection, key_id, user_id)


def revoke_key(connection: Connection, key_id: str, user_id: str | None, now_ms: int) -> ApiKey:
    """The key is good no more. Raises AccountMissing."""
    find_key(connection, key_id, user_id)
    connection.execute(update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_ms.is_(None)).values(revoked_ms=now_ms))
    return find_key(connection, key_id, user_id)


def holder_of(connection: Connection, text: str) -> KeyHolder | None:
    """Whom the text of a key calls for; it may be revoked or expired."""
    return _holder(connection, api_keys.c.key_hash == hashed(text))


def holder_of_id(connection: Connection, key_id: str) -> KeyHolder | None:
    """As `holder_of`, for who has shown the key before."""
    return _holder(connection, api_keys.c.id == key_id)


def _holder(connection: Connection, condition: ColumnElement[bool]) -> KeyHolder | None:
    row = connection.execute(
        select(api_keys, users.c.roles, users.c.suspended_ms)
        .join_from(api_keys, users, users.c.id == api_keys.c.user_id, isouter=True)
        .where(condition)
    ).first()
    if row is None:
        return None
    roles = frozenset({"service"}) if row.user_id is None else frozenset(row.roles.split())
    return KeyHolder(_key(row), roles, row.suspended_ms is not None)


def touch_keys(connection: Connection, used: Iterable[tuple[str, int]]) -> None:
    """Note when keys were used last."""
    for key_id, used_ms in used:
        connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(used_ms=used_ms))


def spend_with_key(connection: Connection, key_id: str, microcredits: int) -> None:
    """Count what is about to be spent with a key. Raises KeySpendLimit when that is more than it may; then nothing is counted."""
    assert microcredits >= 0
    spent, limit = api_keys.c.spent_microcredits, api_keys.c.spend_limit_microcredits
    fits = (api_keys.c.id == key_id, or_(limit.is_(None), spent + microcredits <= limit))
    if connection.execute(update(api_keys).where(*fits).values(spent_microcredits=spent + microcredits)).rowcount:
        return
    row = connection.execute(select(spent, limit).where(api_keys.c.id == key_id)).first()
    if row is None:
        raise AccountMissing(f"there is no key '{key_id[:64]}'")
    left = max(0, row[1] - row[0])
    raise KeySpendLimit(
        "this key may not spend that much any more; its owner can raise the limit after signing in",
        key_id=key_id, left_microcredits=left, required_microcredits=microcredits,
    )  # fmt: skip


def give_back_to_key(connection: Connection, key_id: str, microcredits: int) -> None:
    """What was counted and not spent after all may be spent again."""
    assert microcredits >= 0
    spent = api_keys.c.spent_microcredits
    connection.execute(
        update(api_keys).where(api_keys.c.id == key_id, spent >= microcredits).values(spent_microcredits=spent - microcredits)
    )


def checked_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """Raises InvalidAccountInput."""
    wanted = frozenset(scopes)
    unknown = sorted(wanted - set(SCOPES))
    if unknown or not wanted:
        named = f"there is no scope '{unknown[0][:40]}'" if unknown else "a key needs a scope"
        raise InvalidAccountInput(f"{named}; there are {', '.join(SCOPES)}", field="scopes")
    return wanted


def _checked_limit(limit: int | None) -> int | None:
    if limit is not None and not 0 <= limit <= MAX_LIMIT:
        raise InvalidAccountInput("a limit of spending is a number of micro-credits, not below zero", field="spend_limit_microcredits")
    return limit


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        user_id=row.user_id,
        kind=row.kind,
        name=row.name,
        prefix=row.prefix,
        scopes=frozenset(row.scopes.split()),
        created_ms=row.created_ms,
        expires_ms=row.expires_ms,
        revoked_ms=row.revoked_ms,
        used_ms=row.used_ms,
        spend_limit_microcredits=row.spend_limit_microcredits,
        spent_microcredits=row.spent_microcredits,
    )
