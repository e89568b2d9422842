"""Subscriptions: who has which plan, from when to when. Functions take a connection and never commit; money comes in elsewhere."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sqlalchemy import insert, select, update

from marquetry.marketplace.plans.catalogue import Plans
from marquetry.marketplace.plans.errors import SubscriptionClosed, UnknownPlan
from marquetry.marketplace.plans.months import after, calendar_month, month_of
from marquetry.marketplace.plans.plan import Interval, Plan
from marquetry.marketplace.plans.tables import subscriptions

if TYPE_CHECKING:
    from sqlalchemy import Connection

Status: TypeAlias = Literal["trialing", "active", "past_due", "canceled"]
IN_FORCE: tuple[Status, ...] = ("trialing", "active", "past_due")
MONTHS: dict[Interval, int] = {"month": 1, "year": 12}
columns = subscriptions.c


@dataclass(frozen=True, slots=True)
class Subscription:
    """A row. `granted_until_ms`: months that begin before it had their grant. `next_plan` comes at the end of the period."""

    id: str
    owner: str
    plan: str
    status: Status
    interval: Interval
    currency: str
    price_minor: int
    period_start_ms: int
    period_end_ms: int
    cancel_at_period_end: bool
    next_plan: str | None
    provider: str | None
    provider_subscription_id: str | None
    granted_until_ms: int
    max_concurrency: int | None
    retention_days: int | None
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds for an owner now: a plan, the month in which its quotas are counted, and the subscription, if there is one."""

    owner: str
    plan: Plan
    month_start_ms: int
    month_end_ms: int
    subscription: Subscription | None = None


def standing(connection: Connection, owner: str, now_ms: int, plans: Plans, default_plan: str) -> Standing:
    """The plan of an owner: that of the subscription in force, else the default. Raises UnknownPlan."""
    found = in_force(connection, owner, now_ms)
    if found is None or found.plan not in plans:
        return Standing(owner, plans[default_plan], *calendar_month(now_ms))
    return Standing(owner, plans[found.plan], *month_of(found.period_start_ms, now_ms), found)


def in_force(connection: Connection, owner: str, now_ms: int) -> Subscription | None:
    """The subscription that holds; of several the one that began last. One whose payment is late holds until it is canceled."""
    statement = (
        select(subscriptions)
        .where(columns.owner == owner, columns.status.in_(IN_FORCE), columns.period_start_ms <= now_ms)
        .order_by(columns.created_ms.desc(), columns.id)
    )
    for row in connection.execute(statement):
        found = _of_row(row)
        if now_ms < found.period_end_ms or not (found.cancel_at_period_end or found.status == "trialing"):
            return found  # past its end: its provider has not said yet whether it goes on
    return None


def find(connection: Connection, id: str) -> Subscription | None:
    row = connection.execute(select(subscriptions).where(columns.id == id)).first()
    return None if row is None else _of_row(row)


def find_by_provider(connection: Connection, provider: str, provider_subscription_id: str) -> Subscription | None:
    """The subscription that a payment provider knows under its own id."""
    where = (columns.provider == provider, columns.provider_subscription_id == provider_subscription_id)
    row = connection.execute(select(subscriptions).where(*where)).first()
    return None if row is None else _of_row(row)


def subscribe(
    connection: Connection,
    owner: str,
    plan: Plan,
    now_ms: int,
    *,
    interval: Interval = "month",
    currency: str = "",
    provider: str | None = None,
    provider_subscription_id: str | None = None,
    status: Status = "active",
) -> Subscription:
    """Begin a subscription; one that was in force ends. Raises UnknownPlan when the plan is not sold in that currency and interval."""
    price = 0
    if plan.prices:
        offered = plan.prices.get(currency, {})
        if interval not in offered:
            raise UnknownPlan(f"the plan '{plan.id}' is not sold by the {interval} in '{currency[:10]}'; it is in {', '.join(plan.prices)}")
        price = offered[interval]
    before = in_force(connection, owner, now_ms)
    if before is not None:
        _change(connection, before.id, now_ms, status="canceled", period_end_ms=now_ms)
    made = Subscription(
        id=uuid.uuid4().hex,
        owner=owner,
        plan=plan.id,
        status=status,
        interval=interval,
        currency=currency,
        price_minor=price,
        period_start_ms=now_ms,
        period_end_ms=after(now_ms, MONTHS[interval]),
        cancel_at_period_end=False,
        next_plan=None,
        provider=provider,
        provider_subscription_id=provider_subscription_id,
        granted_until_ms=now_ms,
        max_concurrency=plan.entitlements.concurrency,
        retention_days=plan.entitlements.retention_days,
        created_ms=now_ms,
        updated_ms=now_ms,
    )
    connection.execute(insert(subscriptions).values(**_values(made)))
    return made


def renew(connection: Connection, id: str, plans: Plans, now_ms: int) -> Subscription:
    """The next period was paid: it begins where the last one ended, with the plan that was chosen for it. Raises SubscriptionClosed."""
    known = _open(connection, id)
    plan = plans[known.next_plan or known.plan]
    start = known.period_end_ms
    price = plan.prices.get(known.currency, {}).get(known.interval, known.price_minor)
    values: dict[str, Any] = {
        "plan": plan.id,
        "next_plan": None,
        "status": "active",
        "price_minor": price,
        "period_start_ms": start,
        "period_end_ms": after(start, MONTHS[known.interval]),
        "granted_until_ms": max(start, known.granted_until_ms) if plan.id == known.plan else start,
        "max_concurrency": plan.entitlements.concurrency,
        "retention_days": plan.entitlements.retention_days,
    }
    return _change(connection, id, now_ms, **values)


def change_plan(connection: Connection, id: str, plan: Plan, plans: Plans, now_ms: int) -> Subscription:
    """Take another plan: a dearer one holds at once and grants the difference, a cheaper one from the next period on. Raises SubscriptionClosed."""
    known = _open(connection, id)
    if known.plan in plans and plan.rank < plans[known.plan].rank:
        return _change(connection, id, now_ms, next_plan=plan.id)
    price = plan.prices.get(known.currency, {}).get(known.interval, 0)
    entitlements = plan.entitlements
    return _change(
        connection,
        id,
        now_ms,
        plan=plan.id,
        next_plan=None,
        price_minor=price,
        max_concurrency=entitlements.concurrency,
        retention_days=entitlements.retention_days,
    )


def cancel(connection: Connection, id: str, now_ms: int, *, at_period_end: bool = True) -> Subscription:
    """End a subscription: at the end of what was paid for, or now. Raises SubscriptionClosed."""
    known = _open(connection, id)
    if at_period_end and known.period_end_ms > now_ms:
        return _change(connection, id, now_ms, cancel_at_period_end=True)
    return _change(connection, id, now_ms, status="canceled", period_end_ms=min(now_ms, known.period_end_ms))


def resume(connection: Connection, id: str, now_ms: int) -> Subscription:
    """Take back a cancellation that has not come yet. Raises SubscriptionClosed."""
    _open(connection, id)
    return _change(connection, id, now_ms, cancel_at_period_end=False, next_plan=None)


def set_status(connection: Connection, id: str, status: Status, now_ms: int) -> Subscription:
    """What a payment provider says of it: paid, late, over. Raises SubscriptionClosed."""
    known = _open(connection, id)
    ends = {"period_end_ms": min(now_ms, known.period_end_ms)} if status == "canceled" else {}
    return _change(connection, id, now_ms, status=status, **ends)


def end_due(connection: Connection, plans: Plans, now_ms: int, limit: int = 500) -> int:
    """Close what was to end at the end of its period; free plans go on by themselves. Gives how many were closed or went on."""
    statement = select(subscriptions).where(columns.status.in_(IN_FORCE), columns.period_end_ms <= now_ms).order_by(columns.period_end_ms)
    done = 0
    for row in connection.execute(statement.limit(limit)).all():
        known = _of_row(row)
        if known.cancel_at_period_end:
            _change(connection, known.id, now_ms, status="canceled")
        elif known.provider is None:
            renew(connection, known.id, plans, now_ms)
        else:
            continue  # its provider says whether it was paid
        done += 1
    return done


def _open(connection: Connection, id: str) -> Subscription:
    known = find(connection, id)
    if known is None or known.status == "canceled":
        raise SubscriptionClosed("the subscription is over; begin a new one")
    return known


def _change(connection: Connection, id: str, now_ms: int, **values: Any) -> Subscription:
    connection.execute(update(subscriptions).where(columns.id == id).values(**values, updated_ms=now_ms))
    changed = find(connection, id)
    assert changed is not None, "it was there when it was changed"
    return changed


def _of_row(row: Any) -> Subscription:
    return Subscription(**row._mapping)


def _values(subscription: Subscription) -> dict[str, Any]:
    return {name: getattr(subscription, name) for name in subscription.__slots__}
