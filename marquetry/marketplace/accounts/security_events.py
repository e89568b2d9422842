"""Security events: what happened around accounts, for their people to see and for rules that find what is not usual."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import Connection, Row, delete, func, insert, select

from marquetry.marketplace.accounts.tables import security_events as events

MINUTE_MS = 60_000
KEPT_MS = 400 * 24 * 60 * MINUTE_MS


class Severity(StrEnum):
    """How much it matters."""

    INFO = "info"
    WARNING = "warning"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """`owner` is whom it concerns, `actor` who did it; empty where that is not known. `details` never hold secrets."""

    kind: str
    time_ms: int
    owner: str = ""
    actor: str = ""
    severity: Severity = Severity.INFO
    address: str = ""
    user_agent: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """Something is not usual when `count` events of a kind come from one address, or concern one owner, within a time."""

    kind: str
    count: int
    within_ms: int
    by: str  # address or owner
    says: str


RULES = (
    Rule("sign_in_failed", 20, 10 * MINUTE_MS, "address", "many wrong passwords from one address"),
    Rule("sign_in_failed", 15, 60 * MINUTE_MS, "owner", "many wrong passwords for one account"),
    Rule("token_reused", 1, MINUTE_MS, "owner", "a refresh token was used twice: somebody else may have had it"),
    Rule("failed_payment", 5, 60 * MINUTE_MS, "owner", "many payments of one account failed"),
    Rule("reset_asked", 20, 60 * MINUTE_MS, "address", "many new passwords asked for from one address"),
)
SUSPICIOUS = "suspicious_activity"


def record(connection: Connection, event: SecurityEvent) -> list[SecurityEvent]:
    """Keep an event. Gives what the rules say to it, which is kept too: each finding once in its time."""
    _insert(connection, event)
    found = []
    for rule in RULES:
        finding = _judge(connection, rule, event) if rule.kind == event.kind else None
        if finding is not None:
            _insert(connection, finding)
            found.append(finding)
    return found


def events_of(
    connection: Connection, owner: str | None, *, kinds: Iterable[str] = (), before: int | None = None, limit: int = 50
) -> list[SecurityEvent]:
    """What concerns somebody, or with None everybody, newest first. `before` is the number of the last one that is known already."""
    statement = select(events)
    if owner is not None:
        statement = statement.where(events.c.owner == owner)
    if wanted := tuple(kinds):
        statement = statement.where(events.c.kind.in_(wanted))
    if before is not None:
        statement = statement.where(events.c.seq < before)
    return [_event(row) for row in connection.execute(statement.order_by(events.c.seq.desc()).limit(limit)).all()]


def forget_old(connection: Connection, now_ms: int) -> None:
    connection.execute(delete(events).where(events.c.time_ms < now_ms - KEPT_MS))


def _judge(connection: Connection, rule: Rule, event: SecurityEvent) -> SecurityEvent | None:
    subject = getattr(event, rule.by)
    if not subject:
        return None
    column, since = events.c[rule.by], event.time_ms - rule.within_ms
    near = (column == subject, events.c.time_ms > since)
    count = connection.execute(select(func.count()).select_from(events).where(events.c.kind == rule.kind, *near)).scalar_one()
    told = orjson.dumps({"rule": rule.says, "of": rule.by})
    known = select(events.c.seq).where(events.c.kind == SUSPICIOUS, events.c.details == told, *near)
    if count < rule.count or connection.execute(known).first() is not None:
        return None
    return SecurityEvent(
        SUSPICIOUS,
        event.time_ms,
        event.owner if rule.by == "owner" else "",
        "",
        Severity.HIGH,
        event.address,
        event.user_agent,
        orjson.loads(told),
    )


def _insert(connection: Connection, event: SecurityEvent) -> None:
    connection.execute(
        insert(events).values(
            owner=event.owner[:128],
            actor=event.actor[:128],
            kind=event.kind,
            severity=str(event.severity),
            address=event.address[:64],
            user_agent=event.user_agent[:300],
            details=orjson.dumps(dict(event.details)),
            time_ms=event.time_ms,
        )
    )


def _event(row: Row[Any]) -> SecurityEvent:
    return SecurityEvent(
        kind=row.kind,
        time_ms=row.time_ms,
        owner=row.owner,
        actor=row.actor,
        severity=Severity(row.severity),
        address=row.address,
        user_agent=row.user_agent,
        details=orjson.loads(row.details),
        seq=row.seq,
    )
