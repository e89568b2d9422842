"""Periods: subscriptions as their provider tells of them: begun, paid, late, over. Plans and their credits follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marquetry.marketplace.payments import orders, recoveries
from marquetry.marketplace.payments.duties import cancel_at_provider, cancel_foreign
from marquetry.marketplace.payments.events import PaymentLate, PeriodPaid, SubscriptionSet, SubscriptionStopped
from marquetry.marketplace.payments.orders import Order
from marquetry.marketplace.payments.receipts import CHANGE, PERIOD, UNEXPECTED, Received, Rules, find_foreign, paid_since, receive
from marquetry.marketplace.plans import subscriptions
from marquetry.marketplace.plans.grants import grant_due
from marquetry.marketplace.plans.subscriptions import Subscription

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marquetry.marketplace.plans.plan import Plan

APPLIED, IGNORED, MISMATCH, WAITING = "applied", "ignored", "mismatch", "waiting"


def period_paid(connection: Connection, provider: str, said: PeriodPaid, rules: Rules, event_ms: int, now_ms: int) -> str:
    """The first payment begins the subscription, each later one its next period; once for each payment."""
    if find_foreign(connection, provider, (said.payment_id,)) is not None:
        return IGNORED
    order = orders.locked(connection, provider, said.order_id, said.subscription_id)
    if order is None:
        return WAITING
    known = subscriptions.find_by_provider(connection, provider, said.subscription_id)
    if known is None:
        return _begin(connection, order, said, rules, event_ms, now_ms)
    if said.change:
        fits = said.currency == known.currency and said.amount_minor <= known.price_minor
        kind, plan = CHANGE if fits else UNEXPECTED, rules.plans[known.plan]
        receive(connection, _money(order, said, kind, plan, known.id, event_ms), rules, now_ms)
        return APPLIED if fits else MISMATCH
    plan = rules.plans[known.next_plan or known.plan]
    price = plan.prices.get(known.currency, {}).get(known.interval, known.price_minor)
    if known.status == "canceled" or (said.amount_minor, said.currency) not in (
        (price, known.currency),
        (known.price_minor, known.currency),
    ):
        receive(connection, _money(order, said, UNEXPECTED, plan, known.id, event_ms), rules, now_ms)
        return MISMATCH
    receive(connection, _money(order, said, PERIOD, plan, known.id, event_ms), rules, now_ms)
    subscriptions.renew(connection, known.id, rules.plans, now_ms)
    recoveries.end(connection, known.id)
    grant_due(connection, rules.plans, now_ms, owner=known.owner)
    return APPLIED


def payment_late(connection: Connection, provider: str, said: PaymentLate, rules: Rules, event_ms: int, now_ms: int) -> str:
    """Late, unless it has been paid since. The plan holds while the payment is tried again."""
    known = subscriptions.find_by_provider(connection, provider, said.subscription_id)
    if known is None:
        return IGNORED if said.order_id else WAITING  # the first payment: its checkout is still open
    if known.status == "canceled" or find_foreign(connection, provider, (said.invoice_id,)) is not None:
        return IGNORED
    if not said.invoice_id and paid_since(connection, known.id, event_ms):
        return IGNORED
    recoveries.begin(connection, known, said.invoice_id, said.url, rules, now_ms)
    return APPLIED


def stopped(connection: Connection, provider: str, said: SubscriptionStopped, now_ms: int) -> str:
    """The provider charges no more; a subscription that was to end with its period keeps what was paid for."""
    known = subscriptions.find_by_provider(connection, provider, said.subscription_id)
    if known is None:
        return IGNORED if said.order_id else WAITING
    recoveries.end(connection, known.id)
    if known.status == "canceled":
        return IGNORED
    if known.status == "past_due":
        subscriptions.set_status(connection, known.id, "canceled", now_ms)
    else:
        subscriptions.cancel(connection, known.id, now_ms)
    return APPLIED


def set_by_payer(connection: Connection, provider: str, said: SubscriptionSet, event_ms: int, now_ms: int) -> str:
    """A choice in the provider's own pages."""
    known = subscriptions.find_by_provider(connection, provider, said.subscription_id)
    if known is None:
        return IGNORED if said.order_id else WAITING
    order = orders.locked(connection, provider, said.order_id, said.subscription_id)
    if known.status == "canceled" or order is None or not orders.synced(connection, order.id, event_ms):
        return IGNORED
    if said.cancel_at_period_end == known.cancel_at_period_end:
        return IGNORED
    if said.cancel_at_period_end:
        subscriptions.cancel(connection, known.id, now_ms)
    else:
        subscriptions.resume(connection, known.id, now_ms)
    return APPLIED


def _begin(connection: Connection, order: Order, said: PeriodPaid, rules: Rules, event_ms: int, now_ms: int) -> str:
    if order.kind != "subscription" or order.item not in rules.plans:
        return IGNORED
    plan = rules.plans[order.item]
    another = order.state == "paid" and order.provider_subscription_id not in ("", said.subscription_id)
    if another or (said.amount_minor, said.currency) != (order.amount_minor, order.currency):
        receive(connection, _money(order, said, UNEXPECTED, plan, "", event_ms), rules, now_ms)
        cancel_foreign(connection, order.provider, said.subscription_id, now_ms)
        return MISMATCH
    before = subscriptions.in_force(connection, order.owner, now_ms)
    made = subscriptions.subscribe(
        connection,
        order.owner,
        plan,
        now_ms,
        interval="year" if order.interval == "year" else "month",
        currency=order.currency,
        provider=order.provider,
        provider_subscription_id=said.subscription_id,
    )
    if before is not None:
        recoveries.end(connection, before.id)
        cancel_at_provider(connection, before, now_ms)
    orders.link(connection, order.id, said.subscription_id, now_ms)
    orders.set_state(connection, order.id, "paid", now_ms)
    orders.keep_customer(connection, order.owner, order.provider, said.customer_id, now_ms)
    receive(connection, _money(order, said, PERIOD, plan, made.id, event_ms), rules, now_ms)
    grant_due(connection, rules.plans, now_ms, owner=order.owner)
    return APPLIED


def _money(order: Order, said: PeriodPaid, kind: str, plan: Plan, subscription_id: str, event_ms: int) -> Received:
    given = plan.grant_microcredits if kind == PERIOD else 0
    return Received(
        owner=order.owner,
        provider=order.provider,
        payment_id=said.payment_id,
        kind=kind,
        description=f"{plan.title}, one {order.interval}" if kind == PERIOD else f"{plan.title}: {kind} payment",
        currency=said.currency,
        amount_minor=said.amount_minor,
        microcredits=given,
        purse="granted",
        order_id=order.id,
        subscription_id=subscription_id,
        event_ms=event_ms,
    )


def changed(connection: Connection, subscription: Subscription, plan: Plan, rules: Rules, now_ms: int) -> Subscription:
    """The provider has agreed to another plan."""
    return subscriptions.change_plan(connection, subscription.id, plan, rules.plans, now_ms)
