"""Payments: what handlers ask for. Every step is: write down what is to happen, ask the provider with an id of ours, write down its answer.

A crash between two steps loses nothing: the same request, or the next round, asks the provider again with the same id and finds what was made.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from marquetry.marketplace.payments import orders, periods, refunds
from marquetry.marketplace.payments.booking import MISMATCH, book
from marquetry.marketplace.payments.errors import (
    InvalidBilling,
    NoSubscription,
    NotSupported,
    ProviderFailed,
    SubscriptionExists,
    UnknownPack,
)
from marquetry.marketplace.payments.events import Approved, ProviderEvent
from marquetry.marketplace.payments.orders import NewOrder, Order
from marquetry.marketplace.payments.provider import Checkout
from marquetry.marketplace.payments.receipts import MANUAL, Payment, Received, get_payment, receive
from marquetry.marketplace.payments.refunds import Refund
from marquetry.marketplace.plans import subscriptions
from marquetry.marketplace.plans.errors import UnknownPlan
from marquetry.marketplace.plans.packs import Pack, shipped_packs
from marquetry.marketplace.schema import MICROCREDITS
from marquetry.server.payments.desk import Desk

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marquetry.marketplace.plans.subscriptions import Subscription

logger = logging.getLogger(__name__)
Interval: TypeAlias = Literal["month", "year"]


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays. `email` may be empty."""

    owner: str
    email: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """How somebody pays. `key` makes the order happen once; `path` is the page of ours to which the provider leads back."""

    currency: str = ""
    provider: str | None = None
    key: str = ""
    path: str = "/billing"


class Payments:
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def purchase(self, payer: Payer, pack_id: str, choice: Choice) -> Order:
        """An order of a pack with the page on which it is paid. Raises UnknownPack, PaymentsNotConfigured, OrderKeyReused, ProviderFailed."""
        pack = pack_of(pack_id)
        currency = choice.currency or next(iter(pack.prices))
        if currency not in pack.prices:
            raise UnknownPack(f"the pack '{pack_id}' is not sold in {currency[:3]}; it is in {', '.join(pack.prices)}")
        names = self.desk.providers_for(currency, choice.provider)
        new = NewOrder(payer.owner, "pack", pack.id, "", names[0], currency, pack.prices[currency], pack.microcredits, choice.key)
        return await self._open(new, names, payer, f"{pack.microcredits // MICROCREDITS:,} credits", choice.path)

    async def subscribe(self, payer: Payer, plan_id: str, interval: Interval, choice: Choice) -> Order:
        """An order of a plan. Raises UnknownPlan, SubscriptionExists, and what `purchase` does."""
        plan = self.desk.plans[plan_id]
        currency = choice.currency or next(iter(plan.prices), "")
        price = plan.prices.get(currency, {}).get(interval)
        if not price:
            offered = ", ".join(plan.prices) or "none: it is not for sale by itself"
            raise UnknownPlan(f"the plan '{plan.id}' is not sold by the {interval} in {currency[:3] or 'any currency'}; it is in {offered}")
        names = self.desk.providers_for(currency, choice.provider)
        known = await self.desk.read(subscriptions.in_force, payer.owner, self.desk.clock_ms())
        if known is not None and known.provider and not known.cancel_at_period_end:
            raise SubscriptionExists(
                f"there is a subscription to '{known.plan}' already; change that one, or cancel it first", plan=known.plan
            )
        new = NewOrder(payer.owner, "subscription", plan.id, interval, names[0], currency, price, 0, choice.key)
        return await self._open(new, names, payer, f"{plan.title}, by the {interval}", choice.path)

    async def portal(self, payer: Payer) -> str:
        """The provider's page for cards and subscriptions. Raises NoSubscription, NotSupported."""
        known = await self._current(payer.owner)
        name = known.provider or ""
        customer = await self.desk.read(orders.customer_of, payer.owner, name)
        return await self.desk.provider(name).portal(customer, f"{self.desk.public_url}/billing")

    async def change(self, payer: Payer, plan_id: str) -> tuple[Subscription, str]:
        """Another plan: a dearer one at once, a cheaper one from the next period on. Gives a page too, where the payer must agree there."""
        known, plan = await self._current(payer.owner), self.desk.plans[plan_id]
        price = plan.prices.get(known.currency, {}).get(known.interval)
        if not price:
            raise UnknownPlan(f"the plan '{plan.id}' is not sold by the {known.interval} in {known.currency}; cancel, and subscribe anew")
        if plan.id == known.plan and known.next_plan is None:
            raise SubscriptionExists(f"'{plan.id}' is the plan already", plan=plan.id)
        if known.status != "active":
            raise NotSupported("the last payment is late; pay it before the plan is changed")
        dearer = known.plan in self.desk.plans and plan.rank >= self.desk.plans[known.plan].rank
        checkout = self._checkout(known.id, plan.title, known.currency, price, known.interval, plan.id, "/billing", known.created_ms)
        page = await self.desk.provider(known.provider or "").change_subscription(
            known.provider_subscription_id or "", checkout, now=dearer
        )
        return await self.desk.write(periods.changed, known, plan, self.desk.rules, self.desk.clock_ms()), page

    async def cancel(self, payer: Payer) -> Subscription:
        """It ends with the period that was paid for. Raises NoSubscription."""
        known = await self._current(payer.owner)
        await self.desk.provider(known.provider or "").cancel_subscription(known.provider_subscription_id or "", at_period_end=True)
        return await self.desk.write(subscriptions.cancel, known.id, self.desk.clock_ms())

    async def resume(self, payer: Payer) -> Subscription:
        """Take a cancellation back before it comes. Raises NoSubscription, NotSupported."""
        known = await self._current(payer.owner)
        await self.desk.provider(known.provider or "").resume_subscription(known.provider_subscription_id or "")
        return await self.desk.write(subscriptions.resume, known.id, self.desk.clock_ms())

    async def webhook(self, name: str, headers: Mapping[str, str], body: bytes) -> str:
        """Take an event. Gives what became of it. Raises InvalidSignature."""
        provider = self.desk.provider(name)
        event = await provider.event(headers, body, self.desk.clock_ms())
        if isinstance(event.happening, Approved):
            taken = await provider.capture(event.happening)
            event = ProviderEvent(event.provider, event.id, event.type, event.event_ms, taken)
        outcome = await self.desk.write(book, event, self.desk.rules, self.desk.clock_ms())
        if outcome == MISMATCH:
            logger.error("%s took money that is not as ordered (event %s, %s); see the unexpected payments", name, event.id, event.type)
        return outcome

    async def refund(self, payment_id: str, amount_minor: int | None, *, key: str, reason: str, made_by: str) -> Refund:
        """Give a payment back, wholly or in part. Raises UnknownPayment, RefundTooLarge, ProviderFailed."""
        refund = await self.desk.write(
            refunds.begin_refund, payment_id, amount_minor, key=key, reason=reason, made_by=made_by, now_ms=self.desk.clock_ms()
        )
        if refund.state != "begun" or refund.provider_refund_id:
            return refund
        return await self.send_refund(refund, await self.desk.read(get_payment, payment_id))

    async def send_refund(self, refund: Refund, payment: Payment) -> Refund:
        """Ask the provider, as often as needed: it knows the refund by its id. A refusal gives the credits back."""
        now_ms, rules = self.desk.clock_ms, self.desk.rules
        if payment.kind == MANUAL:
            return await self.desk.write(refunds.refund_made, refund.id, "manual", rules, now_ms())
        period = bool(payment.subscription_id)
        try:
            provider = self.desk.provider(payment.provider)
            answer = await provider.refund(payment.provider_payment_id, refund.id, refund.amount_minor, payment.currency, period)
        except ProviderFailed as error:
            if not error.unknown:
                await self.desk.write(refunds.refund_failed, refund.id, now_ms())
            raise
        if answer.state == "done":
            return await self.desk.write(refunds.refund_made, refund.id, answer.id, rules, now_ms())
        if answer.state == "failed":
            return await self.desk.write(refunds.refund_failed, refund.id, now_ms())
        return await self.desk.write(refunds.remember, refund.id, answer.id)

    async def manual(self, owner: str, pack_id: str, currency: str, reference: str, note: str) -> Payment:
        """Money that came another way, such as by bank transfer; once for each `reference`. Raises UnknownPack."""
        pack = pack_of(pack_id)
        if currency not in pack.prices:
            raise UnknownPack(f"the pack '{pack_id}' is not sold in {currency[:3]}; it is in {', '.join(pack.prices)}")
        text = f"{pack.microcredits // MICROCREDITS:,} credits{f' ({note})' if note else ''}"
        money = Received(owner, "manual", reference, MANUAL, text, currency, pack.prices[currency], pack.microcredits)

        def once(connection: Connection) -> Payment:
            payment = receive(connection, money, self.desk.rules, self.desk.clock_ms())
            if (payment.owner, payment.amount_minor, payment.currency) != (owner, money.amount_minor, currency):
                raise InvalidBilling(f"'{reference[:100]}' was entered before as another payment")
            return payment

        return await self.desk.write(once)

    async def _open(self, new: NewOrder, names: list[str], payer: Payer, title: str, path: str) -> Order:
        """The order with its page; the next provider takes over where one can't."""
        order = await self.desk.write(orders.place, new, self.desk.clock_ms())
        if order.state != "created":
            return order
        tried = [order.provider, *(name for name in names if name != order.provider)]
        for place, name in enumerate(tried):
            try:
                if name != order.provider:
                    order = await self.desk.write(orders.moved, order.id, name, self.desk.clock_ms())
                return await self._page(order, payer, title, path)
            except ProviderFailed as error:
                logger.warning("no page for a payment from %s: %s", name, error.message)
                if place == len(tried) - 1:
                    raise
        raise AssertionError("the last one gave a page or raised")

    async def _page(self, order: Order, payer: Payer, title: str, path: str) -> Order:
        provider, now_ms = self.desk.provider(order.provider), self.desk.clock_ms
        customer = await self.desk.read(orders.customer_of, payer.owner, order.provider)
        if not customer:
            customer = await provider.customer(payer.owner, payer.email)
            await self.desk.write(orders.keep_customer, payer.owner, order.provider, customer, now_ms())
        checkout = self._checkout(
            order.id, title, order.currency, order.amount_minor, order.interval, order.item, path, order.created_ms, payer.email, customer
        )
        session = await provider.checkout(checkout)
        return await self.desk.write(orders.opened, order.id, session.id, session.url, session.subscription_id, now_ms())

    def _checkout(
        self,
        id: str,
        title: str,
        currency: str,
        amount_minor: int,
        interval: str,
        item: str,
        path: str,
        created_ms: int,
        email: str = "",
        customer: str = "",
    ) -> Checkout:
        page = f"{self.desk.public_url}{path}?order={id}"
        return Checkout(
            id, title, currency, amount_minor, interval, f"{page}&state=paid", f"{page}&state=left", item, email, customer, created_ms
        )

    async def _current(self, owner: str) -> Subscription:
        """The subscription that a provider charges. Raises NoSubscription."""
        known = await self.desk.read(subscriptions.in_force, owner, self.desk.clock_ms())
        if known is None or not known.provider or not known.provider_subscription_id:
            raise NoSubscription("there is no paid subscription")
        return known


def pack_of(id: str) -> Pack:
    """Raises UnknownPack."""
    packs = {pack.id: pack for pack in shipped_packs()}
    if id not in packs:
        raise UnknownPack(f"there is no pack '{id[:100]}'; there are {', '.join(packs)}")
    return packs[id]
