"""Webhooks: who wants to be told of what, at which address. Functions take a connection inside a transaction and never commit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, delete, func, insert, select, update

from marquetry.marketplace.accounts.upsert import insert_missing
from marquetry.server.automation.errors import NoSuchWebhook, TooMany
from marquetry.server.automation.event import EVENTS, Event
from marquetry.server.automation.signing import new_secret
from marquetry.server.automation.tables import webhook_deliveries, webhooks
from marquetry.server.jobs.queue import AnyRow
from marquetry.server.jobs.token import random_bytes

OVERLAP_MS = 24 * 3600 * 1000  # how long the old secret signs too after it was replaced
OWN_TO_ONE = frozenset({"webhook.test"})  # told to the receiver that it names, whatever that subscribed to


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver. Without `events` it hears of everything; with `job_id` of that job only."""

    id: str
    owner: str
    url: str
    events: tuple[str, ...]
    description: str
    secret: str
    job_id: str | None
    enabled: bool
    disabled_reason: str | None
    created_ms: int
    old_until_ms: int | None = None

    def wants(self, event: Event) -> bool:
        """Whether it is told of the event."""
        if event.type in OWN_TO_ONE:
            return event.data.get("webhook_id") == self.id
        if self.job_id is not None and self.job_id != event.job_id:
            return False
        return not self.events or event.type in self.events


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A receiver to be kept; `limit` is how many its owner may have."""

    owner: str
    url: str
    now_ms: int
    events: tuple[str, ...] = ()
    description: str = ""
    secret: str | None = None
    job_id: str | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True)
class WebhookChange:
    """What is another now; what is None stays. `rotate`: a new secret, and the old one for a day beside it."""

    id: str
    owner: str | None
    now_ms: int
    url: str | None = None
    events: tuple[str, ...] | None = None
    description: str | None = None
    enabled: bool | None = None
    rotate: bool = False


def add_webhook(connection: Connection, new: NewWebhook) -> Webhook:
    """Keep a receiver. Raises TooMany."""
    mine = select(func.count()).select_from(webhooks).where(webhooks.c.owner == new.owner)
    if connection.execute(mine).scalar_one() >= new.limit:
        raise TooMany(f"there are {new.limit} webhooks already, as many as the plan allows; delete one first", limit=new.limit)
    values = {
        "id": f"wh_{random_bytes(16).hex()}",
        "owner": new.owner,
        "url": new.url,
        "events": orjson.dumps(new.events),
        "description": new.description,
        "secret": new.secret or new_secret(),
        "job_id": new.job_id,
        "enabled": True,
        "dead_in_row": 0,
        "created_ms": new.now_ms,
    }
    connection.execute(insert(webhooks).values(**values))
    return find_webhook(connection, str(values["id"]), new.owner)


def find_webhook(connection: Connection, id: str, owner: str | None) -> Webhook:
    """One receiver. Raises NoSuchWebhook."""
    statement = select(webhooks).where(webhooks.c.id == id)
    row = connection.execute(statement if owner is None else statement.where(webhooks.c.owner == owner)).first()
    if row is None:
        raise NoSuchWebhook(f"there is no webhook '{id[:100]}'")
    return _webhook(row)


def list_webhooks(connection: Connection, owner: str | None) -> list[Webhook]:
    """An owner's receivers, oldest first."""
    statement = select(webhooks).order_by(webhooks.c.created_ms, webhooks.c.id).limit(1000)
    return [_webhook(row) for row in connection.execute(statement if owner is None else statement.where(webhooks.c.owner == owner))]


def change_webhook(connection: Connection, change: WebhookChange) -> Webhook:
    """Change a receiver. Raises NoSuchWebhook."""
    known = find_webhook(connection, change.id, change.owner)
    values: dict[str, Any] = {}
    if change.url is not None:
        values["url"] = change.url
    if change.events is not None:
        values["events"] = orjson.dumps(change.events)
    if change.description is not None:
        values["description"] = change.description
    if change.enabled is not None:
        values |= {"enabled": change.enabled, "disabled_reason": None, "dead_in_row": 0}
    if change.rotate:
        values |= {"secret": new_secret(), "old_secret": known.secret, "old_until_ms": change.now_ms + OVERLAP_MS}
    if values:
        connection.execute(update(webhooks).where(webhooks.c.id == known.id).values(**values))
    return find_webhook(connection, change.id, change.owner)


def remove_webhook(connection: Connection, wish: tuple[str, str | None]) -> None:
    """Forget a receiver, and what was to be sent to it. Raises NoSuchWebhook."""
    id, owner = wish
    find_webhook(connection, id, owner)
    connection.execute(delete(webhooks).where(webhooks.c.id == id))


def tell(connection: Connection, events: Sequence[Event]) -> int:
    """Put what happened in the post, in the caller's transaction, for every receiver that wants it; again is no more. How many messages."""
    told = 0
    by_owner: dict[str, list[Event]] = {}
    for event in events:
        if event.type not in EVENTS:
            raise ValueError(f"'{event.type}' is not a name of an event")
        by_owner.setdefault(event.owner, []).append(event)
    for owner, mine in by_owner.items():
        rows = connection.execute(select(webhooks).where(webhooks.c.owner == owner, webhooks.c.enabled)).all()
        for receiver in map(_webhook, rows):
            for event in mine:
                if receiver.wants(event):
                    _post(connection, receiver, event)
                    told += 1
    return told


def has_webhooks(connection: Connection) -> bool:
    """Whether anybody wants to be told of anything."""
    return connection.execute(select(webhooks.c.id).where(webhooks.c.enabled).limit(1)).first() is not None


def tidy_webhooks(connection: Connection, before_ms: int) -> int:
    """Forget messages that ended before that time, and receivers of single jobs that were made before it and have nothing more to get."""
    old = delete(webhook_deliveries).where(webhook_deliveries.c.ended_ms < before_ms)
    waiting = select(webhook_deliveries.c.webhook_id).where(webhook_deliveries.c.state == "pending")
    spent = delete(webhooks).where(webhooks.c.job_id.is_not(None), webhooks.c.created_ms < before_ms, webhooks.c.id.not_in(waiting))
    return connection.execute(old).rowcount + connection.execute(spent).rowcount


def delivery_id(webhook_id: str, key: str) -> str:
    """The id of a message: the same for the same receiver and the same event, however often it is made or sent."""
    return f"msg_{hashlib.sha256(f'{webhook_id} {key}'.encode()).hexdigest()[:40]}"


def _post(connection: Connection, receiver: Webhook, event: Event) -> None:
    insert_missing(
        connection,
        webhook_deliveries,
        id=delivery_id(receiver.id, event.key),
        webhook_id=receiver.id,
        owner=receiver.owner,
        type=event.type,
        body=event.body(),
        state="pending",
        attempts=0,
        next_ms=event.time_ms,
        claimed_until_ms=0,
        created_ms=event.time_ms,
    )


def _webhook(row: AnyRow) -> Webhook:
    return Webhook(
        row.id, row.owner, row.url, tuple(orjson.loads(row.events)), row.description, row.secret, row.job_id, row.enabled,
        row.disabled_reason, row.created_ms, row.old_until_ms,
    )  # fmt: skip
