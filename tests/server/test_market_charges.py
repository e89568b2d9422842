"""With the market on, a published graph is paid for by use: its creator earns, its lines are one, and its inside stays hidden also there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest_asyncio

from tests.server.secrets import MARKS, served
from tests.server.test_hidden_inside import INSIDE, INTERFACE, used
from tests.server.test_market import Shop

PRICE = 4_000_000


@pytest_asyncio.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with served(tmp_path / "data", market={"enabled": True}) as peer:
        shop = Shop(peer)
        for name in ("ann", "bob", "carl"):
            shop.people[name] = await peer.json("POST", "/api/users", json={"username": name})
            if name != "carl":
                await shop.ask(name, "PUT", "/marketplace/creator", json={"handle": name, "name": name.title()})
        version = {"workflow": {"graph": INSIDE, **INTERFACE}}
        await shop.list(slug="portrait", pricing="per_use", price_microcredits=PRICE, version=version)
        yield shop


def leaks(data: bytes) -> bool:
    return any(mark.lower().encode() in data.lower() for mark in MARKS)


async def test_a_use_is_quoted_charged_and_earned_and_tells_nothing_of_the_inside(shop: Shop) -> None:
    await shop.credit("carl", 10**12)
    headers = {"comfy-user": shop.people["carl"]}
    graph = used(shade=11)
    quote = await shop.peer.send("POST", "/api/v1/quote", json={"graph": graph}, headers=headers)
    assert not leaks(quote), quote
    for wanted_share in (PRICE * 3 // 4, PRICE * 3 // 2):  # what is cached owes its royalty again
        taken = await shop.ask("carl", "POST", "/jobs", 202, json={"graph": graph})
        await shop.peer.jobs.wait(taken["id"], 30)
        assert (await shop.ask("ann", "GET", "/user/earnings"))["accrued_microcredits"] == wanted_share
        receipt = await shop.peer.send("GET", f"/api/v1/jobs/{taken['id']}/receipt", headers=headers)
        assert not leaks(receipt), receipt
    for path in ("/credits/history", "/user/history", "/credits/balance"):
        assert not leaks(await shop.peer.send("GET", f"/api/v1{path}", headers=headers)), path
    stats = await shop.ask("ann", "GET", "/marketplace/creator/stats")
    assert (stats["listings"][0]["uses"], stats["people"]) == (2, 1)
    await shop.ask("carl", "PUT", "/marketplace/item/ann%2Fportrait/review", json={"stars": 5})


async def test_a_listing_inside_a_listing_earns_for_both(shop: Shop) -> None:
    graph = {"hush": {"class_type": "listing:ann/portrait", "inputs": {"shade": 3}}}
    workflow = {"graph": graph, "outputs": [{"name": "picture", "node": "hush"}]}
    await shop.list("bob", "outer", pricing="per_use", price_microcredits=1_000_000, version={"workflow": workflow})
    await shop.credit("carl", 10**12)
    outer = {"1": {"class_type": "listing:bob/outer", "inputs": {}}, "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}}
    quote = await shop.peer.send("POST", "/api/v1/quote", json={"graph": outer}, headers={"comfy-user": shop.people["carl"]})
    assert not leaks(quote) and orjson.loads(quote)
    taken = await shop.ask("carl", "POST", "/jobs", 202, json={"graph": outer})
    await shop.peer.jobs.wait(taken["id"], 30)
    earned = [(await shop.ask(name, "GET", "/user/earnings"))["accrued_microcredits"] for name in ("ann", "bob")]
    assert earned == [PRICE * 3 // 4, 750_000]


async def test_what_is_to_be_bought_first_is_refused_with_its_price(shop: Shop) -> None:
    version = {"workflow": {"graph": INSIDE, **INTERFACE}}
    await shop.list("bob", "sold", pricing="one_time", price_microcredits=7, version=version)
    graph = used(type_id="listing:bob/sold")
    refused = await shop.ask("carl", "POST", "/jobs", 402, json={"graph": graph})
    assert refused["error"]["details"]["price_microcredits"] == 7
