"""Stripe: customers, Checkout, subscriptions, invoices, refunds, disputes and Connect, as https://docs.stripe.com/api describes them.

Requests are nested forms; those with an idempotency key are answered once. Events go, signed, to the site to which payers return.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

SECRET, WEBHOOK_SECRET = "sk_test_mock", "whsec_mock"
ENVIRONMENT = {
    "MARQUETRY_PAYMENTS__PROVIDERS__STRIPE__SECRET_KEY": SECRET,
    "MARQUETRY_PAYMENTS__PROVIDERS__STRIPE__WEBHOOK_SECRETS": f'["{WEBHOOK_SECRET}"]',
    "MARQUETRY_PAYMENTS__PROVIDERS__STRIPE__API_ADDRESS": "{url}",
}
WEBHOOK_PATH = "/api/payments/webhook/stripe"
PARTS = re.compile(r"[^\[\]]+")
PERIOD_S = {"month": 30 * 86_400, "year": 365 * 86_400}


class StripeMock:
    """All that one account at Stripe has. `sent` are events with their signed headers; each of `broken` is a path whose next answer gets lost."""

    def __init__(self) -> None:
        self.things: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, tuple[str, dict[str, Any]]] = {}
        self.sent: list[tuple[dict[str, str], bytes]] = []
        self.broken: list[str] = []
        self.site = self.base = ""
        self.delivers = True
        self.card_works = True
        self._count = 0

    def of(self, kind: str) -> list[dict[str, Any]]:
        """All things of a kind, oldest first."""
        return [thing for thing in self.things.values() if thing["object"] == kind]

    def make(self, prefix: str, kind: str, **values: Any) -> dict[str, Any]:
        self._count += 1
        made = {"id": f"{prefix}_{self._count:06}", "object": kind, "created": int(time.time()), **values}
        self.things[made["id"]] = made
        return made

    async def emit(self, type: str, thing: dict[str, Any], created: int | None = None) -> int:
        """Send an event; the status of the answer, 0 where none is sent."""
        event = self.make("evt", "event", type=type, data={"object": thing}, livemode=False)
        event["created"] = created or int(time.time())
        body = json.dumps(event).encode()
        self.sent.append((self.signed(body), body))
        return await self.send(*self.sent[-1]) if self.delivers else 0

    def signed(self, body: bytes, at: int | None = None, secret: str | None = None) -> dict[str, str]:
        """The header of a webhook: HMAC-SHA256 of time and body."""
        moment = int(time.time()) if at is None else at
        mark = hmac.new((secret or WEBHOOK_SECRET).encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
        return {"Stripe-Signature": f"t={moment},v1={mark}", "Content-Type": "application/json"}

    async def send(self, headers: dict[str, str], body: bytes) -> int:
        async with aiohttp.ClientSession() as session, session.post(f"{self.site}{WEBHOOK_PATH}", data=body, headers=headers) as answer:
            return answer.status

    async def pay(self, session_id: str) -> None:
        """The payer pays on the page of Checkout."""
        session = self.things[session_id]
        session.update(status="complete", payment_status="paid")
        if session["mode"] == "payment":
            session["payment_intent"] = self._intent(session["amount_total"], session["currency"], session["metadata"])["id"]
            await self.emit("checkout.session.completed", session)
            return
        item = {"id": f"si_{session_id}", "price": session["price"]}
        now = int(time.time())
        made = self.make(
            "sub", "subscription", status="active", metadata=session["metadata"], customer=session["customer"], cancel_at_period_end=False,
            items={"object": "list", "data": [item]}, current_period_end=now + PERIOD_S[session["price"]["recurring"]["interval"]],
        )  # fmt: skip
        session["subscription"] = made["id"]
        await self._bill(made, "subscription_create")
        await self.emit("checkout.session.completed", session)

    async def renew(self, subscription_id: str) -> dict[str, Any]:
        """The next period of a subscription begins: its invoice is paid, or not. Gives the invoice."""
        return await self._bill(self.things[subscription_id], "subscription_cycle")

    async def dispute(self, intent_id: str, amount: int | None = None) -> dict[str, Any]:
        intent = self.things[intent_id]
        made = self.make(
            "du", "dispute", payment_intent=intent_id, charge=f"ch_{intent_id}", amount=amount or intent["amount"],
            currency=intent["currency"], status="needs_response", reason="fraudulent",
        )  # fmt: skip
        await self.emit("charge.dispute.created", made)
        return made

    async def decide(self, dispute: dict[str, Any], status: str) -> None:
        """A bank has decided: won or lost."""
        dispute["status"] = status
        await self.emit("charge.dispute.closed", dispute)

    async def onboard(self, account_id: str) -> None:
        """A creator has answered all that Stripe asks."""
        self.things[account_id].update(payouts_enabled=True, details_submitted=True)
        await self.emit("account.updated", self.things[account_id])

    async def _bill(self, subscription: dict[str, Any], reason: str, amount: int | None = None) -> dict[str, Any]:
        price = subscription["items"]["data"][0]["price"]
        about = {"subscription": subscription["id"], "metadata": subscription["metadata"]}
        invoice = self.make(
            "in", "invoice", billing_reason=reason, currency=price["currency"], amount_due=amount or price["unit_amount"], amount_paid=0,
            customer=subscription["customer"], status="open", hosted_invoice_url=f"https://invoice.example/{subscription['id']}",
            parent={"type": "subscription_details", "subscription_details": about},
        )  # fmt: skip
        await self._collect(invoice)
        return invoice

    async def _collect(self, invoice: dict[str, Any]) -> None:
        if not self.card_works:
            await self.emit("invoice.payment_failed", invoice)
            return
        intent = self._intent(invoice["amount_due"], invoice["currency"], {})
        payment = {"type": "payment_intent", "payment_intent": intent["id"]}
        self.make("inpay", "invoice_payment", invoice=invoice["id"], payment=payment, status="paid")
        invoice.update(status="paid", amount_paid=invoice["amount_due"])
        await self.emit("invoice.paid", invoice)

    def _intent(self, amount: int, currency: str, metadata: dict[str, str]) -> dict[str, Any]:
        return self.make("pi", "payment_intent", amount=amount, currency=currency, metadata=metadata, status="succeeded", refunded=0)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request of the API."""
        if request.headers.get("Authorization") != f"Bearer {SECRET}":
            return _refusal(401, "invalid_request_error", "Invalid API Key provided")
        path = request.path[request.path.index("/v1/") + 4 :]
        form = _nested({**request.query, **{name: str(value) for name, value in (await request.post()).items()}})
        key = request.headers.get("Idempotency-Key", "") if request.method == "POST" else ""
        mark = json.dumps([path, form], sort_keys=True)
        if key in self.answers:
            known, done = self.answers[key]
            if known != mark:
                return _refusal(400, "idempotency_error", "Keys for idempotent requests can only be used with the same parameters")
            return self._answered(request, path, done)
        try:
            done = await self._do(request.method, path.split("/"), form)
        except KeyError as error:
            return _refusal(404, "invalid_request_error", f"No such thing: {error}", "resource_missing")
        except ValueError as error:
            return _refusal(402 if "card" in str(error) else 400, "invalid_request_error", str(error), str(error).partition(":")[0])
        if key and "error" not in done:
            self.answers[key] = (mark, json.loads(json.dumps(done)))
        return self._answered(request, path, done)

    def _answered(self, request: web.Request, path: str, done: dict[str, Any]) -> web.Response:
        if path in self.broken and request.method == "POST":
            self.broken.remove(path)
            assert request.transport is not None
            request.transport.close()
        return web.json_response(done)

    async def _do(self, method: str, path: list[str], form: dict[str, Any]) -> dict[str, Any]:
        match method, path:
            case "POST", ["customers"]:
                return self.make("cus", "customer", **form)
            case "POST", ["checkout", "sessions"]:
                return self._session(form)
            case "POST", ["billing_portal", "sessions"]:
                return self.make("bps", "billing_portal.session", url=f"https://portal.example/{self.things[form['customer']]['id']}")
            case "GET", ["prices"]:
                return _list([price for price in self.of("price") if price.get("lookup_key") in form["lookup_keys"]])
            case "POST", ["prices"]:
                return self.make("price", "price", **{**form, "unit_amount": int(form["unit_amount"])})
            case "GET", ["subscriptions", id]:
                return self.things[id]
            case "POST", ["subscriptions", id]:
                return await self._change(self.things[id], form)
            case "DELETE", ["subscriptions", id]:
                self.things[id]["status"] = "canceled"
                await self.emit("customer.subscription.deleted", self.things[id])
                return self.things[id]
            case "POST", ["invoices", id, "pay"]:
                if not self.card_works:
                    raise ValueError("card_declined: Your card was declined.")
                await self._collect(self.things[id])
                return self.things[id]
            case "GET", ["invoice_payments"]:
                wanted = form.get("invoice") or form["payment"]["payment_intent"]
                known = self.of("invoice_payment")
                return _list([entry for entry in known if wanted in (entry["invoice"], entry["payment"]["payment_intent"])])
            case "POST", ["refunds"]:
                return await self._refund(form)
            case "POST", ["accounts"]:
                return self.make("acct", "account", payouts_enabled=False, details_submitted=False, **form)
            case "POST", ["account_links"]:
                return self.make("al", "account_link", url=f"https://connect.example/{self.things[form['account']]['id']}")
            case "GET", ["transfers"]:
                return _list([entry for entry in self.of("transfer") if entry["transfer_group"] == form["transfer_group"]])
            case "POST", ["transfers"]:
                assert self.things[form["destination"]]["payouts_enabled"]
                return self.make("tr", "transfer", **{**form, "amount": int(form["amount"])})
        raise KeyError("/".join(path))

    def _session(self, form: dict[str, Any]) -> dict[str, Any]:
        price = form["line_items"][0]["price_data"]
        price["unit_amount"] = amount = int(price["unit_amount"])
        self.site = self.site or str(URL(form["success_url"]).origin())
        made = self.make(
            "cs_test", "checkout.session", mode=form["mode"], client_reference_id=form["client_reference_id"], metadata=form["metadata"],
            customer=form["customer"], currency=price["currency"], amount_total=amount, payment_status="unpaid", status="open", price=price,
            success_url=form["success_url"], payment_intent=None, subscription=None,
        )  # fmt: skip
        made["url"] = f"{self.base}/pay/{made['id']}"
        return made

    async def _change(self, subscription: dict[str, Any], form: dict[str, Any]) -> dict[str, Any]:
        if "cancel_at_period_end" in form:
            subscription["cancel_at_period_end"] = form["cancel_at_period_end"] == "true"
            await self.emit("customer.subscription.updated", subscription)
        if "items" in form:
            if not self.card_works and form["proration_behavior"] == "always_invoice":
                raise ValueError("card_declined: Your card was declined.")
            before = int(subscription["items"]["data"][0]["price"]["unit_amount"])
            price = self.things[form["items"][0]["price"]]
            subscription["items"]["data"][0]["price"] = price
            if form["proration_behavior"] == "always_invoice":
                await self._bill(subscription, "subscription_update", int(price["unit_amount"]) - before)
        return subscription

    async def _refund(self, form: dict[str, Any]) -> dict[str, Any]:
        intent, amount = self.things[form["payment_intent"]], int(form["amount"])
        if intent["refunded"] + amount > intent["amount"]:
            raise ValueError("charge_already_refunded: more than is left")
        intent["refunded"] += amount
        made = self.make("re", "refund", status="succeeded", **{**form, "amount": amount, "currency": intent["currency"]})
        await self.emit("refund.created", made)
        return made

    async def page(self, request: web.Request) -> web.Response:
        """The page of Checkout: GET shows it, POST pays."""
        session = self.things[request.match_info["id"]]
        if request.method == "POST":
            await self.pay(session["id"])
            raise web.HTTPSeeOther(session["success_url"])
        price = f"{session['amount_total'] / 100:.2f} {session['currency'].upper()}"
        text = f"<!doctype html><title>Pay</title><h1>Mock of Stripe</h1><form method=post><button>Pay {price}</button></form>"
        return web.Response(text=text, content_type="text/html")


MOCK = web.AppKey("stripe", StripeMock)


def application(content: Path) -> web.Application:
    """The routes."""
    mock = StripeMock()

    async def api(request: web.Request) -> web.StreamResponse:
        mock.base = f"{request.url.origin()}{request.path.partition('/v1/')[0]}"
        return await mock.answer(request)

    routes = web.Application()
    routes[MOCK] = mock
    routes.router.add_route("*", "/v1/{rest:.*}", api)
    routes.router.add_get("/pay/{id}", mock.page)
    routes.router.add_post("/pay/{id}", mock.page)
    return routes


def _nested(form: dict[str, str]) -> dict[str, Any]:
    """`a[b][0]=c` as dictionaries and lists."""
    made: dict[str, Any] = {}
    for name, value in form.items():
        parts, place = PARTS.findall(name), made
        for part in parts[:-1]:
            place = place.setdefault(part, {})
        place[parts[-1]] = value
    listed: dict[str, Any] = _lists(made)
    return listed


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(entry) for name, entry in value.items()}
    return (
        [inner[str(place)] for place in range(len(inner))] if inner and set(inner) == {str(place) for place in range(len(inner))} else inner
    )


def _list(things: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "data": things, "has_more": False, "url": "/v1"}


def _refusal(status: int, kind: str, message: str, code: str = "") -> web.Response:
    return web.json_response({"error": {"type": kind, "message": message, **({"code": code} if code else {})}}, status=status)
