"""Deliveries: messages to receivers, their tries, and what becomes of them. Functions take a connection inside a transaction and never commit.

A message is tried ten times within two hours, later and later, each time with the same id; then it is dead, until somebody sends it again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, case, func, insert, select, update

from marquetry.server.automation.errors import NoSuchDelivery
from marquetry.server.automation.event import Event
from marquetry.server.automation.tables import webhook_deliveries, webhook_tries, webhooks
from marquetry.server.automation.webhooks import tell
from marquetry.server.jobs.queue import AnyRow

PAUSES_S = (5, 15, 30, 60, 180, 420, 900, 1890, 3700)  # between ten tries: two hours
JITTER = 0.2  # of a pause may be saved, so that what failed together doesn't come back together
LONGEST_PAUSE_S = 3700.0
MAX_DEAD = 5  # messages in a row; then the receiver is told nothing more
PER_WEBHOOK, PER_OWNER = 2, 4
columns = webhook_deliveries.c


@dataclass(frozen=True, slots=True)
class Claim:
    """A wish for messages that are due. `busy` are the receivers, `full` the owners that have as many under way here as they may."""

    token: str
    now_ms: int
    until_ms: int
    limit: int
    busy: tuple[str, ...] = ()
    full: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this process sends now, and all that it needs for that."""

    id: str
    webhook_id: str
    owner: str
    body: bytes
    attempts: int
    url: str
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a try. `gone`: the receiver said that it wants nothing more."""

    id: str
    token: str
    now_ms: int
    duration_ms: int
    delivered: bool
    status: int | None = None
    error: str | None = None
    retry_after_s: float = 0.0
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as its owner sees it."""

    id: str
    webhook_id: str
    type: str
    state: str
    attempts: int
    next_ms: int
    created_ms: int
    ended_ms: int | None
    last_status: int | None
    last_error: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Try:
    at_ms: int
    duration_ms: int
    status: int | None
    error: str | None


def claim_due(connection: Connection, claims: Sequence[Claim]) -> list[list[Claimed] | Exception]:
    """Take messages that are due: of each receiver and each owner only a few, so that nobody's crowd is before everybody."""
    return [_claim(connection, claim) for claim in claims]


def _claim(connection: Connection, claim: Claim) -> list[Claimed]:
    due = and_(
        columns.state == "pending",
        columns.next_ms <= claim.now_ms,
        columns.claimed_until_ms <= claim.now_ms,
        columns.webhook_id.not_in(claim.busy),
        columns.owner.not_in(claim.full),
    )
    ranked = select(
        columns.id,
        columns.next_ms,
        func.row_number().over(partition_by=columns.webhook_id, order_by=columns.next_ms).label("of_webhook"),
        func.row_number().over(partition_by=columns.owner, order_by=columns.next_ms).label("of_owner"),
    ).where(due)
    found = ranked.subquery()
    chosen = select(found.c.id).where(found.c.of_webhook <= 1, found.c.of_owner <= PER_OWNER).order_by(found.c.next_ms).limit(claim.limit)
    ids = list(connection.execute(chosen).scalars())
    if not ids:
        return []
    mine = and_(columns.id.in_(ids), columns.state == "pending", columns.claimed_until_ms <= claim.now_ms)
    connection.execute(update(webhook_deliveries).where(mine).values(claim=claim.token, claimed_until_ms=claim.until_ms))
    rows = connection.execute(
        select(webhook_deliveries, webhooks.c.url, webhooks.c.secret, webhooks.c.old_secret, webhooks.c.old_until_ms)
        .join(webhooks, webhooks.c.id == columns.webhook_id)
        .where(columns.id.in_(ids), columns.claim == claim.token, columns.state == "pending")
    )
    return [_claimed(row, claim.now_ms) for row in rows]


def _claimed(row: AnyRow, now_ms: int) -> Claimed:
    secrets = (row.secret, row.old_secret) if row.old_secret and (row.old_until_ms or 0) > now_ms else (row.secret,)
    return Claimed(row.id, row.webhook_id, row.owner, row.body, row.attempts, row.url, secrets)


def settle(connection: Connection, outcome: Outcome) -> None:
    """Write down a try: the message has arrived, or is tried again later, or is dead; a receiver of dead ones is disabled."""
    row = connection.execute(
        select(columns.attempts, columns.webhook_id, columns.owner, columns.type).where(
            columns.id == outcome.id, columns.claim == outcome.token, columns.state == "pending"
        )
    ).first()
    if row is None:  # it was sent anew, or another process has it by now
        return
    connection.execute(
        insert(webhook_tries).values(
            delivery_id=outcome.id, at_ms=outcome.now_ms, duration_ms=outcome.duration_ms, status=outcome.status, error=outcome.error
        )
    )
    attempts = row.attempts + 1
    dead = not outcome.delivered and (outcome.gone or attempts > len(PAUSES_S))
    ended = outcome.delivered or dead
    pause_s = 0.0 if ended else pause_after(attempts, outcome.retry_after_s, random.random())
    connection.execute(
        update(webhook_deliveries)
        .where(columns.id == outcome.id)
        .values(
            state="delivered" if outcome.delivered else "dead" if dead else "pending",
            attempts=attempts,
            next_ms=outcome.now_ms + int(pause_s * 1000),
            claimed_until_ms=0,
            claim=None,
            ended_ms=outcome.now_ms if ended else None,
            last_status=outcome.status,
            last_error=outcome.error,
        )
    )
    if outcome.delivered:
        connection.execute(update(webhooks).where(webhooks.c.id == row.webhook_id, webhooks.c.dead_in_row > 0).values(dead_in_row=0))
    elif dead and row.type != "webhook.test":
        _count_dead(connection, row.webhook_id, row.owner, outcome)


def pause_after(attempts: int, retry_after_s: float, chance: float) -> float:
    """Seconds until the next try after so many; `chance` in 0..1 is the jitter."""
    pause_s = PAUSES_S[attempts - 1] * (1 - JITTER * chance)
    return max(pause_s, min(retry_after_s, LONGEST_PAUSE_S))


def _count_dead(connection: Connection, webhook_id: str, owner: str, outcome: Outcome) -> None:
    connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(dead_in_row=webhooks.c.dead_in_row + 1))
    row = connection.execute(select(webhooks.c.dead_in_row, webhooks.c.url).where(webhooks.c.id == webhook_id)).one()
    if row.dead_in_row < MAX_DEAD and not outcome.gone:
        return
    last = outcome.error or f"status {outcome.status}"
    reason = "it answered that it is gone (410)" if outcome.gone else f"{row.dead_in_row} messages in a row were given up; the last: {last}"
    disable(connection, webhook_id, reason)
    data = {"webhook_id": webhook_id, "url": row.url, "reason": reason}
    tell(connection, [Event(owner, "webhook.disabled", f"disabled {webhook_id} {outcome.now_ms}", data, outcome.now_ms)])


def disable(connection: Connection, webhook_id: str, reason: str) -> None:
    """Tell a receiver nothing more; what waits for it is dead."""
    connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(enabled=False, disabled_reason=reason[:500]))
    waiting = and_(columns.webhook_id == webhook_id, columns.state == "pending")
    connection.execute(
        update(webhook_deliveries)
        .where(waiting)
        .values(state="dead", claim=None, last_error="its webhook was disabled", ended_ms=columns.next_ms)
    )


def resend(connection: Connection, wish: tuple[str, str | None, int]) -> Delivery:
    """Send a message again, with its id, from the first try on. Raises NoSuchDelivery."""
    id, owner, now_ms = wish
    known, _ = find_delivery(connection, id, owner)
    fresh = {"state": "pending", "attempts": 0, "next_ms": now_ms, "claimed_until_ms": 0, "claim": None, "ended_ms": None}
    connection.execute(update(webhook_deliveries).where(columns.id == known.id).values(**fresh))
    return find_delivery(connection, id, owner)[0]


def find_delivery(connection: Connection, id: str, owner: str | None) -> tuple[Delivery, list[Try]]:
    """A message and all its tries. Raises NoSuchDelivery."""
    statement = select(webhook_deliveries).where(columns.id == id)
    row = connection.execute(statement if owner is None else statement.where(columns.owner == owner)).first()
    if row is None:
        raise NoSuchDelivery(f"there is no delivery '{id[:100]}'")
    tries = connection.execute(select(webhook_tries).where(webhook_tries.c.delivery_id == id).order_by(webhook_tries.c.seq)).all()
    return _delivery(row), [Try(entry.at_ms, entry.duration_ms, entry.status, entry.error) for entry in tries]


def list_deliveries(
    connection: Connection, owner: str | None, webhook_id: str | None, state: str | None, limit: int, offset: int
) -> tuple[list[Delivery], int]:
    """A page of messages, newest first, and how many there are."""
    conditions = [
        condition
        for value, condition in (
            (owner, columns.owner == owner),
            (webhook_id, columns.webhook_id == webhook_id),
            (state, columns.state == state),
        )
        if value is not None
    ]
    total = connection.execute(select(func.count()).select_from(webhook_deliveries).where(*conditions)).scalar_one()
    order = (columns.created_ms.desc(), columns.id)
    rows = connection.execute(select(webhook_deliveries).where(*conditions).order_by(*order).limit(limit).offset(offset))
    return [_delivery(row) for row in rows], int(total)


def next_due_ms(connection: Connection) -> int | None:
    """When the next message may be sent, as far as no process has it."""
    moment = case((columns.claimed_until_ms > columns.next_ms, columns.claimed_until_ms), else_=columns.next_ms)
    found = connection.execute(select(func.min(moment)).where(columns.state == "pending")).scalar()
    return None if found is None else int(found)


def _delivery(row: AnyRow) -> Delivery:
    return Delivery(
        row.id, row.webhook_id, row.type, row.state, row.attempts, row.next_ms, row.created_ms, row.ended_ms, row.last_status, row.last_error,
        row.body,
    )  # fmt: skip
