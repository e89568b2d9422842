"""Payments over HTTP, with the providers as local peers: packs, subscriptions, refunds, disputes, payouts, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from sqlalchemy import func, select

from marquetry.marketplace import ledger
from marquetry.marketplace.payments.tables import events, payments
from marquetry.marketplace.plans import subscriptions
from marquetry.server.database.database import one_by_one
from marquetry.server.errors import SettingsError
from marquetry.server.keys import DATABASE
from marquetry.server.settings import Settings
from tests.server.jobs import postgresql
from tests.server.paying import DAY_MS, Shop, shop, spendable
from tests.server.peer import served
from tests.server.people import Somebody, add, mails, with_accounts

WEBHOOK = "/api/payments/webhook"
TAX = {"name": "GST", "percent_hundredths": 1800, "currencies": ["INR"]}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield ""
        return
    for server in postgresql.serve():
        yield from postgresql.scratch_database(server)


@pytest_asyncio.fixture
async def at(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(tmp_path / "data", taxes=[TAX]) as opened:
        yield opened


async def spend(at: Shop, owner: str, credits: int, key: str = "spent") -> None:
    """Credits that somebody uses."""

    def use(connection: Any, _: None) -> None:
        ledger.place_hold(connection, run_id=key, owner=owner, amount_microcredits=credits * 10**6, now_ms=1, ttl_ms=10**6)
        ledger.capture(connection, [ledger.Capture(key, "1", "usage", credits * 10**6)], now_ms=2)

    await at.peer.application[DATABASE].write(one_by_one(use), None)


async def verified(at: Shop) -> None:
    """Every promise of the ledger holds."""
    assert await at.peer.application[DATABASE].read(ledger.verify) == []


async def counted(at: Shop, table: Any) -> int:
    return int(
        await at.peer.application[DATABASE].read(
            lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one()
        )
    )


async def in_force(at: Shop, who: Somebody) -> Any:
    """The subscription that holds by the payments' clock."""
    return await at.payments.desk.read(subscriptions.in_force, who.id, at.payments.desk.clock_ms())


async def payment_of(who: Somebody) -> dict[str, Any]:
    found: dict[str, Any] = (await who.json("GET", "/api/billing/history"))["payments"][0]
    return found


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


async def test_signatures_are_checked_old_events_refused_and_secrets_change(at: Shop) -> None:
    ann = await add(at.peer, "ann")
    at.stripe.delivers = False
    await at.stripe.pay(at.session_of(await at.bought(ann)))
    headers, body = at.stripe.sent[-1]
    wrong = [
        ({}, body),
        ({"Stripe-Signature": "t=1,v1=00"}, body),
        (headers, body.replace(b"2000", b"9000")),
        (at.stripe.signed(body, secret="whsec_old"), body),
        (at.stripe.signed(body, at=int(time.time()) - 400), body),
        (at.stripe.signed(b"[]"), b"[]"),
        (at.stripe.signed(b"\xff\xfe"), b"\xff\xfe"),
    ]
    for given, sent in wrong:
        assert await at.stripe.send(given, sent) == 400
    assert await spendable(ann) == (0, 0)
    assert await at.stripe.send(at.stripe.signed(body, secret="whsec_new"), body) == 200
    assert await spendable(ann) == (20_000, 0)
    refused = await at.peer.json("POST", WEBHOOK, 409, data=b"{}")
    assert refused["error"]["code"] == "not_supported"


async def test_a_subscription_goes_through_three_periods_with_one_failure(tmp_path: Path, url: str) -> None:
    async with shop(tmp_path / "data", url) as at:
        ann = await add(at.peer, "ann")
        body = {"plan": "comics-002:creator", "interval": "month"}
        order = await ann.json("POST", "/api/payments/create-subscription", 201, json=body)
        assert (await ann.json("GET", "/api/v1/subscription"))["status"] == "none"
        await at.stripe.pay(at.session_of(order))
        (sub,) = at.stripe.of("subscription")
        known = await ann.json("GET", "/api/v1/subscription")
        assert (known["plan"]["id"], known["status"], await spendable(ann)) == ("comics-002:creator", "active", (0, 25_000))
        again = await ann.json("POST", "/api/payments/create-subscription", 409, json=body)
        assert again["error"]["code"] == "subscription_exists"
        at.later(31 * DAY_MS)
        await at.stripe.renew(sub["id"])
        at.later(31 * DAY_MS)
        at.stripe.card_works = False
        failed = await at.stripe.renew(sub["id"])
        await at.round()
        assert (await in_force(at, ann)).status == "past_due"
        await at.round(3 * DAY_MS)  # tried again, and told again
        told = [subject for _, subject, _ in await mails(at.peer, tmp_path / "data")]
        assert [subject.partition(" - ")[0] for subject in told].count("Your payment did not work") == 2
        at.stripe.card_works = True
        await at.round(4 * DAY_MS)
        assert failed["status"] == "paid"
        assert (await in_force(at, ann)).status == "active"
        history = (await ann.json("GET", "/api/billing/history"))["payments"]
        assert [(payment["kind"], payment["amount_minor"]) for payment in history] == [("period", 1900)] * 3
        entries = (await ann.json("GET", "/api/v1/credits/history?kinds=subscription"))["entries"]
        assert [entry["amount_microcredits"] for entry in entries] == [25_000 * 10**6] * 3
        for type, thing, at_s in (("invoice.payment_failed", failed, int(time.time()) - 100), ("invoice.paid", failed, int(time.time()))):
            assert await at.stripe.emit(type, thing, at_s) == 200  # late and double
        assert (await in_force(at, ann)).status == "active"
        assert (await ann.json("POST", "/api/payments/cancel-subscription"))["cancel_at_period_end"]
        assert at.stripe.things[sub["id"]]["cancel_at_period_end"]
        assert not (await ann.json("POST", "/api/v1/payments/resume-subscription"))["cancel_at_period_end"]
        await verified(at)


async def test_a_subscription_that_nobody_pays_ends_here_and_at_its_provider(at: Shop, tmp_path: Path) -> None:
    ann = await add(at.peer, "ann")
    await at.stripe.pay(at.session_of(await ann.json("POST", "/api/payments/create-subscription", 201, json={"plan": "comics-002:pro"})))
    (sub,) = at.stripe.of("subscription")
    at.stripe.card_works = False
    at.later(31 * DAY_MS)
    await at.stripe.renew(sub["id"])
    for days in (0, 3, 4, 7, 7, 1):
        await at.round(days * DAY_MS)
    assert await in_force(at, ann) is None
    assert sub["status"] == "canceled"
    told = [subject.partition(" - ")[0] for _, subject, _ in await mails(at.peer, tmp_path / "data")]
    assert told.count("Your payment did not work") == 4 and told.count("Your subscription has ended") == 1


async def test_a_dearer_plan_is_paid_at_once_and_a_cheaper_one_comes_with_the_next_period(at: Shop) -> None:
    ann = await add(at.peer, "ann")
    await at.stripe.pay(
        at.session_of(await ann.json("POST", "/api/payments/create-subscription", 201, json={"plan": "comics-002:creator"}))
    )
    (sub,) = at.stripe.of("subscription")
    changed = await ann.json("POST", "/api/v1/payments/change-subscription", json={"plan": "comics-002:pro"})
    assert (changed["plan"], changed["price_minor"]) == ("comics-002:pro", 4900)
    assert [payment["amount_minor"] for payment in (await ann.json("GET", "/api/billing/history"))["payments"]] == [3000, 1900]
    changed = await ann.json("POST", "/api/v1/payments/change-subscription", json={"plan": "comics-002:creator"})
    assert (changed["plan"], changed["next_plan"]) == ("comics-002:pro", "comics-002:creator")
    at.later(31 * DAY_MS)
    await at.stripe.renew(sub["id"])
    assert (await in_force(at, ann)).plan == "comics-002:creator"
    assert (await ann.json("POST", "/api/v1/payments/portal"))["url"].startswith("https://portal.example/cus_")


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


@pytest.mark.parametrize(
    ("pack", "provider", "path"), [("house:20", "stripe", "checkout/sessions"), ("marty-004:500", "razorpay", "payment_links")]
)
async def test_an_answer_that_got_lost_is_found_by_the_same_request(at: Shop, pack: str, provider: str, path: str) -> None:
    ann = await add(at.peer, "ann")
    mock: Any = getattr(at, provider)
    mock.broken += [path] * 2  # the SDK tries twice by itself
    body = {"json": {"pack": pack, "provider": provider}, "headers": {"Idempotency-Key": "k"}}
    if provider == "razorpay":
        mock.broken.pop()
    assert (await ann.json("POST", "/api/v1/credits/purchase", 409, **body))["error"]["details"]["unknown"] is True
    order = await ann.json("POST", "/api/v1/credits/purchase", 201, **body)
    assert len(mock.of("checkout.session" if provider == "stripe" else "payment_link")) == 1
    await mock.pay(at.session_of(order))
    assert (await spendable(ann))[0] > 0


async def test_a_refund_whose_answer_got_lost_is_asked_for_again_and_made_once(at: Shop) -> None:
    ann, root = await add(at.peer, "ann"), await add(at.peer, "root", "admin")
    order = await at.bought(ann, "marty-004:500")
    assert (order["provider"], order["currency"]) == ("razorpay", "INR")
    paid = await at.razorpay.pay(at.session_of(order))
    at.razorpay.delivers = False
    at.razorpay.broken += [f"payments/{paid['id']}/refund"]
    known = await payment_of(ann)
    await root.json("POST", f"/api/v1/admin/payments/{known['payment_id']}/refund", 409, json={"key": "k"})
    assert await spendable(ann) == (0, 0)
    await at.round(DAY_MS // 100)
    (refund,) = (await payment_of(ann))["refunds"]
    assert (refund["state"], at.razorpay.things[paid["id"]]["amount_refunded"]) == ("done", 39_900)
    assert len(at.razorpay.of("refund")) == 1


async def test_rupees_are_razorpays_with_stripe_behind_it(at: Shop) -> None:
    ann = await add(at.peer, "ann")
    order = await ann.json("POST", "/api/payments/create-subscription", 201, json={"plan": "marty-004:starter"})
    assert (order["provider"], order["amount_minor"]) == ("razorpay", 49_900)
    (sub,) = at.razorpay.of("subscription")
    await at.razorpay.charge(sub["id"])
    headers, body = at.razorpay.sent[-1]
    assert await spendable(ann) == (0, 5_000)
    assert await at.razorpay.send(headers | {"X-Razorpay-Event-Id": "another"}, body) == 200
    assert await at.razorpay.send({"X-Razorpay-Signature": "0" * 64}, body) == 400
    assert await at.razorpay.emit("subscription.charged", int(time.time()) - 9 * 86_400, subscription=sub) == 400
    assert await counted(at, payments) == 1
    for moment, status in ((-100, "active"), (5, "past_due")):  # what is older than the payment changes nothing
        await at.razorpay.halt(sub["id"], int(time.time()) + moment)
        assert (await in_force(at, ann)).status == status
    bob = await add(at.peer, "bob")
    at.razorpay.broken += ["payment_links"]
    order = await at.bought(bob, "marty-004:100")
    assert order["provider"] == "stripe"
    await at.stripe.pay(at.session_of(order))
    assert (await spendable(bob))[0] == 1_000


async def test_paypal_is_asked_whether_an_event_is_its_own(at: Shop) -> None:
    ann, root = await add(at.peer, "ann"), await add(at.peer, "root", "admin")
    order = await at.bought(ann, provider="paypal")
    await at.paypal.approve(at.session_of(order))
    assert await spendable(ann) == (20_000, 0)
    headers, body = at.paypal.sent[0]
    assert await at.paypal.send(headers, body) == 200
    assert await at.paypal.send(headers, body.replace(b"20.00", b"99.00")) == 400
    assert await at.paypal.send(at.paypal.signed(body, "2020-01-01T00:00:00Z"), body) == 400
    known = await payment_of(ann)
    assert (await root.json("POST", f"/api/v1/admin/payments/{known['payment_id']}/refund", json={"key": "k"}))["state"] == "done"
    assert await spendable(ann) == (0, 0)
    order = await ann.json("POST", "/api/payments/create-subscription", 201, json={"plan": "comics-002:creator", "provider": "paypal"})
    await at.paypal.approve(at.session_of(order))
    assert await spendable(ann) == (0, 25_000)
    assert (await ann.json("POST", "/api/payments/cancel-subscription"))["cancel_at_period_end"]


async def test_creators_are_paid_once_whatever_gets_lost(at: Shop) -> None:
    from marquetry.marketplace.listings.payouts import Payout
    from marquetry.server.published.paying import TRANSFERS

    ann = await add(at.peer, "ann", "creator")
    assert (await ann.json("GET", "/api/v1/payments/connect", 404))["error"]["code"] == "payout_account_not_found"
    transfers = at.peer.application[TRANSFERS]["stripe"]
    payout = Payout("pay_2026-10_ann", ann.id, "ann", "Ann", "2026-10", 50 * 10**9, "stripe", "begun", "", 0)
    with pytest.raises(Exception, match="has not finished"):
        await transfers.transfer(payout)
    urls = [(await ann.json("POST", "/api/v1/payments/connect"))["url"] for _ in range(2)]
    (account,) = at.stripe.of("account")
    assert urls == [f"https://connect.example/{account['id']}"] * 2
    await at.stripe.onboard(account["id"])
    assert (await ann.json("GET", "/api/v1/payments/connect"))["payouts_enabled"]
    at.stripe.answers.clear()  # as after a day
    assert await transfers.transfer(payout) == await transfers.transfer(payout)
    at.stripe.answers.clear()
    account["payouts_enabled"] = False
    await at.stripe.emit("account.updated", account)
    (made,) = at.stripe.of("transfer")
    assert await transfers.transfer(payout) == made["id"]
    assert (made["amount"], made["currency"], made["destination"]) == (5000, "usd", account["id"])


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


async def test_who_leaves_is_charged_no_more(at: Shop) -> None:
    from marquetry.server.people_data.payments import ROOM

    ann = await add(at.peer, "ann")
    await at.stripe.pay(
        at.session_of(await ann.json("POST", "/api/payments/create-subscription", 201, json={"plan": "comics-002:creator"}))
    )
    (sub,) = at.stripe.of("subscription")
    told = await at.payments.desk.write(ROOM.erase, ann.id, at.payments.desk.clock_ms())
    assert "canceled" in told["subscriptions"]
    await at.round()
    assert sub["status"] == "canceled"
    assert await in_force(at, ann) is None


async def test_earnings_are_set_aside_sent_and_settled_and_an_unknown_outcome_is_asked_again(at: Shop) -> None:
    from marquetry.marketplace.listings.payouts import payouts_of
    from marquetry.marketplace.listings.tables import creators
    from marquetry.server.published.paying import pay

    ann, bob = await add(at.peer, "ann", "creator"), await add(at.peer, "bob")
    await at.stripe.pay(at.session_of(await at.bought(bob)))

    def earn(connection: Any, _: None) -> None:
        row = {"owner": ann.id, "handle": "ann", "name": "Ann", "about": "", "founding": False, "followers": 0, "created_ms": 1}
        connection.execute(creators.insert().values(**row))
        ledger.place_hold(connection, run_id="r", owner=bob.id, amount_microcredits=20 * 10**9, now_ms=1, ttl_ms=10**6)
        share = ledger.Share(ann.id, "listing:ann/x", 15 * 10**9 + 5)
        ledger.capture(connection, [ledger.Capture("r", "1", "usage", 20 * 10**9, (share,))], now_ms=2)

    database = at.peer.application[DATABASE]
    await database.write(one_by_one(earn), None)
    await ann.json("POST", "/api/v1/payments/connect")
    (account,) = at.stripe.of("account")
    await at.stripe.onboard(account["id"])
    at.stripe.broken += ["transfers"] * 2
    await pay(at.peer.application)
    (payout,) = await database.read(payouts_of, ann.id)
    assert (payout.state, len(at.stripe.of("transfer"))) == ("begun", 1)
    at.stripe.answers.clear()  # as after a day
    await pay(at.peer.application)
    (payout,) = await database.read(payouts_of, ann.id)
    (made,) = at.stripe.of("transfer")
    assert (payout.state, payout.transfer, made["amount"]) == ("settled", made["id"], 1500)
    earned = await database.read(ledger.earnings, ann.id)
    assert (earned.accrued, earned.payable, earned.paid_out) == (5, 0, 15 * 10**9)
    await verified(at)
