"""Subscriptions through their provider: periods, failures, changes, ends."""

from __future__ import annotations

import time
from pathlib import Path

from tests.server.payments.seen import in_force, verified
from tests.server.payments.shop import DAY_MS, Shop, shop, spendable
from tests.server.people import add, mails


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
