"""Booking: events of providers become rows, each event once. What comes too early waits for what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from marquetry.marketplace.payments import orders, periods
from marquetry.marketplace.payments.disputes import note_dispute
from marquetry.marketplace.payments.events import (
    AccountSet,
    Approved,
    CheckoutEnded,
    Disputed,
    Happening,
    Paid,
    PaymentLate,
    PeriodPaid,
    ProviderEvent,
    RefundSaid,
    Subscribed,
    SubscriptionSet,
    SubscriptionStopped,
    packed,
    unpacked,
)
from marquetry.marketplace.payments.payout_accounts import account_said
from marquetry.marketplace.payments.periods import APPLIED, IGNORED, MISMATCH, WAITING
from marquetry.marketplace.payments.receipts import PACK, UNEXPECTED, Received, Rules, find_foreign, receive
from marquetry.marketplace.payments.refunds import begin_refund, find_refund, refund_failed, refund_made
from marquetry.marketplace.payments.tables import FOREIGN_ID, events
from marquetry.marketplace.schema import MICROCREDITS

if TYPE_CHECKING:
    from sqlalchemy import Connection

REPLAYED = "replayed"
columns = events.c


def book(connection: Connection, event: ProviderEvent, rules: Rules, now_ms: int) -> str:
    """Book an event, and those that waited for it. Gives what became of it: applied, replayed, ignored, mismatch or waiting."""
    if not _new(connection, event, now_ms):
        return REPLAYED
    outcome = _apply(connection, event.provider, event.happening, rules, event.event_ms, now_ms)
    mine = (columns.provider == event.provider, columns.id == event.id[:FOREIGN_ID])
    connection.execute(update(events).where(*mine).values(outcome=outcome, reference=_references(event.happening)[0]))
    if outcome == APPLIED:
        _book_waiting(connection, event, rules, now_ms)
    return outcome


def _new(connection: Connection, event: ProviderEvent, now_ms: int) -> bool:
    """Write the event down; whether it was not there. Another process that writes the same is waited for."""
    values = {
        "provider": event.provider,
        "id": event.id[:FOREIGN_ID],
        "type": event.type[:100],
        "reference": "",
        "outcome": IGNORED,
        "content": packed(event.happening),
        "event_ms": event.event_ms,
        "received_ms": now_ms,
    }
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        made = postgresql_insert(events).values(**values).on_conflict_do_nothing().returning(columns.id)
        return connection.execute(made).first() is not None
    known = select(columns.id).where(columns.provider == event.provider, columns.id == values["id"])
    if connection.execute(known).first() is not None:
        return False
    connection.execute(insert(events).values(**values))
    return True


def _book_waiting(connection: Connection, event: ProviderEvent, rules: Rules, now_ms: int) -> None:
    """What waited for this event is due now, in the order in which it happened."""
    names = [name for name in _references(event.happening) if name]
    where = (columns.outcome == WAITING, columns.provider == event.provider, columns.reference.in_(names))
    for row in connection.execute(select(events).where(*where).order_by(columns.event_ms)).all():
        outcome = _apply(connection, row.provider, unpacked(row.content), rules, row.event_ms, now_ms)
        if outcome != WAITING:
            mine = (columns.provider == row.provider, columns.id == row.id)
            connection.execute(update(events).where(*mine).values(outcome=outcome))


def _references(happening: Happening | None) -> tuple[str, ...]:
    """By which names of the provider events find each other; the first is the one that they wait for."""
    match happening:
        case Paid():
            return (happening.payment_id,)
        case PeriodPaid():
            return (happening.subscription_id, happening.payment_id)
        case Subscribed() | PaymentLate() | SubscriptionStopped() | SubscriptionSet():
            return (happening.subscription_id,)
        case RefundSaid() | Disputed():
            return (*happening.payment_ids, "")
        case _:
            return ("",)


def _apply(connection: Connection, provider: str, happening: Happening | None, rules: Rules, event_ms: int, now_ms: int) -> str:
    match happening:
        case Paid():
            return _paid(connection, provider, happening, rules, event_ms, now_ms)
        case CheckoutEnded():
            return _ended(connection, provider, happening, now_ms)
        case Subscribed():
            return _subscribed(connection, provider, happening, now_ms)
        case PeriodPaid():
            return periods.period_paid(connection, provider, happening, rules, event_ms, now_ms)
        case PaymentLate():
            return periods.payment_late(connection, provider, happening, rules, event_ms, now_ms)
        case SubscriptionStopped():
            return periods.stopped(connection, provider, happening, now_ms)
        case SubscriptionSet():
            return periods.set_by_payer(connection, provider, happening, event_ms, now_ms)
        case RefundSaid():
            return _refunded(connection, provider, happening, rules, now_ms)
        case Disputed():
            payment = find_foreign(connection, provider, happening.payment_ids)
            if payment is None:
                return WAITING
            return APPLIED if note_dispute(connection, provider, happening, payment, now_ms) else IGNORED
        case AccountSet():
            return APPLIED if account_said(connection, provider, happening, event_ms) else IGNORED
        case Approved() | None:
            return IGNORED


def _paid(connection: Connection, provider: str, said: Paid, rules: Rules, event_ms: int, now_ms: int) -> str:
    """Credits for a paid order, if it was paid as ordered; else the money is kept apart, to be given back."""
    if find_foreign(connection, provider, (said.payment_id,)) is not None:
        return IGNORED
    order = orders.locked(connection, provider, said.order_id)
    if order is None or order.kind != "pack":
        return IGNORED  # something else that is sold through the same account
    expected = order.state != "paid" and (said.amount_minor, said.currency) == (order.amount_minor, order.currency)
    credits = f"{order.microcredits // MICROCREDITS:,} credits"
    money = Received(
        owner=order.owner,
        provider=provider,
        payment_id=said.payment_id,
        kind=PACK if expected else UNEXPECTED,
        description=credits if expected else f"not as ordered ({credits})",
        currency=said.currency,
        amount_minor=said.amount_minor,
        microcredits=order.microcredits if expected else 0,
        order_id=order.id,
        event_ms=event_ms,
    )
    if expected:
        orders.set_state(connection, order.id, "paid", now_ms)
        orders.keep_customer(connection, order.owner, provider, said.customer_id, now_ms)
    receive(connection, money, rules, now_ms)
    return APPLIED if expected else MISMATCH


def _ended(connection: Connection, provider: str, said: CheckoutEnded, now_ms: int) -> str:
    order = orders.locked(connection, provider, said.order_id)
    if order is None or order.state == "paid":
        return IGNORED
    orders.set_state(connection, order.id, "failed" if said.state == "failed" else "expired", now_ms)
    return APPLIED


def _subscribed(connection: Connection, provider: str, said: Subscribed, now_ms: int) -> str:
    order = orders.locked(connection, provider, said.order_id)
    if order is None or order.kind != "subscription":
        return IGNORED
    orders.link(connection, order.id, said.subscription_id, now_ms)
    orders.keep_customer(connection, order.owner, provider, said.customer_id, now_ms)
    return APPLIED


def _refunded(connection: Connection, provider: str, said: RefundSaid, rules: Rules, now_ms: int) -> str:
    """How a refund went; one that was made in the provider's own pages takes its credits here."""
    known = find_refund(connection, said.our_refund_id, said.refund_id)
    if known is None:
        payment = find_foreign(connection, provider, said.payment_ids)
        if payment is None:
            return WAITING
        left = payment.amount_minor - payment.refunded_minor
        if said.state != "done" or said.currency != payment.currency or not left or payment.dispute in ("open", "lost"):
            return IGNORED
        amount = min(said.amount_minor, left)
        text = f"made at {provider}"
        known = begin_refund(connection, payment.id, amount, key=f"{provider} {said.refund_id}", reason=text, made_by="", now_ms=now_ms)
    if said.state == "done":
        refund_made(connection, known.id, said.refund_id, rules, now_ms)
    elif said.state == "failed":
        refund_failed(connection, known.id, now_ms)
    return APPLIED


__all__ = ["APPLIED", "IGNORED", "MISMATCH", "REPLAYED", "WAITING", "book"]
