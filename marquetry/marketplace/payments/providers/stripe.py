"""Stripe, through its own SDK: Checkout for packs and subscriptions, the customer portal, refunds, disputes, and Connect for creators."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

import orjson

from marquetry.marketplace.payments.errors import InvalidSignature, ProviderFailed
from marquetry.marketplace.payments.events import (
    AccountSet,
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
)
from marquetry.marketplace.payments.orders import LIFETIME_MS
from marquetry.marketplace.payments.provider import Bare, Checkout, ProviderKeys, RefundAnswer, Session, TransferAnswer

Answer = TypeVar("Answer")
TOLERANCE_S = 300
REFUND_STATES = {"succeeded": "done", "failed": "failed", "canceled": "failed"}
DISPUTE_STATES = {"won": "won", "lost": "lost"}


class Stripe(Bare):
    """Amounts are in Stripe's smallest units, which are our minor units. Requests carry idempotency keys made of our ids."""

    name = "stripe"
    title = "Stripe"
    needs = ("secret_key", "webhook_secrets")
    address = "https://api.stripe.com"
    headers = ("Stripe-Signature",)

    def __init__(self, keys: ProviderKeys) -> None:
        self._keys = keys
        self._made: Any = None
        self._sdk: Any = None

    @classmethod
    def is_live(cls, keys: ProviderKeys) -> bool:
        return keys.secret_key.startswith(("sk_live_", "rk_live_"))

    async def customer(self, owner: str, email: str) -> str:
        params = {"metadata": {"owner": owner}, **({"email": email} if email else {})}
        made = await self._ask((await self._client()).customers.create_async(params, {"idempotency_key": f"customer {owner}"}))
        return str(made.id)

    async def checkout(self, checkout: Checkout) -> Session:
        price: dict[str, Any] = {
            "currency": checkout.currency.lower(),
            "unit_amount": checkout.amount_minor,
            "product_data": {"name": checkout.title},
        }
        ours = {"order": checkout.order_id}
        params: dict[str, Any] = {
            "mode": "subscription" if checkout.interval else "payment",
            "client_reference_id": checkout.order_id,
            "metadata": ours,
            "success_url": checkout.success_url,
            "cancel_url": checkout.cancel_url,
            "expires_at": (checkout.created_ms + LIFETIME_MS) // 1000,
            "customer": checkout.customer_id,
        }
        if checkout.interval:
            price["recurring"] = {"interval": checkout.interval}
            params["subscription_data"] = {"metadata": ours}
        else:
            params["payment_intent_data"] = {"metadata": ours}
        params["line_items"] = [{"quantity": 1, "price_data": price}]
        options = {"idempotency_key": f"checkout {checkout.order_id}"}
        made = await self._ask((await self._client()).checkout.sessions.create_async(params, options))
        return Session(str(made.id), str(made.url))

    async def portal(self, customer_id: str, return_url: str) -> str:
        params = {"customer": customer_id, "return_url": return_url}
        return str((await self._ask((await self._client()).billing_portal.sessions.create_async(params))).url)

    async def change_subscription(self, id: str, checkout: Checkout, *, now: bool) -> str:
        client = await self._client()
        known = await self._ask(client.subscriptions.retrieve_async(id))
        params: dict[str, Any] = {
            "items": [{"id": known["items"].data[0].id, "price": await self._price(checkout)}],
            "proration_behavior": "always_invoice" if now else "none",
        }
        if now:
            params["payment_behavior"] = "error_if_incomplete"
        await self._ask(client.subscriptions.update_async(id, params))
        return ""

    async def cancel_subscription(self, id: str, *, at_period_end: bool) -> None:
        client = await self._client()
        try:
            if at_period_end:
                await self._ask(client.subscriptions.update_async(id, {"cancel_at_period_end": True}))
            else:
                await self._ask(client.subscriptions.cancel_async(id))
        except ProviderFailed as error:
            if error.details.get("status") != 404 and error.details.get("provider_code") != "resource_missing":
                raise

    async def resume_subscription(self, id: str) -> None:
        await self._ask((await self._client()).subscriptions.update_async(id, {"cancel_at_period_end": False}))

    async def retry(self, invoice_id: str) -> None:
        await self._ask((await self._client()).invoices.pay_async(invoice_id))

    async def refund(self, payment_id: str, refund_id: str, amount_minor: int, currency: str, period: bool) -> RefundAnswer:
        client = await self._client()
        if payment_id.startswith("in_"):
            paid = await self._ask(client.invoice_payments.list_async({"invoice": payment_id, "status": "paid", "limit": 1}))
            if not paid.data:
                raise ProviderFailed(f"Stripe knows of no payment of the invoice {payment_id}; refund it in Stripe's pages")
            payment_id = str(paid.data[0].payment.payment_intent)
        params = {"payment_intent": payment_id, "amount": amount_minor, "metadata": {"refund": refund_id}}
        made = await self._ask(client.refunds.create_async(params, {"idempotency_key": f"refund {refund_id}"}))
        return RefundAnswer(str(made.id), REFUND_STATES.get(str(made.status), "begun"))

    async def payout_account(self, owner: str, email: str, country: str) -> str:
        params: dict[str, Any] = {"type": "express", "metadata": {"owner": owner}, "capabilities": {"transfers": {"requested": True}}}
        params |= {"country": country} if country else {}
        params |= {"email": email} if email else {}
        made = await self._ask((await self._client()).accounts.create_async(params, {"idempotency_key": f"account {owner}"}))
        return str(made.id)

    async def onboarding(self, account_id: str, return_url: str, refresh_url: str) -> str:
        params = {"account": account_id, "return_url": return_url, "refresh_url": refresh_url, "type": "account_onboarding"}
        return str((await self._ask((await self._client()).account_links.create_async(params))).url)

    async def find_transfer(self, payout_id: str) -> TransferAnswer | None:
        """By its group: idempotency keys are forgotten after a day, and unknown outcomes may be older."""
        before = await self._ask((await self._client()).transfers.list_async({"transfer_group": payout_id, "limit": 1}))
        return TransferAnswer(str(before.data[0].id)) if before.data else None

    async def transfer(self, payout_id: str, account_id: str, amount_minor: int, currency: str) -> TransferAnswer:
        client = await self._client()
        params = {
            "amount": amount_minor,
            "currency": currency.lower(),
            "destination": account_id,
            "transfer_group": payout_id,
            "metadata": {"payout": payout_id},
        }
        made = await self._ask(client.transfers.create_async(params, {"idempotency_key": payout_id}))
        return TransferAnswer(str(made.id))

    async def event(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> ProviderEvent:
        await self._verify(headers.get("Stripe-Signature", ""), body)
        try:
            raw = orjson.loads(body)
            happening = await self._happening(str(raw["type"]), raw["data"]["object"])
            return ProviderEvent(self.name, str(raw["id"]), str(raw["type"]), int(raw["created"]) * 1000, happening)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise InvalidSignature("that is signed, but no event of Stripe's") from error

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close_async()

    async def _verify(self, header: str, body: bytes) -> None:
        sdk = await self._library()
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise InvalidSignature("the webhook is no text") from error
        for secret in self._keys.webhook_secrets:
            try:
                sdk.WebhookSignature.verify_header(text, header, secret, TOLERANCE_S)
                return
            except sdk.SignatureVerificationError:
                continue
        raise InvalidSignature(f"the webhook is not signed with a known secret, or is older than {TOLERANCE_S} s")

    async def _happening(self, type: str, item: dict[str, Any]) -> Happening | None:
        group, _, what = type.rpartition(".")
        if group == "checkout.session":
            return _session(what, item)
        if group == "invoice":
            return _invoice(what, item)
        if group == "customer.subscription":
            return _subscription(what, item)
        if group == "refund":
            state = REFUND_STATES.get(str(item.get("status")), "begun")
            ids = await self._payment_ids(item)
            ours = str((item.get("metadata") or {}).get("refund", ""))
            return RefundSaid(ids, str(item["id"]), ours, int(item["amount"]), str(item["currency"]).upper(), state)
        if group == "charge.dispute" and what in ("created", "closed") and not str(item["status"]).startswith("warning"):
            state = DISPUTE_STATES.get(str(item["status"]), "open")
            ids = await self._payment_ids(item)
            reason = str(item.get("reason", ""))
            return Disputed(ids, str(item["id"]), int(item["amount"]), str(item["currency"]).upper(), state, reason)
        if type == "account.updated":
            return AccountSet(str(item["id"]), item.get("payouts_enabled") is True, item.get("details_submitted") is True)
        return None

    async def _payment_ids(self, item: dict[str, Any]) -> tuple[str, ...]:
        """The payment intent, and the invoice that it paid, under which we know periods."""
        intent = str(item.get("payment_intent") or item.get("charge") or "")
        if not intent.startswith("pi_"):
            return (intent,)
        params = {"payment": {"type": "payment_intent", "payment_intent": intent}, "limit": 1}
        found = await self._ask((await self._client()).invoice_payments.list_async(params))
        return (str(found.data[0].invoice), intent) if found.data else (intent,)

    async def _price(self, checkout: Checkout) -> str:
        """A price for this item and amount; one that was made before is taken."""
        client = await self._client()
        key = f"{checkout.item}/{checkout.currency}/{checkout.interval}/{checkout.amount_minor}"
        known = await self._ask(client.prices.list_async({"lookup_keys": [key], "limit": 1}))
        if known.data:
            return str(known.data[0].id)
        params = {
            "currency": checkout.currency.lower(),
            "unit_amount": checkout.amount_minor,
            "recurring": {"interval": checkout.interval},
            "product_data": {"name": checkout.title},
            "lookup_key": key,
        }
        return str((await self._ask(client.prices.create_async(params, {"idempotency_key": f"price {key}"}))).id)

    async def _library(self) -> Any:
        if self._sdk is None:
            self._sdk = await asyncio.to_thread(importlib.import_module, "stripe")  # takes half a second
        return self._sdk

    async def _client(self) -> Any:
        if self._made is None:
            sdk = await self._library()
            http = sdk.AIOHTTPClient(timeout=self._keys.timeout_s)
            addresses = {"api": self._keys.api_address} if self._keys.api_address else {}
            client = sdk.StripeClient(self._keys.secret_key, http_client=http, base_addresses=addresses, max_network_retries=1)
            self._made, self._v1 = http, client.v1
        return self._v1

    async def _ask(self, asked: Awaitable[Answer]) -> Answer:
        sdk = await self._library()
        try:
            return await asked
        except sdk.StripeError as error:
            status = error.http_status
            unknown = status is None or status >= 500 or status in (409, 429)
            message = error.user_message or str(error) or type(error).__name__
            raise ProviderFailed(
                f"Stripe says: {message[:300]}", unknown=unknown, provider=self.name, status=status, provider_code=error.code
            ) from error


def _session(what: str, item: dict[str, Any]) -> Happening | None:
    order = str((item.get("metadata") or {}).get("order") or item.get("client_reference_id") or "")
    if what in ("expired", "async_payment_failed"):
        return CheckoutEnded(order, "failed" if what == "async_payment_failed" else "expired")
    if what not in ("completed", "async_payment_succeeded"):
        return None
    customer = str(item.get("customer") or "")
    if item["mode"] == "subscription":
        return Subscribed(order, str(item["subscription"]), customer)
    if item["payment_status"] != "paid":
        return None  # it will be told when the money has come
    return Paid(order, str(item["payment_intent"]), int(item["amount_total"]), str(item["currency"]).upper(), customer)


def _invoice(what: str, item: dict[str, Any]) -> Happening | None:
    about = (item.get("parent") or {}).get("subscription_details") or item.get("subscription_details") or {}
    subscription = str(about.get("subscription") or item.get("subscription") or "")
    order = str((about.get("metadata") or {}).get("order", ""))
    if not subscription:
        return None
    if what == "payment_failed":
        return PaymentLate(subscription, order, str(item["id"]), str(item.get("hosted_invoice_url") or ""))
    if what != "paid" or not int(item["amount_paid"]):
        return None
    change = item.get("billing_reason") == "subscription_update"
    currency, customer = str(item["currency"]).upper(), str(item.get("customer") or "")
    return PeriodPaid(subscription, order, str(item["id"]), int(item["amount_paid"]), currency, customer, change)


def _subscription(what: str, item: dict[str, Any]) -> Happening | None:
    order = str((item.get("metadata") or {}).get("order", ""))
    if what == "deleted":
        return SubscriptionStopped(str(item["id"]), order)
    if what == "updated":
        return SubscriptionSet(str(item["id"]), order, item.get("cancel_at_period_end") is True)
    return None


PROVIDER = Stripe
