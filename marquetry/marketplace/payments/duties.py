"""Duties: what a provider is to be told because of something that was committed here. Kept until it has been told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from marquetry.marketplace.accounts.upsert import insert_missing
from marquetry.marketplace.payments.tables import duties

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marquetry.marketplace.plans.subscriptions import Subscription

columns = duties.c
FIRST_PAUSE_MS = 30_000
MOST_DOUBLINGS = 12


@dataclass(frozen=True, slots=True)
class Duty:
    """`kind` is cancel; `reference` the provider's id of the subscription."""

    id: str
    provider: str
    kind: str
    reference: str
    tries: int


def cancel_at_provider(connection: Connection, subscription: Subscription, now_ms: int) -> None:
    """A subscription that ended here is to end at its provider too, at once."""
    if subscription.provider and subscription.provider_subscription_id:
        cancel_foreign(connection, subscription.provider, subscription.provider_subscription_id, now_ms)


def cancel_foreign(connection: Connection, provider: str, reference: str, now_ms: int) -> None:
    """The same, by the provider's id."""
    insert_missing(
        connection,
        duties,
        id=f"cancel {provider} {reference}",
        provider=provider,
        kind="cancel",
        reference=reference,
        tries=0,
        next_ms=now_ms,
        done_ms=None,
        fault="",
    )


def due(connection: Connection, now_ms: int, limit: int = 50) -> list[Duty]:
    """What is to be told now."""
    statement = select(duties).where(columns.done_ms.is_(None), columns.next_ms <= now_ms).order_by(columns.next_ms).limit(limit)
    return [Duty(row.id, row.provider, row.kind, row.reference, row.tries) for row in connection.execute(statement)]


def told(connection: Connection, id: str, now_ms: int) -> None:
    connection.execute(update(duties).where(columns.id == id).values(done_ms=now_ms, fault=""))


def failed(connection: Connection, duty: Duty, fault: str, now_ms: int) -> None:
    """Try again later, each time after twice as long."""
    pause_ms = FIRST_PAUSE_MS * 2 ** min(duty.tries, MOST_DOUBLINGS)
    values = {"tries": duty.tries + 1, "next_ms": now_ms + pause_ms, "fault": fault[:500]}
    connection.execute(update(duties).where(columns.id == duty.id).values(**values))
