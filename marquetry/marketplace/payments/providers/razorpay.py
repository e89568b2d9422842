"""Razorpay, over HTTP: payment links for packs, subscriptions with plans, refunds, disputes. Webhooks are signed with HMAC-SHA256."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import orjson

from marquetry.marketplace.payments.errors import InvalidSignature, ProviderFailed
from marquetry.marketplace.payments.events import (
    CheckoutEnded,
    Disputed,
    Happening,
    Paid,
    PaymentLate,
    PeriodPaid,
    ProviderEvent,
    RefundSaid,
    SubscriptionStopped,
)
from marquetry.marketplace.payments.orders import LIFETIME_MS
from marquetry.marketplace.payments.provider import Bare, Checkout, ProviderKeys, RefundAnswer, Session
from marquetry.marketplace.payments.wire import Wire, basic

MAX_AGE_MS = 3 * 86_400_000
"""Events are sent again for a day, signed as at first; what is much older was recorded by somebody."""
AHEAD_MS = 600_000
CYCLES = {"month": 120, "year": 10}
PERIODS = {"month": "monthly", "year": "yearly"}
REFUND_STATES = {"processed": "done", "failed": "failed"}
MOST_LISTED = 100


class Razorpay(Bare):
    """Links carry our order as `reference_id`, which is unique there; subscriptions and refunds carry it in their notes."""

    name = "razorpay"
    title = "Razorpay"
    needs = ("key_id", "secret_key", "webhook_secrets")
    address = "https://api.razorpay.com"
    headers = ("X-Razorpay-Signature",)

    def __init__(self, keys: ProviderKeys) -> None:
        self._keys = keys
        self._wire = Wire(self.title, keys.api_address or self.address, keys.timeout_s)
        self._auth = basic(keys.key_id, keys.secret_key)

    @classmethod
    def is_live(cls, keys: ProviderKeys) -> bool:
        return keys.key_id.startswith("rzp_live_")

    async def checkout(self, checkout: Checkout) -> Session:
        if checkout.interval:
            return await self._subscription(checkout)
        known = (await self._ask("GET", "/v1/payment_links", query={"reference_id": checkout.order_id})).get("payment_links") or []
        mine = [link for link in known if link.get("reference_id") == checkout.order_id]
        made = mine[0] if mine else await self._ask("POST", "/v1/payment_links", _link(checkout))
        return Session(str(made["id"]), str(made["short_url"]))

    async def change_subscription(self, id: str, checkout: Checkout, *, now: bool) -> str:
        body = {"plan_id": await self._plan(checkout), "schedule_change_at": "now" if now else "cycle_end"}
        await self._ask("PATCH", f"/v1/subscriptions/{id}", body)
        return ""

    async def cancel_subscription(self, id: str, *, at_period_end: bool) -> None:
        try:
            await self._ask("POST", f"/v1/subscriptions/{id}/cancel", {"cancel_at_cycle_end": 1 if at_period_end else 0})
        except ProviderFailed as error:
            if error.unknown:
                raise
            known = await self._ask("GET", f"/v1/subscriptions/{id}")
            if known.get("status") not in ("cancelled", "completed", "expired"):
                raise

    async def refund(self, payment_id: str, refund_id: str, amount_minor: int, currency: str, period: bool) -> RefundAnswer:
        body = {"amount": amount_minor, "receipt": refund_id, "notes": {"refund": refund_id}}
        made = await self._ask("POST", f"/v1/payments/{payment_id}/refund", body, headers={"X-Refund-Idempotency": refund_id})
        return RefundAnswer(str(made["id"]), REFUND_STATES.get(str(made.get("status")), "begun"))

    async def event(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> ProviderEvent:
        """The id is a digest of what is signed: the header with Razorpay's own is not."""
        signature = headers.get("X-Razorpay-Signature", "")
        known = (hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in self._keys.webhook_secrets)
        if not any(hmac.compare_digest(signature.encode(), expected.encode()) for expected in known):
            raise InvalidSignature("the webhook is not signed with a known secret")
        try:
            raw = orjson.loads(body)
            event_ms = int(raw["created_at"]) * 1000
            happening = _happening(str(raw["event"]), raw["payload"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidSignature("that is signed, but no event of Razorpay's") from error
        if not now_ms - MAX_AGE_MS <= event_ms <= now_ms + AHEAD_MS:
            raise InvalidSignature("the webhook is from another time; it is not taken")
        return ProviderEvent(self.name, hashlib.sha256(body).hexdigest(), str(raw["event"]), event_ms, happening)

    async def close(self) -> None:
        await self._wire.close()

    async def _subscription(self, checkout: Checkout) -> Session:
        """The subscription of an order; one that was made before no answer came is found by its note."""
        plan = await self._plan(checkout)
        since = {"plan_id": plan, "from": str(checkout.created_ms // 1000 - 60), "count": str(MOST_LISTED)}
        known = (await self._ask("GET", "/v1/subscriptions", query=since)).get("items") or []
        mine = [entry for entry in known if _note(entry, "order") == checkout.order_id]
        body = {
            "plan_id": plan,
            "total_count": CYCLES[checkout.interval],
            "quantity": 1,
            "customer_notify": 1,
            "notes": {"order": checkout.order_id},
        }
        made = mine[0] if mine else await self._ask("POST", "/v1/subscriptions", body)
        return Session(str(made["id"]), str(made["short_url"]), str(made["id"]))

    async def _plan(self, checkout: Checkout) -> str:
        """A plan of this price; one that was made before is taken. Plans can't be changed there, so the price is in the note."""
        price = f"{checkout.item}/{checkout.currency}/{checkout.interval}/{checkout.amount_minor}"
        known = (await self._ask("GET", "/v1/plans", query={"count": str(MOST_LISTED)})).get("items") or []
        mine = [entry for entry in known if _note(entry, "price") == price]
        if mine:
            return str(mine[0]["id"])
        item = {"name": checkout.title, "amount": checkout.amount_minor, "currency": checkout.currency}
        body = {"period": PERIODS[checkout.interval], "interval": 1, "item": item, "notes": {"price": price}}
        return str((await self._ask("POST", "/v1/plans", body))["id"])

    async def _ask(self, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        headers = {**self._auth, **more.pop("headers", {})}
        return await self._wire.ask(method, path, body, headers=headers, **more)


def _link(checkout: Checkout) -> dict[str, Any]:
    return {
        "amount": checkout.amount_minor,
        "currency": checkout.currency,
        "reference_id": checkout.order_id,
        "description": checkout.title,
        "notes": {"order": checkout.order_id},
        "callback_url": checkout.success_url,
        "callback_method": "get",
        "expire_by": (checkout.created_ms + LIFETIME_MS) // 1000,
        **({"customer": {"email": checkout.email}} if checkout.email else {}),
    }


def _note(entity: Mapping[str, Any], name: str) -> str:
    notes = entity.get("notes")
    return str(notes.get(name, "")) if isinstance(notes, dict) else ""  # without notes it is an empty list


def _happening(type: str, payload: dict[str, Any]) -> Happening | None:
    def entity(name: str) -> dict[str, Any]:
        found: dict[str, Any] = payload[name]["entity"]
        return found

    group, _, what = type.partition(".")
    if group == "payment_link":
        order = str(entity("payment_link").get("reference_id") or "")
        if what == "paid":
            payment = entity("payment")
            return Paid(order, str(payment["id"]), int(payment["amount"]), str(payment["currency"]))
        return CheckoutEnded(order, "expired") if what in ("expired", "cancelled") else None
    if group == "subscription":
        return _of_subscription(what, entity("subscription"), payload)
    if group == "refund" and what in ("processed", "failed"):
        refund = entity("refund")
        ids = (str(refund["payment_id"]),)
        return RefundSaid(
            ids, str(refund["id"]), _note(refund, "refund"), int(refund["amount"]), str(refund["currency"]), REFUND_STATES[what]
        )
    if type in ("payment.dispute.created", "payment.dispute.won", "payment.dispute.lost"):
        dispute, state = entity("dispute"), type.rpartition(".")[2]
        said = "open" if state == "created" else state
        ids, reason = (str(dispute["payment_id"]),), str(dispute.get("reason_code", ""))
        return Disputed(ids, str(dispute["id"]), int(dispute["amount"]), str(dispute["currency"]), said, reason)
    return None


def _of_subscription(what: str, subscription: dict[str, Any], payload: dict[str, Any]) -> Happening | None:
    id, order = str(subscription["id"]), _note(subscription, "order")
    if what == "charged":
        payment = payload["payment"]["entity"]
        customer = str(subscription.get("customer_id") or "")
        return PeriodPaid(id, order, str(payment["id"]), int(payment["amount"]), str(payment["currency"]), customer)
    if what in ("pending", "halted"):
        return PaymentLate(id, order, "", str(subscription.get("short_url") or ""))
    return SubscriptionStopped(id, order) if what in ("cancelled", "completed") else None


PROVIDER = Razorpay
