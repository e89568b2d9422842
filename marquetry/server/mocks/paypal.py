"""PayPal: orders, captures, billing plans and subscriptions, refunds, as https://developer.paypal.com/docs/api describes them.

Events are signed with SHA256withRSA over transmission, time, webhook and the CRC-32 of the body; asking whether one is genuine checks that.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
import zlib
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from yarl import URL

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

KEY_ID, SECRET, WEBHOOK_ID = "mock-client", "mock-secret", "1MOCKWEBHOOK"
ENVIRONMENT = {
    "MARQUETRY_PAYMENTS__PROVIDERS__PAYPAL__KEY_ID": KEY_ID,
    "MARQUETRY_PAYMENTS__PROVIDERS__PAYPAL__SECRET_KEY": SECRET,
    "MARQUETRY_PAYMENTS__PROVIDERS__PAYPAL__WEBHOOK_SECRETS": f'["{WEBHOOK_ID}"]',
    "MARQUETRY_PAYMENTS__PROVIDERS__PAYPAL__API_ADDRESS": "{url}",
}
WEBHOOK_PATH = "/api/payments/webhook/paypal"


class PayPalMock:
    """All that one account has."""

    def __init__(self) -> None:
        self.things: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.sent: list[tuple[dict[str, str], bytes]] = []
        self.token = secrets.token_hex(16)
        self.site = ""
        self.base = ""
        self.delivers = True
        self._count = 0

    @cached_property
    def key(self) -> RSAPrivateKey:
        from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

        return generate_private_key(65537, 2048)

    def make(self, prefix: str, kind: str, **values: Any) -> dict[str, Any]:
        self._count += 1
        made = {"id": f"{prefix}{self._count:010}", "kind": kind, **values}
        self.things[str(made["id"])] = made
        return made

    async def emit(self, type: str, resource: dict[str, Any]) -> int:
        """Send an event; the status of the answer, 0 where none is sent."""
        event = self.make("WH-", "event", event_type=type, resource=resource, create_time=_now(), event_version="1.0")
        body = json.dumps(event).encode()
        self.sent.append((self.signed(body), body))
        return await self.send(*self.sent[-1]) if self.delivers else 0

    def signed(self, body: bytes, at: str = "") -> dict[str, str]:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        id, moment = secrets.token_hex(16), at or _now()
        mark = self.key.sign(f"{id}|{moment}|{WEBHOOK_ID}|{zlib.crc32(body)}".encode(), PKCS1v15(), SHA256())
        return {
            "PAYPAL-TRANSMISSION-ID": id,
            "PAYPAL-TRANSMISSION-TIME": moment,
            "PAYPAL-TRANSMISSION-SIG": base64.b64encode(mark).decode(),
            "PAYPAL-AUTH-ALGO": "SHA256withRSA",
            "PAYPAL-CERT-URL": f"{self.base}/v1/notifications/certs/CERT-mock",
            "Content-Type": "application/json",
        }

    async def send(self, headers: dict[str, str], body: bytes) -> int:
        async with aiohttp.ClientSession() as session, session.post(f"{self.site}{WEBHOOK_PATH}", data=body, headers=headers) as answer:
            return answer.status

    async def approve(self, id: str) -> None:
        """The payer agrees on PayPal's page."""
        thing = self.things[id]
        if thing["kind"] == "order":
            thing["status"] = "APPROVED"
            await self.emit("CHECKOUT.ORDER.APPROVED", thing)
            return
        thing["status"] = "ACTIVE"
        await self.emit("BILLING.SUBSCRIPTION.ACTIVATED", thing)
        await self.charge(id)

    async def charge(self, id: str) -> dict[str, Any]:
        """A period of a subscription is charged."""
        subscription = self.things[id]
        price = self.things[subscription["plan_id"]]["billing_cycles"][0]["pricing_scheme"]["fixed_price"]
        total = {"total": price["value"], "currency": price["currency_code"]}
        sale = self.make("", "sale", amount=total, billing_agreement_id=id, custom=subscription["custom_id"], state="completed")
        await self.emit("PAYMENT.SALE.COMPLETED", sale)
        return sale

    async def answer(self, request: web.Request) -> web.Response:
        self.base = str(request.url).partition("/v1/")[0].partition("/v2/")[0]
        path = request.path[max(request.path.find("/v1/"), request.path.find("/v2/")) + 4 :].split("/")
        if path == ["oauth2", "token"]:
            if request.headers.get("Authorization") != aiohttp.encode_basic_auth(KEY_ID, SECRET):
                return web.json_response({"error": "invalid_client", "error_description": "Client Authentication failed"}, status=401)
            return web.json_response({"access_token": self.token, "token_type": "Bearer", "expires_in": 32400})
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _refusal(401, "AUTHENTICATION_FAILURE", "Authentication failed")
        text = await request.read()
        key = f"{request.path} {request.headers.get('PayPal-Request-Id', '')}"
        if request.headers.get("PayPal-Request-Id") and key in self.answers:
            return web.json_response(self.answers[key])
        try:
            done = await self._do(request, path, text)
        except KeyError as error:
            return _refusal(404, "RESOURCE_NOT_FOUND", f"The specified resource does not exist: {error}")
        except ValueError as error:
            return _refusal(422, "UNPROCESSABLE_ENTITY", "The requested action could not be performed", str(error))
        if request.headers.get("PayPal-Request-Id"):
            self.answers[key] = json.loads(json.dumps(done))
        return web.json_response(done)

    async def _do(self, request: web.Request, path: list[str], text: bytes) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(text) if text else {}
        match request.method, path:
            case "POST", ["notifications", "verify-webhook-signature"]:
                return {"verification_status": "SUCCESS" if self._is_genuine(body, text) else "FAILURE"}
            case "POST", ["checkout", "orders"]:
                context = body["payment_source"]["paypal"]["experience_context"]
                self.site = self.site or str(URL(context["return_url"]).origin())
                made = self.make("5O", "order", status="PAYER_ACTION_REQUIRED", return_url=context["return_url"], **body)
                made["links"] = [{"href": f"{self.base}/checkoutnow/{made['id']}", "rel": "payer-action", "method": "GET"}]
                return made
            case "POST", ["checkout", "orders", id, "capture"]:
                return await self._capture(self.things[id])
            case "GET", ["billing", "plans"]:
                known = [plan for plan in self.things.values() if plan["kind"] == "plan"]
                return {"plans": [plan for plan in known if plan["product_id"] == request.query["product_id"]]}
            case "POST", ["catalogs", "products"]:
                if body["id"] in self.things:
                    raise ValueError("DUPLICATE_RESOURCE_IDENTIFIER")
                self.things[body["id"]] = {"kind": "product", **body}
                return body
            case "POST", ["billing", "plans"]:
                return self.make("P-", "plan", status="ACTIVE", **body)
            case "POST", ["billing", "subscriptions"]:
                self.site = self.site or str(URL(body["application_context"]["return_url"]).origin())
                made = self.make(
                    "I-", "subscription", status="APPROVAL_PENDING", return_url=body["application_context"]["return_url"], **body
                )
                made["links"] = [{"href": f"{self.base}/checkoutnow/{made['id']}", "rel": "approve", "method": "GET"}]
                return made
            case "GET", ["billing", "subscriptions", id]:
                return self.things[id]
            case "POST", ["billing", "subscriptions", id, "cancel"]:
                if self.things[id]["status"] == "CANCELLED":
                    raise ValueError("SUBSCRIPTION_STATUS_INVALID")
                self.things[id]["status"] = "CANCELLED"
                await self.emit("BILLING.SUBSCRIPTION.CANCELLED", self.things[id])
                return {}
            case "POST", ["payments", "captures" | "sale", id, "refund"]:
                return await self._refund(self.things[id], body)
        raise KeyError("/".join(path))

    def _is_genuine(self, asked: dict[str, Any], text: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        body = text.partition(b'"webhook_event":')[2][:-1]
        words = f"{asked['transmission_id']}|{asked['transmission_time']}|{asked['webhook_id']}|{zlib.crc32(body)}".encode()
        try:
            self.key.public_key().verify(base64.b64decode(asked["transmission_sig"]), words, PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return False
        return True

    async def _capture(self, order: dict[str, Any]) -> dict[str, Any]:
        if order["status"] != "APPROVED":
            raise ValueError("ORDER_ALREADY_CAPTURED" if order["status"] == "COMPLETED" else "ORDER_NOT_APPROVED")
        unit = order["purchase_units"][0]
        values = {name: unit[name] for name in ("amount", "custom_id", "invoice_id")}
        taken = self.make("3C", "capture", status="COMPLETED", refunded="0", **values)
        order["status"] = "COMPLETED"
        unit["payments"] = {"captures": [taken]}
        return order

    async def _refund(self, payment: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        sale = payment["kind"] == "sale"
        up = [{"href": f"{self.base}/v2/payments/captures/{payment['id']}", "rel": "up", "method": "GET"}]
        made = self.make(
            "1JU", "refund", status="COMPLETED", state="completed", links=up, **({"sale_id": payment["id"]} if sale else {}), **body
        )
        await self.emit("PAYMENT.SALE.REFUNDED" if sale else "PAYMENT.CAPTURE.REFUNDED", made)
        return made

    async def page(self, request: web.Request) -> web.Response:
        """PayPal's page: GET shows it, POST agrees."""
        thing = self.things[request.match_info["id"]]
        if request.method == "POST":
            await self.approve(str(thing["id"]))
            raise web.HTTPSeeOther(thing["return_url"])
        text = "<!doctype html><title>Pay</title><h1>Mock of PayPal</h1><form method=post><button>Agree and pay</button></form>"
        return web.Response(text=text, content_type="text/html")


MOCK = web.AppKey("paypal", PayPalMock)


def application(content: Path) -> web.Application:
    """The routes."""
    mock = PayPalMock()
    routes = web.Application()
    routes[MOCK] = mock
    routes.router.add_route("*", r"/{version:v1|v2}/{rest:.*}", mock.answer)
    routes.router.add_get("/checkoutnow/{id}", mock.page)
    routes.router.add_post("/checkoutnow/{id}", mock.page)
    return routes


def _now() -> str:
    return datetime.fromtimestamp(int(time.time()), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _refusal(status: int, name: str, message: str, issue: str = "") -> web.Response:
    details = [{"issue": issue, "description": message}] if issue else []
    return web.json_response({"name": name, "message": message, "details": details}, status=status)
