"""Recoveries: a period that could not be charged. It is told and tried again on a ladder of days; after the last the plan ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from marquetry.marketplace.payments.duties import cancel_at_provider
from marquetry.marketplace.payments.receipts import DAY_MS, Rules
from marquetry.marketplace.payments.tables import URL, recoveries
from marquetry.marketplace.plans import subscriptions

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marquetry.marketplace.plans.subscriptions import Subscription

columns = recoveries.c


@dataclass(frozen=True, slots=True)
class Step:
    """What is due of a recovery: a mail, and, where `reference` is not empty, another try. `ended`: it was the last."""

    owner: str
    subscription_id: str
    plan: str
    provider: str
    reference: str
    url: str
    step: int
    ended: bool
    ends_ms: int


def begin(connection: Connection, subscription: Subscription, reference: str, url: str, rules: Rules, now_ms: int) -> None:
    """The subscription's payment is late. A ladder that is being climbed goes on as it was."""
    if subscription.status != "past_due":
        subscriptions.set_status(connection, subscription.id, "past_due", now_ms)
    known = {"reference": reference, "url": url[:URL]}
    found = connection.execute(select(recoveries).where(columns.subscription_id == subscription.id)).first()
    if found is not None:
        kept = {name: value for name, value in known.items() if value}
        if kept:
            connection.execute(update(recoveries).where(columns.subscription_id == subscription.id).values(**kept))
        return
    values = {
        "subscription_id": subscription.id,
        "owner": subscription.owner,
        "provider": subscription.provider or "",
        **known,
        "step": 0,
        "since_ms": now_ms,
        "next_ms": now_ms + (rules.ladder_days[0] if rules.ladder_days else rules.ends_days) * DAY_MS,
    }
    connection.execute(insert(recoveries).values(**values))


def end(connection: Connection, subscription_id: str) -> None:
    """It was paid, or is over."""
    connection.execute(delete(recoveries).where(columns.subscription_id == subscription_id))


def take_steps(connection: Connection, rules: Rules, now_ms: int, limit: int = 100) -> list[Step]:
    """Go on where it is time; the steps that are to be done now. Plans whose ladder is at its end are over."""
    rows = connection.execute(select(recoveries).where(columns.next_ms <= now_ms).order_by(columns.next_ms).limit(limit).with_for_update())
    due: list[Step] = []
    for row in rows.all():
        known = subscriptions.find(connection, row.subscription_id)
        if known is None or known.status != "past_due":
            end(connection, row.subscription_id)
            continue
        over = row.step >= len(rules.ladder_days)
        ends_ms = row.since_ms + rules.ends_days * DAY_MS
        due.append(Step(row.owner, known.id, known.plan, row.provider, "" if over else row.reference, row.url, row.step, over, ends_ms))
        if over:
            subscriptions.set_status(connection, known.id, "canceled", now_ms)
            cancel_at_provider(connection, known, now_ms)
            end(connection, known.id)
            continue
        following = row.step + 1
        days = rules.ladder_days[following] if following < len(rules.ladder_days) else rules.ends_days
        values = {"step": following, "next_ms": max(row.since_ms + days * DAY_MS, now_ms + 1)}
        connection.execute(update(recoveries).where(columns.subscription_id == known.id).values(**values))
    return due
