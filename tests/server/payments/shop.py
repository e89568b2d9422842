"""A server with accounts and a market whose payment providers are local peers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from marquetry.server.mocks import paypal, razorpay, stripe
from marquetry.server.payments.key import TILL
from marquetry.server.payments.rounds import go_round
from marquetry.server.payments.service import Payments
from tests.server.peer import Peer
from tests.server.people import Somebody, accounts, with_accounts

DAY_MS = 86_400_000
SERVICES = {"stripe": stripe, "razorpay": razorpay, "paypal": paypal}
STRIPE_KEYS = {"secret_key": stripe.SECRET, "webhook_secrets": ["whsec_new", stripe.WEBHOOK_SECRET]}
RAZORPAY_KEYS = {"key_id": razorpay.KEY_ID, "secret_key": razorpay.SECRET, "webhook_secrets": [razorpay.WEBHOOK_SECRET]}
PAYPAL_KEYS = {"key_id": paypal.KEY_ID, "secret_key": paypal.SECRET, "webhook_secrets": [paypal.WEBHOOK_ID]}


@dataclass
class Shop:
    """The server and its providers."""

    peer: Peer
    stripe: stripe.StripeMock
    razorpay: razorpay.RazorpayMock
    paypal: paypal.PayPalMock

    @property
    def payments(self) -> Payments:
        return self.peer.application[TILL].open()

    async def round(self, after_ms: int = 0) -> None:
        """A round of what is looked after, so much later."""
        self.later(after_ms)
        await go_round(self.payments, accounts(self.peer))
        await accounts(self.peer).background.settled()

    def later(self, ms: int) -> None:
        """Time goes by."""
        before = self.payments.desk.clock_ms
        self.payments.desk.clock_ms = lambda: before() + ms

    async def bought(self, who: Somebody, pack: str = "house:20", **more: Any) -> dict[str, Any]:
        """An order of a pack."""
        made: dict[str, Any] = await who.json("POST", "/api/v1/credits/purchase", 201, json={"pack": pack, **more})
        return made

    def session_of(self, order: dict[str, Any]) -> str:
        """The provider's id of an order's page."""
        return str(order["url"].rpartition("/")[2])


async def spendable(who: Somebody) -> tuple[int, int]:
    """Bought and granted credits."""
    balance = await who.json("GET", "/api/v1/credits/balance")
    return balance["paid_microcredits"] // 10**6, balance["granted_microcredits"] // 10**6


@asynccontextmanager
async def shop(data: Path, url: str = "", **payments: Any) -> AsyncIterator[Shop]:
    """All three providers, and no trial credits."""
    site = web.Application()
    mocks: dict[str, Any] = {}
    for name, service in SERVICES.items():
        routes = service.application(data)
        mocks[name] = routes[service.MOCK]
        site.add_subapp(f"/{name}", routes)
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    keys = {"stripe": STRIPE_KEYS, "razorpay": RAZORPAY_KEYS, "paypal": PAYPAL_KEYS}
    providers = {name: {**given, "api_address": f"{address}/{name}"} for name, given in keys.items()}
    chosen: dict[str, Any] = {"database_url": url} if url else {}
    try:
        async with with_accounts(
            data,
            environment="development",
            market={"enabled": True, "trial": False},
            payments={"providers": providers, **payments},
            listings={"payout_method": "stripe", "payout_minimum_microcredits": 10_000_000},
            **chosen,
        ) as peer:
            for mock in mocks.values():
                mock.site = peer.address
            yield Shop(peer, mocks["stripe"], mocks["razorpay"], mocks["paypal"])
    finally:
        await runner.cleanup()
