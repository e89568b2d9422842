"""Providers and what goes wrong on the way: lost answers, forged events, payouts that must happen once."""

from __future__ import annotations

import time
from typing import Any

import pytest

from marquetry.marketplace import ledger
from marquetry.marketplace.payments.tables import payments
from marquetry.server.database.database import one_by_one
from marquetry.server.keys import DATABASE
from tests.server.payments.seen import counted, in_force, payment_of, verified
from tests.server.payments.shop import DAY_MS, Shop, spendable
from tests.server.people import add


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
    refused = await at.peer.json("POST", "/api/payments/webhook", 409, data=b"{}")
    assert refused["error"]["code"] == "not_supported"


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
