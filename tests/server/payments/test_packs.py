"""Payments over HTTP, with the providers as local peers: packs, subscriptions, refunds, disputes, payouts, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select

from marquetry.marketplace.payments.tables import events, payments
from marquetry.server.errors import SettingsError
from marquetry.server.keys import DATABASE
from marquetry.server.settings import Settings
from tests.server.payments.seen import counted, payment_of, spend, verified
from tests.server.payments.shop import Shop, shop, spendable
from tests.server.peer import served
from tests.server.people import add, with_accounts

WEBHOOK = "/api/payments/webhook"


async def test_a_pack_is_bought_used_and_refunded(tmp_path: Path, url: str) -> None:
    async with shop(tmp_path / "data", url) as at:
        ann, root = await add(at.peer, "ann"), await add(at.peer, "root", "admin")
        order = await at.bought(ann)
        assert (order["provider"], order["state"], order["amount_minor"], order["currency"]) == ("stripe", "open", 2000, "USD")
        assert await spendable(ann) == (0, 0)
        await at.stripe.pay(at.session_of(order))
        assert await spendable(ann) == (20_000, 0)
        assert (await ann.json("GET", f"/api/v1/payments/orders/{order['order_id']}"))["state"] == "paid"
        await spend(at, ann.id, 15_000)
        paid = await payment_of(ann)
        body = {"amount_minor": 500, "reason": "a goodwill", "key": "one"}
        path = f"/api/v1/admin/payments/{paid['payment_id']}/refund"
        first = await root.json("POST", path, json=body)
        assert (first["state"], first["taken_microcredits"]) == ("done", 5_000 * 10**6)
        assert await root.json("POST", path, json=body) == first
        assert await spendable(ann) == (0, 0)
        rest = await root.json("POST", path, json={"reason": "all", "key": "two"})
        assert (rest["amount_minor"], rest["microcredits"], rest["taken_microcredits"]) == (1500, 15_000 * 10**6, 0)
        history = await ann.json("GET", "/api/billing/history")
        assert [(debt["open_microcredits"], debt["state"]) for debt in history["debts"]] == [(15_000 * 10**6, "open")]
        assert [intent["refunded"] for intent in at.stripe.of("payment_intent")] == [2000]
        assert (await root.json("POST", path, 409, json={"reason": "more", "key": "three"}))["error"]["code"] == "refund_exceeded"
        await at.stripe.pay(at.session_of(await at.bought(ann)))
        assert await spendable(ann) == (5_000, 0)  # the debt is paid first
        assert [debt["state"] for debt in (await ann.json("GET", "/api/billing/history"))["debts"]] == ["settled"]
        await verified(at)


async def test_the_same_event_and_the_same_order_count_once(at: Shop) -> None:
    ann = await add(at.peer, "ann")
    headers = {"Idempotency-Key": "k"}
    made = [await ann.json("POST", "/api/credits/purchase", 201, json={"pack": "house:5"}, headers=headers) for _ in range(2)]
    assert made[0]["order_id"] == made[1]["order_id"] and len(at.stripe.of("checkout.session")) == 1
    other = await ann.json("POST", "/api/credits/purchase", 409, json={"pack": "house:20"}, headers=headers)
    assert other["error"]["code"] == "idempotency_conflict"
    await at.stripe.pay(at.session_of(made[0]))
    _, body = at.stripe.sent[-1]
    again = await asyncio.gather(*(at.stripe.send(at.stripe.signed(body), body) for _ in range(8)))
    assert again == [200] * 8
    anew = json.loads(body) | {"id": "evt_another"}  # another event of the same payment
    assert await at.stripe.send(at.stripe.signed(json.dumps(anew).encode()), json.dumps(anew).encode()) == 200
    assert await spendable(ann) == (5_000, 0)
    assert await counted(at, payments) == 1


async def test_what_was_not_paid_as_ordered_gives_nothing_and_waits_for_an_admin(at: Shop) -> None:
    ann, root = await add(at.peer, "ann"), await add(at.peer, "root", "admin")
    order = await at.bought(ann)
    at.stripe.things[at.session_of(order)]["amount_total"] = 1
    await at.stripe.pay(at.session_of(order))
    assert await spendable(ann) == (0, 0)
    (odd,) = (await root.json("GET", "/api/v1/admin/payments?unexpected=true"))["payments"]
    assert (odd["kind"], odd["amount_minor"], odd["microcredits"]) == ("unexpected", 1, 0)
    assert (await root.json("POST", f"/api/v1/admin/payments/{odd['payment_id']}/refund", json={"key": "back"}))["state"] == "done"
    assert (await root.json("GET", "/api/v1/admin/payments"))["warnings"]
    await ann.json("GET", "/api/v1/admin/payments", 403)


async def test_events_that_come_too_early_wait(at: Shop) -> None:
    ann = await add(at.peer, "ann")
    at.stripe.delivers = False
    await at.stripe.pay(at.session_of(await at.bought(ann)))
    (intent,) = at.stripe.of("payment_intent")
    await at.stripe.dispute(intent["id"])
    paid, disputed = at.stripe.sent
    assert await at.stripe.send(*disputed) == 200
    assert await at.stripe.send(*paid) == 200
    assert await spendable(ann) == (0, 0)
    assert [dispute["state"] for dispute in (await payment_of(ann))["disputes"]] == ["open"]


@pytest.mark.parametrize(("status", "left"), [("won", 20_000), ("lost", 0)])
async def test_a_dispute_takes_the_credits_until_it_is_won(at: Shop, status: str, left: int) -> None:
    ann = await add(at.peer, "ann")
    await at.stripe.pay(at.session_of(await at.bought(ann)))
    (intent,) = at.stripe.of("payment_intent")
    dispute = await at.stripe.dispute(intent["id"])
    assert await spendable(ann) == (0, 0)
    await at.stripe.decide(dispute, status)
    await at.stripe.decide(dispute, status)
    assert await spendable(ann) == (left, 0)
    kinds = [entry["kind"] for entry in (await ann.json("GET", "/api/v1/credits/history"))["entries"]]
    assert kinds == (["dispute_won"] if left else []) + ["dispute", "purchase"]
    await verified(at)


async def test_a_refund_in_the_providers_own_pages_takes_its_credits(at: Shop) -> None:
    ann = await add(at.peer, "ann")
    await at.stripe.pay(at.session_of(await at.bought(ann)))
    (intent,) = at.stripe.of("payment_intent")
    made = at.stripe.make("re", "refund", payment_intent=intent["id"], amount=1000, currency="usd", status="succeeded", metadata={})
    assert [await at.stripe.emit(type, made) for type in ("refund.created", "refund.updated")] == [200, 200]
    assert await spendable(ann) == (10_000, 0)
    made["status"] = "failed"
    assert await at.stripe.emit("refund.failed", made) == 200
    assert await spendable(ann) == (20_000, 0)


async def test_every_payment_has_an_invoice_that_only_its_buyer_sees(at: Shop) -> None:
    ann, bob = await add(at.peer, "ann"), await add(at.peer, "bob")
    details = {"name": "Ann <b>& Söhne</b>", "address": "One Street\n12345 Town", "country": "IN", "tax_id": "29ABCDE1234F1Z5"}
    assert await ann.json("PUT", "/api/v1/billing/details", json=details) == details
    await at.razorpay.pay(at.session_of(await at.bought(ann, "marty-004:500")))
    known = await payment_of(ann)
    year = time.gmtime().tm_year
    assert known["invoice"] == f"INV-{year}-000001"
    pdf = await at.peer.send("GET", known["invoice_url"], headers=ann.headers)
    assert pdf.startswith(b"%PDF-") and pdf == await at.peer.send("GET", known["invoice_url"], headers=ann.headers)
    assert (await bob.json("GET", known["invoice_url"], 404))["error"]["code"] == "invoice_not_found"
    table = (await at.peer.send("GET", "/api/billing/history.csv", headers=ann.headers)).decode().splitlines()
    assert table[0].startswith("payment_id,") and len(table) == 2
    assert (await bob.json("GET", "/api/billing/history"))["payments"] == []
    assert (await bob.json("GET", f"/api/billing/history?after={known['payment_id']}", 404))["error"]["code"] == "payment_not_found"


async def test_money_that_came_another_way_is_entered_once(at: Shop) -> None:
    root, ann = await add(at.peer, "root", "admin"), await add(at.peer, "ann")
    body = {"owner": ann.id, "pack": "house:5", "currency": "USD", "reference": "transfer 17"}
    made = [await root.json("POST", "/api/v1/admin/payments/manual", json=body) for _ in range(2)]
    assert made[0] == made[1] and await spendable(ann) == (5_000, 0)
    assert (await root.json("POST", "/api/v1/admin/payments/manual", 400, json=body | {"owner": root.id}))["error"][
        "code"
    ] == "invalid_payment"
    await ann.json("POST", "/api/v1/admin/payments/manual", 403, json=body)


async def test_without_keys_it_says_which_settings_and_grants_go_on(tmp_path: Path) -> None:
    async with with_accounts(tmp_path / "data", market={"enabled": True}) as peer:
        ann = await add(peer, "ann")
        refused = await ann.json("POST", "/api/v1/credits/purchase", 503, json={"pack": "house:5", "provider": "stripe"})
        assert refused["error"]["code"] == "not_configured"
        assert refused["error"]["details"]["settings"] == [
            "payments.providers.stripe.secret_key",
            "payments.providers.stripe.webhook_secrets",
        ]
        await ann.json("POST", "/api/payments/create-subscription", 503, json={"plan": "marty-004:starter"})
        assert [entry["configured"] for entry in (await peer.json("GET", "/api/v1/payments/options"))["providers"]] == [False] * 3
        await ann.json("GET", "/api/v1/subscription")
        assert (await spendable(ann))[1] > 0
        async with aiohttp.ClientSession(peer.address) as session, session.post(WEBHOOK, headers={"Stripe-Signature": "t=1"}) as answer:
            assert answer.status == 503


async def test_paying_needs_the_scope_for_money(at: Shop) -> None:
    ann = await add(at.peer, "ann")
    weak, strong = await ann.key("read", "run"), await ann.key("read", "money")
    await at.peer.json("POST", "/api/v1/credits/purchase", 403, json={"pack": "house:5"}, headers=weak)
    await at.peer.json("POST", "/api/v1/credits/purchase", 201, json={"pack": "house:5"}, headers=strong)


async def test_a_server_without_accounts_can_sell_to_its_one_user(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as peer:
        assert (await peer.json("POST", "/api/v1/credits/purchase", 503, json={"pack": "house:5"}))["error"]["code"] == "not_configured"
        assert (await peer.json("GET", "/api/v1/billing/history"))["payments"] == []


@pytest.mark.parametrize("environment", ["staging", "development"])
@pytest.mark.parametrize(
    "providers",
    [{"stripe": {"secret_key": "sk_live_x"}}, {"razorpay": {"key_id": "rzp_live_x"}}, {"paypal": {"key_id": "x"}}],
    ids=lambda given: next(iter(given)),
)
def test_live_keys_are_for_production(environment: str, providers: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="live keys"):
        Settings.read(environment=environment, payments={"providers": providers})
    Settings.read(environment="production", payments={"providers": providers})


def test_keys_go_to_the_provider_only() -> None:
    given = {"providers": {"stripe": {"secret_key": "sk_test_x", "api_address": "https://evil.example"}}}
    with pytest.raises(SettingsError, match="sent nowhere else"):
        Settings.read(environment="staging", payments=given)
    with pytest.raises(SettingsError, match="there is no provider"):
        Settings.read(payments={"providers": {"strip": {}}})


async def test_events_are_kept_with_what_became_of_them(at: Shop) -> None:
    ann = await add(at.peer, "ann")
    await at.stripe.pay(at.session_of(await at.bought(ann)))
    await at.stripe.emit("customer.created", {"id": "cus_x"})
    rows = await at.peer.application[DATABASE].read(lambda connection: connection.execute(select(events.c.type, events.c.outcome)).all())
    assert sorted(tuple(row) for row in rows) == [("checkout.session.completed", "applied"), ("customer.created", "ignored")]
