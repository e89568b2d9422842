"""Webhooks: at least once, with stable ids, later and later, never for ever; and a receiver that misbehaves is its own owner's trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import orjson
import pytest
from sqlalchemy import Connection

from marquetry.server.automation.deliveries import PAUSES_S, Delivery, find_delivery, list_deliveries, pause_after, resend
from marquetry.server.automation.errors import NoSuchDelivery, TooMany
from marquetry.server.automation.event import Event
from marquetry.server.automation.postman import Postman
from marquetry.server.automation.signing import is_genuine
from marquetry.server.automation.webhooks import (
    NewWebhook,
    Webhook,
    WebhookChange,
    add_webhook,
    change_webhook,
    find_webhook,
    tell,
    tidy_webhooks,
)
from marquetry.server.database.database import Database, one_by_one
from tests.server.automation.conftest import PATIENCE_S, Clock, Receiver

_add, _change, _resend, _tidy = one_by_one(add_webhook), one_by_one(change_webhook), one_by_one(resend), one_by_one(tidy_webhooks)


def _tell_one(connection: Connection, event: Event) -> int:
    return tell(connection, [event])


_tell = one_by_one(_tell_one)


@pytest.fixture
async def postman(database: Database, clock: Clock) -> AsyncIterator[Postman]:
    made = Postman(database, ("127.0.0.1",), clock=clock, timeout_s=5.0)
    yield made
    await made.stop()


def event(clock: Clock, key: str = "1", owner: str = "alice", type: str = "generation.completed", job_id: str | None = None) -> Event:
    return Event(owner, type, key, {"job_id": key}, clock(), job_id)


async def subscribe(database: Database, url: str, owner: str = "alice", **values: object) -> Webhook:
    return await database.write(_add, replace(NewWebhook(owner, url, 1), **values))  # type: ignore[arg-type]


async def deliver(postman: Postman) -> None:
    """Send all that is due, until nothing is."""
    async with asyncio.timeout(PATIENCE_S):
        while await postman.send_due():
            await postman.idle()


async def all_deliveries(database: Database, owner: str = "alice") -> list[Delivery]:
    return (await database.read(list_deliveries, owner, None, None, 100, 0))[0]


async def test_a_message_arrives_once_signed_and_as_it_was_told(
    database: Database, postman: Postman, clock: Clock, receiver: Receiver
) -> None:
    webhook = await subscribe(database, f"{receiver.url}/hook")
    assert await database.write(_tell, event(clock)) == 1
    await deliver(postman)
    ((path, headers, body),) = receiver.got
    (delivery,) = await all_deliveries(database)
    assert (path, headers["webhook-id"], delivery.state, delivery.last_status) == ("/hook", delivery.id, "delivered", 200)
    assert is_genuine(headers, body, webhook.secret, clock() // 1000)
    assert orjson.loads(body) == {"type": "generation.completed", "timestamp": "2027-01-15T08:00:00.000Z", "data": {"job_id": "1"}}


async def test_the_same_event_told_again_is_the_same_message(
    database: Database, postman: Postman, clock: Clock, receiver: Receiver
) -> None:
    await subscribe(database, receiver.url)
    for _ in range(3):
        await database.write(_tell, event(clock))
    await deliver(postman)
    await database.write(_tell, event(clock))
    await deliver(postman)
    assert len(receiver.got) == 1


async def test_receivers_hear_only_of_their_owners_things_and_what_they_asked_for(
    database: Database, postman: Postman, clock: Clock, receiver: Receiver
) -> None:
    await subscribe(database, f"{receiver.url}/all")
    await subscribe(database, f"{receiver.url}/failures", events=("generation.failed",))
    await subscribe(database, f"{receiver.url}/job", job_id="7")
    await subscribe(database, f"{receiver.url}/bob", owner="bob")
    await database.write(_tell, event(clock, "1"))
    await database.write(_tell, event(clock, "7", type="generation.failed", job_id="7"))
    await deliver(postman)
    assert sorted(path for path, _, _ in receiver.got) == ["/all", "/all", "/failures", "/job"]


async def test_what_fails_is_tried_ten_times_in_two_hours_with_one_id_and_then_dead(
    database: Database, postman: Postman, clock: Clock, receiver: Receiver
) -> None:
    receiver.status = 500
    await subscribe(database, receiver.url)
    await database.write(_tell, event(clock))
    began = clock()
    for tries in range(1, 11):
        await deliver(postman)
        assert len(receiver.got) == tries
        (delivery,) = await all_deliveries(database)
        clock.now_ms = max(clock(), delivery.next_ms)
    assert (delivery.state, delivery.attempts, delivery.last_error) == ("dead", 10, "it answered with status 500")
    assert 0.79 * 7200 <= (clock() - began) / 1000 <= 7200
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 1
    _, log = await database.read(find_delivery, delivery.id, "alice")
    assert [entry.status for entry in log] == [500] * 10
    clock.forward(86400)
    await deliver(postman)
    assert len(receiver.got) == 10


def test_pauses_make_ten_tries_in_two_hours_and_spread() -> None:
    assert (len(PAUSES_S) + 1, sum(PAUSES_S)) == (10, 7200)
    assert pause_after(1, 0.0, 0.0) != pause_after(1, 0.0, 1.0)
    assert pause_after(1, 90.0, 0.5) == 90.0
    assert pause_after(1, 1e9, 0.5) <= 3700


async def test_a_dead_letter_is_sent_again_by_hand_with_its_id(
    database: Database, postman: Postman, clock: Clock, receiver: Receiver
) -> None:
    receiver.status = 410
    webhook = await subscribe(database, receiver.url)
    await database.write(_tell, event(clock))
    await deliver(postman)
    (dead,) = await all_deliveries(database)
    assert (dead.state, dead.attempts) == ("dead", 1)
    known = await database.read(find_webhook, webhook.id, "alice")
    assert not known.enabled and known.disabled_reason is not None and "410" in known.disabled_reason
    receiver.status = 204
    with pytest.raises(NoSuchDelivery):
        await database.write(_resend, (dead.id, "bob", clock()))
    await database.write(_resend, (dead.id, "alice", clock()))
    await deliver(postman)
    assert [delivery.state for delivery in await all_deliveries(database)] == ["delivered"]
    assert receiver.got[0][1]["webhook-id"] == receiver.got[1][1]["webhook-id"]


async def test_a_receiver_that_only_fails_is_disabled_and_its_owner_is_told(
    database: Database, postman: Postman, clock: Clock, receiver: Receiver
) -> None:
    dead = await subscribe(database, "http://127.0.0.1:9/", events=("generation.completed",))  # nothing listens there
    await subscribe(database, receiver.url, events=("webhook.disabled",))
    for number in range(6):
        await database.write(_tell, event(clock, str(number)))
    for _ in range(200):
        await deliver(postman)
        waiting = [delivery.next_ms for delivery in await all_deliveries(database) if delivery.state == "pending"]
        if not waiting:
            break
        clock.now_ms = max(clock(), min(waiting))
    known = await database.read(find_webhook, dead.id, "alice")
    assert not known.enabled and known.disabled_reason is not None
    assert known.disabled_reason.startswith("5 messages in a row were given up")
    assert receiver.types == ["webhook.disabled"]
    await database.write(_tell, event(clock, "after"))
    assert all(delivery.state != "pending" for delivery in await all_deliveries(database))
    again = await database.write(_change, WebhookChange(dead.id, "alice", clock(), enabled=True))
    assert (again.enabled, again.disabled_reason) == (True, None)


async def test_a_replaced_secret_signs_for_a_day_beside_the_new_one(
    database: Database, postman: Postman, clock: Clock, receiver: Receiver
) -> None:
    first = await subscribe(database, receiver.url)
    second = await database.write(_change, WebhookChange(first.id, "alice", clock(), rotate=True))
    assert second.secret != first.secret
    for key, pause_s in (("1", 0), ("2", 86401)):
        clock.forward(pause_s)
        await database.write(_tell, event(clock, key))
        await deliver(postman)
    believed = [
        [is_genuine(headers, body, secret, int(headers["webhook-timestamp"])) for secret in (first.secret, second.secret)]
        for _, headers, body in receiver.got
    ]
    assert believed == [[True, True], [False, True]]


async def test_a_slow_receiver_keeps_nobody_else_waiting(database: Database, postman: Postman, clock: Clock, receiver: Receiver) -> None:
    receiver.held = {"/slow": asyncio.Event()}
    await subscribe(database, f"{receiver.url}/slow", owner="mallory")
    await subscribe(database, f"{receiver.url}/quick", owner="alice")
    for number in range(100):
        await database.write(_tell, event(clock, str(number), owner="mallory"))
    clock.forward(1)
    for number in range(5):
        await database.write(_tell, event(clock, f"mine {number}"))
    postman.start()
    async with asyncio.timeout(PATIENCE_S):
        while sum(path == "/quick" for path, _, _ in receiver.got) < 5:
            receiver.arrived.clear()
            await receiver.arrived.wait()
    assert sum(path == "/slow" for path, _, _ in receiver.got) <= 2
    receiver.held["/slow"].set()
    await receiver.until(105)


async def test_messages_survive_a_restart_and_come_again_when_it_is_unknown_whether_they_arrived(
    database: Database, clock: Clock, receiver: Receiver
) -> None:
    receiver.held = {"/": asyncio.Event()}
    await subscribe(database, receiver.url)
    await database.write(_tell, event(clock))
    first = Postman(database, ("127.0.0.1",), clock=clock)
    assert await first.send_due() == 1
    await receiver.until(1)
    await first.stop()  # before the receiver has answered
    receiver.held = {}
    second = Postman(database, ("127.0.0.1",), clock=clock)
    assert await second.send_due() == 0  # the first might be sending it still
    clock.forward(100)
    await deliver(second)
    assert [delivery.state for delivery in await all_deliveries(database)] == ["delivered"]
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 1


async def test_two_servers_send_each_message_once(database: Database, clock: Clock, receiver: Receiver) -> None:
    await subscribe(database, receiver.url)
    for number in range(30):
        await database.write(_tell, event(clock, str(number)))
    postmen = [Postman(database, ("127.0.0.1",), clock=clock) for _ in range(2)]
    await asyncio.gather(*(deliver(postman) for postman in postmen))
    ids = [headers["webhook-id"] for _, headers, _ in receiver.got]
    assert len(ids) == len(set(ids)) == 30


async def test_an_address_inside_the_operators_network_is_never_sent_to(database: Database, clock: Clock, receiver: Receiver) -> None:
    await subscribe(database, receiver.url)
    await database.write(_tell, event(clock))
    await deliver(Postman(database, (), clock=clock))
    (delivery,) = await all_deliveries(database)
    assert (receiver.got, delivery.state) == ([], "pending")
    assert delivery.last_error is not None and "not on the open internet" in delivery.last_error


async def test_an_owner_has_so_many_webhooks(database: Database) -> None:
    for _ in range(2):
        await subscribe(database, "https://example.org/", limit=2)
    with pytest.raises(TooMany):
        await subscribe(database, "https://example.org/", limit=2)
    await subscribe(database, "https://example.org/", owner="bob", limit=2)


async def test_what_ended_long_ago_is_forgotten(database: Database, postman: Postman, clock: Clock, receiver: Receiver) -> None:
    await subscribe(database, receiver.url)
    await subscribe(database, receiver.url, job_id="1")
    await database.write(_tell, event(clock, job_id="1"))
    await deliver(postman)
    assert await database.write(_tidy, clock() + 1) == 3  # two messages, and the receiver of one job
    assert await all_deliveries(database) == []
