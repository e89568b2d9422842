"""With the market on: jobs are held for before they run, charged node by node, and never more than they were told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, select

from marquetry.marketplace import ledger
from marquetry.marketplace.listings.closure import Closure, PublishedGraph
from marquetry.marketplace.metering.tables import listing_uses, node_executions
from marquetry.marketplace.pricing.royalties import RoyaltyLine
from marquetry.marketplace.schema import MICROCREDITS
from marquetry.server import keys
from marquetry.server.database.database import one_by_one
from marquetry.server.market.keys import MARKET
from marquetry.server.published.definitions import pack
from tests.server import nodes
from tests.server.peer import Peer, served
from tests.server.test_openapi import faults_of, in_a_thread

PATIENCE_S = 20.0
IMAGE = 20 * MICROCREDITS


@dataclass
class Book:
    """Royalties by resource; what a test puts there."""

    owed: dict[str, RoyaltyLine]

    def lines(self, resources: Any, owner: str, now_ms: int) -> tuple[RoyaltyLine, ...]:
        return tuple(self.owed[resource] for resource in resources if resource in self.owed)


class Shop:
    """A server with the market on, and one person who has credits."""

    def __init__(self, peer: Peer, owner: str) -> None:
        self.peer = peer
        self.owner = owner
        self.headers = {"comfy-user": owner}
        self.number = 0

    async def give(self, credits: int) -> None:
        self.number += 1
        key = f"gift {self.owner} {self.number}"

        def give(connection: Connection, argument: int) -> None:
            ledger.credit(
                connection, owner=self.owner, amount_microcredits=argument * MICROCREDITS, purse="paid", kind="purchase", key=key, now_ms=1
            )

        await self.peer.application[keys.DATABASE].write(one_by_one(give), credits)

    async def balance(self) -> tuple[int, int]:
        """Credits that can be spent, and that are held."""
        found = await self.peer.application[keys.DATABASE].read(ledger.balance, self.owner)
        return found.spendable // MICROCREDITS, found.held // MICROCREDITS

    async def submit(self, graph: dict[str, Any], status: int = 202, **more: Any) -> Any:
        answer = await self.peer.json("POST", "/api/v1/jobs", status, json={"graph": graph, **more}, headers=self.headers)
        return answer["id"] if status == 202 else answer

    async def run(self, graph: dict[str, Any], **more: Any) -> str:
        job_id: str = await self.submit(graph, **more)
        await self.peer.jobs.wait(job_id, PATIENCE_S)
        return job_id

    async def charges(self, job_id: str) -> dict[str, int]:
        """Credits by node."""
        columns = node_executions.c
        statement = select(columns.node_id, columns.amount_microcredits).where(columns.run_id == job_id)
        rows = await self.peer.application[keys.DATABASE].read(lambda connection: connection.execute(statement).all())
        return {row.node_id: row.amount_microcredits // MICROCREDITS for row in rows}

    def list(self, **lines: RoyaltyLine) -> None:
        """Let resources owe royalties."""
        book = Book(dict(lines))
        self.peer.application[MARKET].royalties = lambda connection: book


@asynccontextmanager
async def shop(data: Path, **market: Any) -> AsyncIterator[Shop]:
    settings = {"enabled": True, "trial": False, **market}
    async with served(data, multi_user=True, market=settings) as peer:
        made = await peer.json("POST", "/api/users", json={"username": "buyer"})
        yield Shop(peer, made)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(tmp_path / "data") as running:
        await running.give(1000)
        yield running


def drawing(count: int = 1, value: int = 0, **more: Any) -> dict[str, Any]:
    return nodes.linked("Draw", count=count, value=value, **more)


async def test_a_finished_node_is_charged_and_the_rest_of_the_hold_goes_back(opened: Shop) -> None:
    job_id = await opened.run(drawing(count=3))
    assert await opened.charges(job_id) == {"1": 60}
    assert await opened.balance() == (940, 0)


async def test_too_few_credits_refuse_before_anything_runs_and_say_how_many(opened: Shop) -> None:
    answer = await opened.submit(drawing(count=51), 402)
    assert answer["error"]["code"] == "insufficient_credits"
    assert answer["error"]["details"] == {"balance": 1000 * MICROCREDITS, "required": 1020 * MICROCREDITS}
    assert await opened.balance() == (1000, 0)
    assert (await opened.peer.jobs.jobs())[1] == 0


async def test_what_comes_from_the_cache_is_free(opened: Shop) -> None:
    await opened.run(drawing(count=2, value=7))
    again = await opened.run(drawing(count=2, value=7))
    assert sum((await opened.charges(again)).values()) == 0
    assert await opened.balance() == (960, 0)


async def test_what_fails_is_free_and_what_finished_before_it_is_not(opened: Shop) -> None:
    graph = drawing(count=2) | {"3": nodes.whole("Draw", count=5, fail=True)}
    graph["3"]["inputs"]["value"] = ["1", 0]
    graph["2"]["inputs"]["value"] = ["3", 0]
    job_id = await opened.run(graph)
    assert await opened.charges(job_id) == {"1": 40}
    assert await opened.balance() == (960, 0)


async def test_a_job_that_is_cancelled_before_it_began_costs_nothing(opened: Shop) -> None:
    nodes.GATES.clear()
    gates = [await opened.submit(nodes.linked("Gate", name="wait")) for _ in range(4)]
    job_id = await opened.submit(drawing(count=5))
    assert await opened.balance() == (900, 100)
    await opened.peer.jobs.cancel(job_id)
    assert await opened.balance() == (1000, 0)
    nodes.GATES["wait"].set()
    for gate in gates:
        await opened.peer.jobs.wait(gate, PATIENCE_S)


async def test_nodes_that_a_node_goes_on_as_are_charged_one_by_one(opened: Shop) -> None:
    job_id = await opened.run(nodes.linked("Album", pages=3, each=1))
    charges = await opened.charges(job_id)
    assert sorted(amount for amount in charges.values() if amount) == [20, 20, 20]
    assert await opened.balance() == (940, 0)


async def test_a_node_that_grows_beyond_its_line_of_the_quote_costs_no_more_than_that(opened: Shop) -> None:
    job_id = await opened.run(nodes.linked("Album", pages=2, each=5))
    assert sum((await opened.charges(job_id)).values()) == 40
    assert await opened.balance() == (960, 0)


def style(opened: Shop, name: str) -> str:
    """A LoRA file; its resource."""
    folder = opened.peer.folders.models / "loras"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(name.encode())
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()


async def test_royalties_are_divided_and_due_for_every_use_also_of_what_was_made_before(opened: Shop) -> None:
    resource = style(opened, "ink.safetensors")
    line = RoyaltyLine("ann/ink", "ann", "lora", "per_use", 20 * MICROCREDITS, resource)
    opened.list(**{resource: line})
    graph = nodes.linked("Style", name="ink.safetensors", value=0)
    for _ in range(2):
        job_id = await opened.run(graph)
        assert await opened.charges(job_id) == {"1": 20}
    assert await opened.balance() == (960, 0)
    database = opened.peer.application[keys.DATABASE]
    earned = await database.read(ledger.earnings, "ann")
    assert earned.accrued == 30 * MICROCREDITS
    uses = await database.read(
        lambda connection: connection.execute(select(listing_uses.c.split, listing_uses.c.earned_microcredits)).all()
    )
    assert [tuple(row) for row in uses] == [("*:7500:royalty", 15 * MICROCREDITS)] * 2


async def test_single_user_mode_stays_free(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as peer:
        job_id = await peer.submit(drawing(count=1000))
        await peer.done(job_id)
        assert MARKET not in peer.application
        rows = await peer.application[keys.DATABASE].read(lambda connection: connection.execute(select(node_executions)).all())
        assert rows == []


async def test_a_quote_names_every_line_and_a_receipt_has_the_same_lines(opened: Shop) -> None:
    resource = style(opened, "ink.safetensors")
    opened.list(**{resource: RoyaltyLine("ann/ink", "ann", "style_premium", "per_use", 15 * MICROCREDITS, resource)})
    graph = drawing(count=2, value=3) | {"3": nodes.whole("Style", name="ink.safetensors")}
    graph["3"]["inputs"]["value"] = ["1", 0]
    graph["2"]["inputs"]["value"] = ["3", 0]
    quote = await opened.peer.json("POST", "/api/v1/quote", json=graph, headers=opened.headers)
    assert (quote["plan"], quote["book"], quote["total"], quote["maximum"], quote["enough"]) == ("house:payg", "house", 55, 55, True)
    drawn, styled = quote["lines"]
    assert drawn["operations"] == [
        {
            "operation": "image.standard", "quantity": 2, "unit": "image", "unit_price_microcredits": IMAGE, "adjustments": [], "covered": 0,
            "amount_microcredits": 2 * IMAGE,
        }
    ]  # fmt: skip
    assert styled["royalties"] == [
        {
            "listing": "ann/ink", "creator": "ann", "listing_type": "style_premium", "mode": "per_use", "amount_microcredits": 15 * MICROCREDITS,
            "earned_microcredits": 9 * MICROCREDITS, "split": "style_premium:6000:royalty",
        }
    ]  # fmt: skip
    job_id = await opened.run(graph)
    receipt = await opened.peer.json("GET", f"/api/v1/jobs/{job_id}/receipt", headers=opened.headers)
    assert (receipt["state"], receipt["charged"], receipt["pending"]) == ("completed", 55, [])
    assert receipt["lines"] == quote["lines"]
    results = await opened.peer.json("GET", f"/api/v1/jobs/{job_id}/results", headers=opened.headers)
    assert results["made"]["cost_microcredits"] == 55_000_000
    again = await opened.peer.json("POST", "/api/v1/quote", json=graph, headers=opened.headers)
    assert (again["total"], again["maximum"], [line["free"] for line in again["lines"]]) == (15, 55, [True, True])


async def test_nobody_sees_another_s_receipt_nor_what_they_made(opened: Shop) -> None:
    job_id = await opened.run(drawing(count=2, value=9))
    other = await opened.peer.json("POST", "/api/users", json={"username": "other"})
    headers = {"comfy-user": other}
    missing = await opened.peer.json("GET", f"/api/v1/jobs/{job_id}/receipt", 404, headers=headers)
    assert missing["error"]["code"] == "receipt_not_found"
    quote = await opened.peer.json("POST", "/api/v1/quote", json=drawing(count=2, value=9), headers=headers)
    assert quote["total"] == quote["maximum"] == 40


async def test_a_workflow_of_the_editor_is_quoted_too(opened: Shop) -> None:
    workflow = {
        "nodes": [
            {
                "id": 1, "type": "Draw", "widgets_values": [0, 4, False], "inputs": [], "mode": 0,
                "outputs": [{"name": "INT", "type": "INT", "links": [7]}],
            },
            {"id": 2, "type": "Show", "inputs": [{"name": "value", "type": "INT", "link": 7}], "outputs": [], "mode": 0, "widgets_values": []},
        ],
        "links": [[7, 1, 0, 2, 0, "INT"]],
        "version": 0.4,
    }  # fmt: skip
    quote = await opened.peer.json("POST", "/api/v1/quote", json={"graph": workflow}, headers=opened.headers)
    assert quote["maximum"] == 80


async def test_what_the_plan_does_not_allow_is_refused_with_the_plans_that_do(tmp_path: Path) -> None:
    async with shop(tmp_path / "data", default_plan="api-001:free") as opened:
        refused = await opened.submit(nodes.linked("Album"), 403)
        assert refused["error"]["code"] == "not_in_plan"
        assert refused["error"]["details"] == {
            "plan": "api-001:free", "entitlement": "resolution", "limit": 512, "asked": 2048, "upgrade": ["api-001:enterprise"],
        }  # fmt: skip
        quote = await opened.peer.json("POST", "/api/v1/quote", json=nodes.linked("Album"), headers=opened.headers)
        assert quote["refusal"]["code"] == "not_in_plan"
        answer = await opened.submit(drawing(count=6), 402)
        assert answer["error"]["details"]["required"] == 500 * MICROCREDITS  # five of six are in the plan
        await opened.give(1000)
        job_id = await opened.run(drawing(count=3))
        assert await opened.charges(job_id) == {"1": 0}
        plan = await opened.peer.json("GET", "/api/v1/subscription", headers=opened.headers)
        assert (plan["plan"]["id"], plan["used"], plan["status"]) == ("api-001:free", {"images": 3}, "none")
        failed = drawing(count=2, fail=True, value=5)
        await opened.run(failed)
        plan = await opened.peer.json("GET", "/api/v1/subscription", headers=opened.headers)
        assert plan["used"] == {"images": 3}


async def test_the_margin_report_names_plans_that_lose_money(opened: Shop) -> None:
    report = await opened.peer.json("GET", "/api/v1/admin/margins", headers=opened.headers)
    found = {(plan["plan"], plan["currency"]): plan for plan in report["plans"]}
    starter = found["api-001:starter", "USD"]
    assert (starter["loses"], starter["worst_operation"], starter["worst_cost_microcredits"]) == (True, "image.flux", 12_000 * MICROCREDITS)
    assert starter["income_microcredits"] == 9_990 * MICROCREDITS
    assert not found["marty-004:starter", "INR"]["loses"]


async def test_new_people_are_given_credits_once(tmp_path: Path) -> None:
    async with shop(tmp_path / "data", trial=True) as opened:
        for _ in range(2):
            plan = await opened.peer.json("GET", "/api/v1/subscription", headers=opened.headers)
            assert plan["usage"]["spendable_microcredits"] == 500 * MICROCREDITS


async def test_with_the_market_off_its_routes_say_so(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as peer:
        for method, path in (("POST", "/api/v1/quote"), ("GET", "/api/v1/plans"), ("GET", "/api/v1/jobs/x/receipt")):
            answer = await peer.json(method, path, 503, **({"json": drawing()} if method == "POST" else {}))
            assert answer["error"]["code"] == "market_off"


async def test_comfy_clients_are_told_in_their_own_way(opened: Shop) -> None:
    answer = await opened.peer.json("POST", "/prompt", 402, json={"prompt": drawing(count=100)}, headers=opened.headers)
    assert answer["error"]["type"] == "insufficient_credits"
    assert answer["error"]["extra_info"]["required"] == 2000 * MICROCREDITS


POSTER = "listing:ann/poster@1.0.0"


def publish(opened: Shop, graph: dict[str, Any]) -> str:
    """Let a graph with an input `count` and an output stand as one node; its resource."""
    definition = {
        "graph": graph,
        "inputs": [{"name": "count", "node": "draw", "input": "count", "type": "INT", "required": True, "options": {}}],
        "outputs": [{"name": "value", "node": "style", "slot": 0, "type": "INT"}],
        "shows": [],
        "previews": [],
    }
    content = "c0ffee" * 10
    made = PublishedGraph("ann/poster", "1.0.0", "Poster", "", content, orjson.dumps(definition))
    packed = pack(Closure({POSTER: made}))

    async def find(names: Any, owner: str) -> bytes:
        return packed

    opened.peer.application[keys.CHECK].find_published = find
    return content


async def test_nodes_inside_a_published_graph_are_charged_one_by_one_and_shown_as_one(opened: Shop) -> None:
    ink = style(opened, "ink.safetensors")
    inside = {"draw": nodes.whole("Draw", value=4), "style": nodes.whole("Style", name="ink.safetensors")}
    inside["style"]["inputs"]["value"] = ["draw", 0]
    poster = publish(opened, inside)
    opened.list(
        **{
            ink: RoyaltyLine("cem/ink", "cem", "lora", "per_use", 20 * MICROCREDITS, ink),
            poster: RoyaltyLine("ann/poster", "ann", "workflow", "per_use", 40 * MICROCREDITS, poster),
        }
    )
    graph = {"p": {"class_type": POSTER, "inputs": {"count": 3}}, "show": {"class_type": "Show", "inputs": {"value": ["p", 0]}}}
    quote = await opened.peer.json("POST", "/api/v1/quote", json=graph, headers=opened.headers)
    assert (quote["maximum"], len(quote["lines"])) == (120, 1)
    assert [line["listing"] for line in quote["lines"][0]["royalties"]] == ["ann/poster"]
    job_id = await opened.run(graph)
    assert await opened.charges(job_id) == {"p#draw": 60, "p#style": 20, "p": 40}
    receipt = await opened.peer.send("GET", f"/api/v1/jobs/{job_id}/receipt", headers=opened.headers)
    for hidden in (b"cem", b"ink", b"Draw", b"Style", b"image.standard", b"p#"):
        assert hidden not in receipt
    assert orjson.loads(receipt)["charged"] == 120
    again = await opened.run(graph)
    assert sum((await opened.charges(again)).values()) == 60  # made before: royalties alone, of both
    database = opened.peer.application[keys.DATABASE]
    earned = [(await database.read(ledger.earnings, creator)).accrued // MICROCREDITS for creator in ("ann", "cem")]
    assert earned == [60, 30]
    assert await opened.balance() == (820, 0)


@pytest.mark.filterwarnings("ignore")
def test_the_routes_of_prices_keep_their_promises_under_made_up_requests(tmp_path: Path) -> None:
    with in_a_thread(served(tmp_path / "data", market={"enabled": True})) as (address, headers):
        tried, faults = faults_of(address, headers, frozenset({"Prices", "Plans"}))
    assert tried == 5
    assert not faults, "\n\n".join(faults)
