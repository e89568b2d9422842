"""What an API key spends over HTTP stays within its limit: jobs by any route, batches, reservations. What goes back may be spent again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio

from marquetry.marketplace.schema import MICROCREDITS
from tests.server import nodes
from tests.server.peer import PATIENCE_S, Peer
from tests.server.people import Somebody, add, with_accounts


@dataclass
class Desk:
    """Ann, who has 1,000 credits, and a key of hers that may spend 100."""

    peer: Peer
    ann: Somebody
    headers: dict[str, str]

    async def ask(self, path: str, status: int, **body: Any) -> Any:
        return await self.peer.json("POST", path, status, json=body, headers=self.headers)

    async def spent(self) -> int:
        """Credits that are counted against the key."""
        (key,) = (await self.ann.json("GET", "/api/v1/settings/api-keys"))["keys"]
        return int(key["spent_microcredits"]) // MICROCREDITS


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with with_accounts(tmp_path / "data", market={"enabled": True, "trial": False}) as peer:
        root, ann = await add(peer, "root", "admin"), await add(peer, "ann")
        gift = {"owner": ann.id, "amount_microcredits": 1000 * MICROCREDITS, "reason": "a test", "key": "k"}
        await root.json("POST", "/api/v1/admin/credits", json=gift)
        yield Desk(peer, ann, await ann.key("read", "run", "money", spend_limit_microcredits=100 * MICROCREDITS))


def drawing(count: int, value: int = 0, **more: Any) -> dict[str, Any]:
    """Costs 20 credits for each of `count`."""
    return nodes.linked("Draw", count=count, value=value, **more)


async def test_a_job_counts_its_hold_and_gives_back_what_it_did_not_use(desk: Desk) -> None:
    for spent in (40, 40):  # the second time all of it comes from the cache
        taken = await desk.ask("/api/v1/jobs", 202, graph=drawing(2))
        await desk.peer.jobs.wait(taken["id"], PATIENCE_S)
        assert await desk.spent() == spent


async def test_every_route_that_submits_refuses_beyond_the_limit_and_leaves_nothing_behind(desk: Desk) -> None:
    graph = drawing(6)
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/api/v1/jobs", {"graph": graph}),
        ("/api/v1/workflow/execute", {"graph": graph}),
        ("/generation/create", {"graph": graph}),
        ("/api/trigger-workflow", {"generationId": "g", "graph": graph}),
        ("/prompt", {"prompt": graph}),
        ("/api/v1/batches", {"graph": drawing(1), "inputs": [{"1.value": place} for place in range(6)]}),
        ("/buzz/reserve", {"amount": 101}),
    ]
    for path, body in asked:
        refused = await desk.ask(path, 402, **body)
        assert "this key may not spend that much" in refused["error"]["message"], path
    assert await desk.spent() == 0
    assert (await desk.peer.jobs.jobs())[1] == 0
    balance = await desk.ann.json("GET", "/api/v1/credits/balance")
    assert (balance["credits"], balance["held_microcredits"]) == (1000, 0)
    await desk.ann.json("POST", "/api/v1/jobs", 202, json={"graph": graph})  # the limit is the key's, not the person's


async def test_a_failed_job_gives_all_of_it_back(desk: Desk) -> None:
    taken = await desk.ask("/api/v1/jobs", 202, graph=drawing(5, fail=True))
    await desk.peer.jobs.wait(taken["id"], PATIENCE_S)
    assert await desk.spent() == 0


async def test_a_reservation_counts_until_it_is_released_and_what_was_committed_stays_counted(desk: Desk) -> None:
    kept = await desk.ask("/buzz/reserve", 200, amount=70)
    await desk.ask("/buzz/reserve", 402, amount=31)
    assert await desk.spent() == 70
    await desk.ask("/buzz/commit", 200, reservation_id=kept["reservation_id"], amount=20)
    assert await desk.spent() == 20
    other = await desk.ask("/buzz/reserve", 200, amount=80)
    await desk.ask("/buzz/release", 200, reservation_id=other["reservation_id"])
    assert await desk.spent() == 20
