"""A person's balance is pushed over their sockets as it changes: by credits, holds, charges, releases; nobody else hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from marquetry.marketplace.schema import MICROCREDITS
from tests.server import nodes
from tests.server.peer import PATIENCE_S, Peer
from tests.server.people import Somebody, add, with_accounts


@pytest_asyncio.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    async with with_accounts(tmp_path / "data", market={"enabled": True, "trial": False}) as running:
        yield running


async def balances(who: Somebody) -> aiohttp.ClientWebSocketResponse:
    return await who.peer.session.ws_connect("/api/v1/events?balance=true", headers=who.headers)


async def until(socket: aiohttp.ClientWebSocketResponse, credits: int, held: int = 0) -> list[tuple[int, int]]:
    """Read until the balance is that; all (credits, held) on the way."""
    heard: list[tuple[int, int]] = []
    while not heard or heard[-1] != (credits, held):
        message: dict[str, Any] = await asyncio.wait_for(socket.receive_json(), PATIENCE_S)
        assert message["type"] == "balance", message
        heard.append((message["balance"]["credits"], message["balance"]["held_microcredits"] // MICROCREDITS))
    return heard


async def give(root: Somebody, who: Somebody, credits: int, key: str) -> None:
    body = {"owner": who.id, "amount_microcredits": credits * MICROCREDITS, "reason": "a test", "key": key}
    await root.json("POST", "/api/v1/admin/credits", json=body)


async def test_credits_holds_charges_and_releases_are_told_to_their_owner_alone(peer: Peer) -> None:
    root, ann, bob = await add(peer, "root", "admin"), await add(peer, "ann"), await add(peer, "bob")
    hers, his = await balances(ann), await balances(bob)
    assert await until(hers, 0) == [(0, 0)] and await until(his, 0) == [(0, 0)]
    await give(root, ann, 100, "a")
    assert await until(hers, 100) == [(100, 0)]
    reserved = await ann.json("POST", "/buzz/reserve", json={"amount": 30})
    assert await until(hers, 70, 30) == [(70, 30)]
    await ann.json("POST", "/buzz/release", json={"reservation_id": reserved["reservation_id"]})
    assert await until(hers, 100) == [(100, 0)]
    taken = await ann.json("POST", "/api/v1/jobs", 202, json={"graph": nodes.linked("Draw", count=2)})
    await peer.jobs.wait(taken["id"], PATIENCE_S)
    await until(hers, 60)
    await give(root, bob, 5, "b")
    assert await until(his, 5) == [(5, 0)]  # the first that he hears after his own nothing
    for socket in (hers, his):
        await socket.close()


async def test_many_changes_at_once_are_few_messages(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    root, ann = await add(peer, "root", "admin"), await add(peer, "ann")
    socket = await balances(ann)
    await until(socket, 0)
    monkeypatch.setattr("marquetry.server.api.events.BALANCE_PERIOD_S", 0.5)
    await asyncio.gather(*(give(root, ann, 1, f"gift {place}") for place in range(30)))
    assert len(await until(socket, 30)) <= 10
    await socket.close()
