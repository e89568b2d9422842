"""Razorpay: payment links, plans, subscriptions and refunds, as https://razorpay.com/docs/api describes them. Events are signed with HMAC-SHA256."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

KEY_ID, SECRET, WEBHOOK_SECRET = "rzp_test_mock", "mock-secret", "mock-webhook-secret"
ENVIRONMENT = {
    "MARQUETRY_PAYMENTS__PROVIDERS__RAZORPAY__KEY_ID": KEY_ID,
    "MARQUETRY_PAYMENTS__PROVIDERS__RAZORPAY__SECRET_KEY": SECRET,
    "MARQUETRY_PAYMENTS__PROVIDERS__RAZORPAY__WEBHOOK_SECRETS": f'["{WEBHOOK_SECRET}"]',
    "MARQUETRY_PAYMENTS__PROVIDERS__RAZORPAY__API_ADDRESS": "{url}",
}
WEBHOOK_PATH = "/api/payments/webhook/razorpay"


class RazorpayMock:
    """All that one account has. Events go to `site`; where a subscription has none to return to, to the last that was named."""

    def __init__(self) -> None:
        self.things: dict[str, dict[str, Any]] = {}
        self.sent: list[tuple[dict[str, str], bytes]] = []
        self.broken: list[str] = []
        self.refunds: dict[str, dict[str, Any]] = {}
        self.site = ""
        self.base = ""
        self.delivers = True
        self._count = 0

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [thing for thing in self.things.values() if thing["entity"] == kind]

    def make(self, prefix: str, kind: str, **values: Any) -> dict[str, Any]:
        self._count += 1
        made = {"id": f"{prefix}_{self._count:014}", "entity": kind, "created_at": int(time.time()), **values}
        self.things[made["id"]] = made
        return made

    async def emit(self, event: str, at: int | None = None, **things: dict[str, Any]) -> int:
        """Send an event; the status of the answer, 0 where none is sent."""
        payload = {name: {"entity": thing} for name, thing in things.items()}
        told = {"entity": "event", "event": event, "contains": list(things), "payload": payload, "created_at": at or int(time.time())}
        body = json.dumps(told).encode()
        self.sent.append((self.signed(body), body))
        return await self.send(*self.sent[-1]) if self.delivers else 0

    def signed(self, body: bytes, secret: str = WEBHOOK_SECRET) -> dict[str, str]:
        return {"X-Razorpay-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(), "Content-Type": "application/json"}

    async def send(self, headers: dict[str, str], body: bytes) -> int:
        async with aiohttp.ClientSession() as session, session.post(f"{self.site}{WEBHOOK_PATH}", data=body, headers=headers) as answer:
            return answer.status

    async def pay(self, id: str) -> dict[str, Any]:
        """The payer pays a link."""
        link = self.things[id]
        link.update(status="paid", amount_paid=link["amount"])
        payment = self._payment(link["amount"], link["currency"])
        await self.emit("payment_link.paid", payment_link=link, payment=payment)
        return payment

    async def charge(self, id: str) -> dict[str, Any]:
        """A period of a subscription is charged."""
        subscription = self.things[id]
        item = self.things[subscription["plan_id"]]["item"]
        subscription.update(status="active", paid_count=subscription["paid_count"] + 1)
        payment = self._payment(item["amount"], item["currency"])
        await self.emit("subscription.charged", subscription=subscription, payment=payment)
        return payment

    async def halt(self, id: str, at: int | None = None) -> None:
        self.things[id]["status"] = "halted"
        await self.emit("subscription.halted", at, subscription=self.things[id])

    def _payment(self, amount: int, currency: str) -> dict[str, Any]:
        return self.make("pay", "payment", amount=amount, currency=currency, status="captured", amount_refunded=0)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != aiohttp.encode_basic_auth(KEY_ID, SECRET):
            return _refusal("Authentication failed", 401)
        path = request.path[request.path.index("/v1/") + 4 :]
        self.base = f"{request.url.origin()}{request.path.partition('/v1/')[0]}"
        body = await request.json() if request.can_read_body else {}
        try:
            done = await self._do(request, path.split("/"), body)
        except KeyError as error:
            return _refusal(f"The id provided does not exist: {error}")
        except ValueError as error:
            return _refusal(str(error))
        if path in self.broken and request.method == "POST":
            self.broken.remove(path)
            assert request.transport is not None
            request.transport.close()
        return web.json_response(done)

    async def _do(self, request: web.Request, path: list[str], body: dict[str, Any]) -> dict[str, Any]:
        match request.method, path:
            case "GET", ["payment_links"]:
                wanted = request.query["reference_id"]
                return {"payment_links": [link for link in self.of("payment_link") if link["reference_id"] == wanted]}
            case "POST", ["payment_links"]:
                if any(link["reference_id"] == body["reference_id"] for link in self.of("payment_link")):
                    raise ValueError("payment link creation failed with an already existing reference_id")
                self.site = self.site or str(URL(body["callback_url"]).origin())
                made = self.make("plink", "payment_link", status="created", **body)
                made["short_url"] = f"{self.base}/i/{made['id']}"
                return made
            case "GET", ["plans"]:
                return {"entity": "collection", "items": self.of("plan")}
            case "POST", ["plans"]:
                return self.make("plan", "plan", **body)
            case "GET", ["subscriptions"]:
                known = [entry for entry in self.of("subscription") if entry["plan_id"] == request.query["plan_id"]]
                return {"entity": "collection", "items": known}
            case "POST", ["subscriptions"]:
                assert self.things[body["plan_id"]]["entity"] == "plan"
                made = self.make("sub", "subscription", status="created", paid_count=0, customer_id=None, **body)
                made["short_url"] = f"{self.base}/i/{made['id']}"
                return made
            case "GET", ["subscriptions", id]:
                return self.things[id]
            case "PATCH", ["subscriptions", id]:
                self.things[id]["plan_id"] = self.things[body["plan_id"]]["id"]
                return self.things[id]
            case "POST", ["subscriptions", id, "cancel"]:
                if self.things[id]["status"] == "cancelled":
                    raise ValueError("Subscription is not cancellable in cancelled status.")
                if not body["cancel_at_cycle_end"]:
                    self.things[id]["status"] = "cancelled"
                return self.things[id]
            case "POST", ["payments", id, "refund"]:
                return await self._refund(self.things[id], body, request.headers.get("X-Refund-Idempotency", ""))
        raise KeyError("/".join(path))

    async def _refund(self, payment: dict[str, Any], body: dict[str, Any], key: str) -> dict[str, Any]:
        if key and key in self.refunds:
            return self.refunds[key]
        if payment["amount_refunded"] + body["amount"] > payment["amount"]:
            raise ValueError("The total refund amount is greater than the refund payment amount")
        payment["amount_refunded"] += body["amount"]
        made = self.make("rfnd", "refund", payment_id=payment["id"], currency=payment["currency"], status="processed", **body)
        self.refunds[key] = made
        await self.emit("refund.processed", refund=made, payment=payment)
        return made

    async def page(self, request: web.Request) -> web.Response:
        """The page behind a short address: GET shows it, POST pays."""
        thing = self.things[request.match_info["id"]]
        if request.method == "POST":
            await (self.pay if thing["entity"] == "payment_link" else self.charge)(thing["id"])
            raise web.HTTPSeeOther(thing.get("callback_url") or self.site)
        text = "<!doctype html><title>Pay</title><h1>Mock of Razorpay</h1><form method=post><button>Pay</button></form>"
        return web.Response(text=text, content_type="text/html")


MOCK = web.AppKey("razorpay", RazorpayMock)


def application(content: Path) -> web.Application:
    """The routes."""
    mock = RazorpayMock()
    routes = web.Application()
    routes[MOCK] = mock
    routes.router.add_route("*", "/v1/{rest:.*}", mock.answer)
    routes.router.add_get("/i/{id}", mock.page)
    routes.router.add_post("/i/{id}", mock.page)
    return routes


def _refusal(message: str, status: int = 400) -> web.Response:
    return web.json_response({"error": {"code": "BAD_REQUEST_ERROR", "description": message}}, status=status)
