"""PayPal, over HTTP: orders for packs, billing subscriptions, refunds, disputes. Webhooks are verified by PayPal itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from marquetry.marketplace.payments.errors import InvalidSignature, NotSupported, ProviderFailed
from marquetry.marketplace.payments.events import (
    Approved,
    Disputed,
    Happening,
    Paid,
    PaymentLate,
    PeriodPaid,
    ProviderEvent,
    RefundSaid,
    SubscriptionStopped,
)
from marquetry.marketplace.payments.money import decimal, minor
from marquetry.marketplace.payments.provider import Bare, Checkout, ProviderKeys, RefundAnswer, Session
from marquetry.marketplace.payments.wire import Wire, basic

MAX_AGE_MS = 4 * 86_400_000
"""Events are sent again for three days."""
AHEAD_MS = 600_000
SIGNED = ("auth_algo", "cert_url", "transmission_id", "transmission_sig", "transmission_time")
UNITS = {"month": "MONTH", "year": "YEAR"}
REFUND_STATES = {"COMPLETED": "done", "FAILED": "failed", "CANCELLED": "failed"}
STOPPED = ("CANCELLED", "EXPIRED")


class PayPal(Bare):
    """`webhook_secrets` are the ids of webhooks. Requests carry ids of ours as `PayPal-Request-Id`."""

    name = "paypal"
    title = "PayPal"
    needs = ("key_id", "secret_key", "webhook_secrets")
    address = "https://api-m.paypal.com"
    headers = ("PAYPAL-TRANSMISSION-SIG",)
    currencies = frozenset(
        {
            "AUD",
            "BRL",
            "CAD",
            "CHF",
            "CZK",
            "DKK",
            "EUR",
            "GBP",
            "HKD",
            "ILS",
            "JPY",
            "MXN",
            "NOK",
            "NZD",
            "PHP",
            "PLN",
            "SEK",
            "SGD",
            "THB",
            "USD",
        }
    )

    def __init__(self, keys: ProviderKeys) -> None:
        self._keys = keys
        self._wire = Wire(self.title, keys.api_address or self.address, keys.timeout_s)
        self._token = ""
        self._token_until = 0
        self._signing_in = asyncio.Lock()

    @classmethod
    def is_live(cls, keys: ProviderKeys) -> bool:
        return "sandbox" not in (keys.api_address or cls.address) and (keys.api_address or cls.address).endswith("paypal.com")

    async def checkout(self, checkout: Checkout) -> Session:
        if checkout.interval:
            return await self._subscription(checkout)
        unit = {
            "custom_id": checkout.order_id,
            "invoice_id": checkout.order_id,
            "description": checkout.title[:127],
            "amount": _amount(checkout.amount_minor, checkout.currency),
        }
        experience = {"return_url": checkout.success_url, "cancel_url": checkout.cancel_url, "user_action": "PAY_NOW"}
        source = {"paypal": {"experience_context": {**experience, "shipping_preference": "NO_SHIPPING"}}}
        body = {"intent": "CAPTURE", "purchase_units": [unit], "payment_source": source}
        made = await self._ask("POST", "/v2/checkout/orders", body, request_id=checkout.order_id)
        return Session(str(made["id"]), _link(made, "payer-action", "approve"))

    async def capture(self, approved: Happening) -> Happening | None:
        """Take the money. What was taken before says so, and its event comes by itself."""
        if not isinstance(approved, Approved):
            return None
        try:
            path = f"/v2/checkout/orders/{approved.session_id}/capture"
            done = await self._ask("POST", path, {}, request_id=f"capture-{approved.order_id}")
        except ProviderFailed as error:
            if "ORDER_ALREADY_CAPTURED" in str(error.details.get("reason")):
                return None
            raise
        for unit in done.get("purchase_units", ()):
            for taken in (unit.get("payments") or {}).get("captures", ()):
                if taken.get("status") == "COMPLETED":
                    return _paid(taken)
        return None

    async def change_subscription(self, id: str, checkout: Checkout, *, now: bool) -> str:
        """PayPal changes prices only once the payer has agreed on its page, and charges no difference."""
        if now:
            raise NotSupported("PayPal can't charge the difference to a dearer plan; cancel, and subscribe anew when the period has ended")
        made = await self._ask("POST", f"/v1/billing/subscriptions/{id}/revise", {"plan_id": await self._plan(checkout)})
        return _link(made, "approve")

    async def cancel_subscription(self, id: str, *, at_period_end: bool) -> None:
        """It charges no more; what was paid for stays, as we keep it."""
        try:
            await self._ask("POST", f"/v1/billing/subscriptions/{id}/cancel", {"reason": "asked for by the customer"})
        except ProviderFailed as error:
            if error.unknown:
                raise
            known = await self._ask("GET", f"/v1/billing/subscriptions/{id}")
            if known.get("status") not in STOPPED:
                raise

    async def refund(self, payment_id: str, refund_id: str, amount_minor: int, currency: str, period: bool) -> RefundAnswer:
        if period:  # payments of subscriptions are sales of an older API
            total = {"total": decimal(amount_minor, currency), "currency": currency}
            path, sale = f"/v1/payments/sale/{payment_id}/refund", {"amount": total, "invoice_number": refund_id}
            made = await self._ask("POST", path, sale, request_id=refund_id)
            return RefundAnswer(str(made["id"]), REFUND_STATES.get(str(made.get("state")).upper(), "begun"))
        body = {"amount": _amount(amount_minor, currency), "custom_id": refund_id, "invoice_id": refund_id}
        made = await self._ask("POST", f"/v2/payments/captures/{payment_id}/refund", body, request_id=refund_id)
        return RefundAnswer(str(made["id"]), REFUND_STATES.get(str(made.get("status")), "begun"))

    async def event(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> ProviderEvent:
        try:
            raw = orjson.loads(body)
            event_ms = _time_ms(str(raw["create_time"]))
            sent_ms = _time_ms(headers.get("PAYPAL-TRANSMISSION-TIME", ""))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise InvalidSignature("that is no event of PayPal's") from error
        if not (now_ms - MAX_AGE_MS <= sent_ms <= now_ms + AHEAD_MS and now_ms - MAX_AGE_MS <= event_ms <= now_ms + AHEAD_MS):
            raise InvalidSignature("the webhook is from another time; it is not taken")
        await self._verify(headers, body)
        try:
            happening = _happening(str(raw["event_type"]), raw["resource"])
            return ProviderEvent(self.name, str(raw["id"]), str(raw["event_type"]), event_ms, happening)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise InvalidSignature("that is signed, but no event of PayPal's") from error

    async def close(self) -> None:
        await self._wire.close()

    async def _verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """PayPal is asked about the very bytes that came: written anew they would not fit their signature."""
        given = {name: headers.get(f"PAYPAL-{name.upper().replace('_', '-')}", "")[:500] for name in SIGNED}
        if not all(given.values()):
            raise InvalidSignature("the webhook lacks what PayPal signs with")
        for webhook in self._keys.webhook_secrets:
            start = orjson.dumps({**given, "webhook_id": webhook})
            answer = await self._ask(
                "POST", "/v1/notifications/verify-webhook-signature", raw=start[:-1] + b',"webhook_event":' + body + b"}"
            )
            if answer.get("verification_status") == "SUCCESS":
                return
        raise InvalidSignature("PayPal does not know the webhook as its own")

    async def _subscription(self, checkout: Checkout) -> Session:
        experience = {"return_url": checkout.success_url, "cancel_url": checkout.cancel_url, "user_action": "SUBSCRIBE_NOW"}
        context = {**experience, "shipping_preference": "NO_SHIPPING"}
        body = {"plan_id": await self._plan(checkout), "custom_id": checkout.order_id, "application_context": context}
        made = await self._ask("POST", "/v1/billing/subscriptions", body, request_id=checkout.order_id)
        return Session(str(made["id"]), _link(made, "approve"), str(made["id"]))

    async def _plan(self, checkout: Checkout) -> str:
        """A billing plan of this price, made once: its name is looked for."""
        price = f"{checkout.item} {checkout.amount_minor} {checkout.currency} {checkout.interval}"[:127]
        product = f"MQ-{checkout.item}".upper().replace(":", "-")[:50]
        known = await self._ask("GET", "/v1/billing/plans", query={"product_id": product, "page_size": "20"}, missing={"plans": []})
        mine = [plan for plan in known.get("plans", ()) if plan.get("name") == price and plan.get("status", "ACTIVE") == "ACTIVE"]
        if mine:
            return str(mine[0]["id"])
        try:
            named = {"id": product, "name": checkout.title[:127], "type": "SERVICE"}
            await self._ask("POST", "/v1/catalogs/products", named, request_id=f"product-{product}")
        except ProviderFailed as error:
            if error.unknown or "DUPLICATE" not in str(error.details.get("reason")):
                raise
        cycle = {
            "frequency": {"interval_unit": UNITS[checkout.interval], "interval_count": 1},
            "tenure_type": "REGULAR",
            "sequence": 1,
            "total_cycles": 0,
            "pricing_scheme": {"fixed_price": _amount(checkout.amount_minor, checkout.currency)},
        }
        preferences = {"auto_bill_outstanding": True, "payment_failure_threshold": 3}
        body = {"product_id": product, "name": price, "billing_cycles": [cycle], "payment_preferences": preferences}
        return str((await self._ask("POST", "/v1/billing/plans", body, request_id=f"plan-{price}"))["id"])

    async def _ask(
        self, method: str, path: str, body: Any = None, *, request_id: str = "", missing: dict[str, Any] | None = None, **more: Any
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {await self._signed_in()}", "Prefer": "return=representation"}
        headers |= {"PayPal-Request-Id": request_id} if request_id else {}
        try:
            return await self._wire.ask(method, path, body, headers=headers, **more)
        except ProviderFailed as error:
            if error.details.get("status") == 401:
                self._token_until = 0
            if missing is not None and error.details.get("status") == 404:
                return missing
            raise

    async def _signed_in(self) -> str:
        async with self._signing_in:
            if time.monotonic_ns() // 10**9 >= self._token_until:
                headers = basic(self._keys.key_id, self._keys.secret_key)
                answer = await self._wire.ask("POST", "/v1/oauth2/token", form={"grant_type": "client_credentials"}, headers=headers)
                self._token = str(answer.get("access_token", ""))
                self._token_until = time.monotonic_ns() // 10**9 + max(0, int(answer.get("expires_in", 0)) - 60)
            return self._token


def _amount(amount_minor: int, currency: str) -> dict[str, str]:
    return {"currency_code": currency, "value": decimal(amount_minor, currency)}


def _minor(amount: Mapping[str, Any]) -> tuple[int, str]:
    currency = str(amount.get("currency_code") or amount["currency"])
    return minor(str(amount.get("value") or amount["total"]), currency), currency


def _link(made: Mapping[str, Any], *names: str) -> str:
    for link in made.get("links", ()):
        if link.get("rel") in names:
            return str(link["href"])
    return ""


def _time_ms(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return int(moment.timestamp()) * 1000


def _paid(taken: Mapping[str, Any]) -> Paid:
    amount, currency = _minor(taken["amount"])
    return Paid(str(taken.get("custom_id") or taken.get("invoice_id") or ""), str(taken["id"]), amount, currency)


def _happening(type: str, item: dict[str, Any]) -> Happening | None:
    if type == "CHECKOUT.ORDER.APPROVED":
        return Approved(str(item["purchase_units"][0].get("custom_id", "")), str(item["id"]))
    if type == "PAYMENT.CAPTURE.COMPLETED":
        return _paid(item)
    if type == "PAYMENT.SALE.COMPLETED" and item.get("billing_agreement_id"):
        amount, currency = _minor(item["amount"])
        return PeriodPaid(str(item["billing_agreement_id"]), str(item.get("custom") or ""), str(item["id"]), amount, currency)
    if type in ("PAYMENT.CAPTURE.REFUNDED", "PAYMENT.SALE.REFUNDED"):
        amount, currency = _minor(item["amount"])
        return RefundSaid((_refunded_payment(item),), str(item["id"]), str(item.get("custom_id") or ""), amount, currency, "done")
    if type.startswith("BILLING.SUBSCRIPTION."):
        id, order = str(item["id"]), str(item.get("custom_id") or "")
        what = type.rpartition(".SUBSCRIPTION.")[2]
        if what in ("PAYMENT.FAILED", "SUSPENDED"):
            return PaymentLate(id, order)
        return SubscriptionStopped(id, order) if what in STOPPED else None
    if type in ("CUSTOMER.DISPUTE.CREATED", "CUSTOMER.DISPUTE.RESOLVED"):
        amount, currency = _minor(item["dispute_amount"])
        ids = tuple(str(entry["seller_transaction_id"]) for entry in item["disputed_transactions"])
        state = "open"
        if type.endswith("RESOLVED"):
            lost = str((item.get("dispute_outcome") or {}).get("outcome_code", "")) in ("RESOLVED_BUYER_FAVOUR", "ACCEPTED")
            state = "lost" if lost else "won"
        return Disputed(ids, str(item["dispute_id"]), amount, currency, state, str(item.get("reason", "")))
    return None


def _refunded_payment(item: Mapping[str, Any]) -> str:
    """The capture is named by a link, a sale by a field."""
    up = _link(item, "up").rstrip("/").rpartition("/")[2]
    return str(item.get("sale_id") or up)


PROVIDER = PayPal
