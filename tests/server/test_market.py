"""The market over HTTP: listing, finding, buying, reviewing, collecting, moderating; and what is somebody's own stays theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest_asyncio

from marquetry.marketplace import ledger
from marquetry.server.jobs.live import now_ms
from marquetry.server.keys import DATABASE, SETTINGS
from marquetry.server.published.work import _operation
from tests.server.peer import Peer
from tests.server.secrets import served

GRAPH = {"1": {"class_type": "Add", "inputs": {"a": 1, "b": 2}}}
WORKFLOW = {
    "graph": GRAPH,
    "inputs": [{"name": "first", "node": "1", "input": "a"}],
    "outputs": [{"name": "sum", "node": "1"}],
}


@dataclass
class Shop:
    peer: Peer
    people: dict[str, str] = field(default_factory=dict)

    async def ask(self, who: str, method: str, path: str, status: int = 200, **request: Any) -> Any:
        """A route of the market, as somebody."""
        headers = {"comfy-user": self.people[who]}
        return await self.peer.json(method, f"/api/v1{path}", status, headers=headers, **request)

    async def list(self, who: str = "ann", slug: str = "sum", status: int = 201, **more: Any) -> Any:
        body = {"kind": "workflow", "slug": slug, "title": slug.title(), "licence": "MIT", "publish": True, **more}
        body.setdefault("version", {"workflow": WORKFLOW})
        return await self.ask(who, "POST", "/marketplace/list", status, json=body)

    async def credit(self, who: str, amount_microcredits: int) -> None:
        def work(connection: Any) -> None:
            ledger.credit(connection, owner=self.people[who], amount_microcredits=amount_microcredits, purse="paid", kind="purchase",
                          key=f"gift {who}", now_ms=now_ms())  # fmt: skip

        await self.peer.application[DATABASE].write(_operation, work)


@pytest_asyncio.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with served(tmp_path / "data", inline=True) as peer:
        shop = Shop(peer)
        for name in ("ann", "bob", "carl"):
            shop.people[name] = await peer.json("POST", "/api/users", json={"username": name})
        for name in ("ann", "bob"):
            await shop.ask(name, "PUT", "/marketplace/creator", json={"handle": name, "name": name.title()})
        yield shop


async def test_a_draft_is_nobody_elses(shop: Shop) -> None:
    draft = await shop.list(publish=False)
    assert draft["state"] == "draft"
    for who, status in (("ann", 200), ("carl", 404)):
        await shop.ask(who, "GET", f"/marketplace/item/{draft['id']}", status)
        await shop.ask(who, "GET", "/run/ann/sum", 404)  # nothing is published yet
    assert (await shop.ask("carl", "GET", "/marketplace/search?q=sum"))["items"] == []
    assert [item["id"] for item in (await shop.ask("ann", "GET", "/marketplace/mine"))["items"]] == [draft["id"]]
    assert (await shop.ask("carl", "GET", "/marketplace/mine"))["items"] == []
    await shop.ask("carl", "POST", f"/marketplace/versions/{draft['version_id']}/submit", 404)
    await shop.ask("ann", "POST", f"/marketplace/versions/{draft['version_id']}/submit")
    await shop.ask("carl", "GET", f"/marketplace/item/{draft['id']}")


async def test_another_creator_changes_nothing_of_it(shop: Shop) -> None:
    listed = await shop.list()
    item, version = listed["id"], listed["version_id"]
    for method, path, body in (
        ("PATCH", f"/marketplace/item/{item}", {"title": "mine"}),
        ("DELETE", f"/marketplace/item/{item}", None),
        ("POST", f"/marketplace/item/{item}/withdraw", None),
        ("POST", f"/marketplace/item/{item}/restore", None),
        ("POST", f"/marketplace/item/{item}/versions", {"version": "2.0.0", "workflow": WORKFLOW}),
        ("POST", f"/marketplace/versions/{version}/withdraw", None),
        ("DELETE", f"/marketplace/versions/{version}", None),
        ("GET", f"/marketplace/versions/{version}/graph", None),
    ):
        refused = await shop.ask("bob", method, path, 403, **({} if body is None else {"json": body}))
        assert refused["error"]["code"] == "not_the_creator"


async def test_a_listing_is_found_shown_and_run(shop: Shop) -> None:
    listed = await shop.list(tags=["maths"], summary="adds numbers")
    assert (listed["name"], listed["node_type"], listed["version"]) == ("ann/sum", "listing:ann/sum", "1.0.0")
    (found,) = (await shop.ask("carl", "GET", "/marketplace/search?q=numbers&tags=maths&kind=workflow,lora"))["items"]
    item = await shop.ask("carl", "GET", "/marketplace/item/ann%2Fsum")
    assert found["id"] == item["id"] == listed["id"]
    assert item["interface"]["input"]["optional"]["first"] == ["INT", {"default": 1}]
    assert (item["entitled"], item["mine"], item["creator_name"]) == (True, False, "Ann")
    graph = {"1": {"class_type": "listing:ann/sum", "inputs": {"first": 40}}, "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}
    done = await shop.peer.done(await submitted(shop, graph))
    assert done["outputs"] == {"2": {"value": [42]}}


async def submitted(shop: Shop, graph: dict[str, Any]) -> str:
    taken = await shop.peer.json("POST", "/prompt", json={"prompt": graph}, headers={"comfy-user": shop.people["carl"]})
    await shop.peer.jobs.wait(taken["prompt_id"], 20)
    shop.peer.session.headers["comfy-user"] = shop.people["carl"]
    return str(taken["prompt_id"])


async def test_an_older_version_can_be_pinned_in_a_graph(shop: Shop) -> None:
    listed = await shop.list()
    workflow = {**WORKFLOW, "graph": {"1": {"class_type": "Add", "inputs": {"a": 1, "b": 100}}}}
    newer = await shop.ask(
        "ann", "POST", f"/marketplace/item/{listed['id']}/versions", 201, json={"version": "1.1.0", "workflow": workflow}
    )
    await shop.ask("ann", "POST", f"/marketplace/versions/{newer['version_id']}/submit")
    sums = []
    for name in ("listing:ann/sum", "listing:ann/sum@1.0.0"):
        graph = {"1": {"class_type": name, "inputs": {}}, "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}
        sums.append((await shop.peer.done(await submitted(shop, graph)))["outputs"]["2"]["value"])
    assert sums == [[101], [3]]


async def test_buying_moves_credits_once_and_shows_in_the_statistics(shop: Shop) -> None:
    listed = await shop.list(pricing="one_time", price_microcredits=1_000)
    await shop.ask("carl", "POST", "/marketplace/purchase", 402, json={"listing": listed["id"], "key": "k"})
    await shop.credit("carl", 5_000)
    await shop.ask("ann", "POST", "/marketplace/coupons", 201, json={"code": "TEN", "percent": 10})
    for replayed in (False, True):
        sale = await shop.ask("carl", "POST", "/marketplace/purchase", json={"listing": "ann/sum", "key": "k", "coupon": "ten"})
        assert (sale["price_microcredits"], sale["replayed"]) == (900, replayed)
    assert [row["name"] for row in (await shop.ask("carl", "GET", "/marketplace/purchases"))["purchases"]] == ["ann/sum"]
    assert (await shop.ask("carl", "GET", f"/marketplace/item/{listed['id']}"))["entitled"] is True
    stats = await shop.ask("ann", "GET", "/marketplace/creator/stats?days=2")
    assert stats["accrued_microcredits"] == 675
    assert (stats["listings"][0]["sales"], stats["listings"][0]["earned_by_sales_microcredits"]) == (1, 675)
    earnings = await shop.ask("ann", "GET", "/user/earnings")
    assert [(entry["kind"], entry["accrued_microcredits"]) for entry in earnings["entries"]] == [("earning", 675)]
    assert (await shop.ask("carl", "GET", "/user/earnings"))["accrued_microcredits"] == 0


async def test_reviews_come_from_who_bought_and_are_answered(shop: Shop) -> None:
    listed = await shop.list(pricing="one_time", price_microcredits=10)
    path = f"/marketplace/item/{listed['id']}"
    await shop.ask("carl", "PUT", f"{path}/review", 403, json={"stars": 5})
    await shop.credit("carl", 10)
    await shop.ask("carl", "POST", "/marketplace/purchase", json={"listing": listed["id"]})
    made = await shop.ask("carl", "PUT", f"{path}/review", json={"stars": 4, "text": "adds up"})
    await shop.ask("bob", "PUT", f"/marketplace/reviews/{made['id']}/reply", 403, json={"text": "hm"})
    await shop.ask("ann", "PUT", f"/marketplace/reviews/{made['id']}/reply", json={"text": "thank you"})
    (review,) = (await shop.ask("bob", "GET", f"{path}/reviews"))["reviews"]
    assert (review["stars"], review["reply"], review["mine"]) == (4, "thank you", False)
    assert (await shop.ask("bob", "GET", path))["stars"] == 4


async def test_collections_favourites_and_follows_are_the_callers_own(shop: Shop) -> None:
    listed = await shop.list()
    await shop.ask("carl", "PUT", f"/marketplace/item/{listed['id']}/favourite")
    assert [item["id"] for item in (await shop.ask("carl", "GET", "/marketplace/favourites"))["items"]] == [listed["id"]]
    assert (await shop.ask("bob", "GET", "/marketplace/favourites"))["items"] == []
    made = await shop.ask("carl", "POST", "/marketplace/collections", 201, json={"title": "Sums", "items": [listed["id"]]})
    await shop.ask("bob", "GET", f"/marketplace/collections/{made['id']}", 404)
    await shop.ask("bob", "DELETE", f"/marketplace/collections/{made['id']}", 404)
    body = {"title": "Sums", "public": True}
    await shop.ask("carl", "PUT", f"/marketplace/collections/{made['id']}", json=body)
    assert len((await shop.ask("bob", "GET", f"/marketplace/collections/{made['id']}"))["items"]) == 1
    assert (await shop.ask("carl", "PUT", "/marketplace/creators/ann/follow"))["followers"] == 1
    assert (await shop.ask("carl", "GET", "/marketplace/creators/ann"))["followed"] is True
    exported = await shop.ask("ann", "GET", "/marketplace/creator/followers")
    assert [entry["user"] for entry in exported["followers"]] == [shop.people["carl"]]


async def test_a_report_that_is_upheld_takes_the_listing_away_from_everybody(shop: Shop) -> None:
    listed = await shop.list()
    await shop.ask("carl", "POST", f"/marketplace/item/{listed['id']}/report", json={"reason": "stolen"})
    (report,) = (await shop.ask("bob", "GET", "/marketplace/moderation/reports"))["reports"]
    await shop.ask("bob", "POST", f"/marketplace/moderation/reports/{report['id']}", json={"uphold": True, "resolution": "it was"})
    await shop.ask("carl", "GET", f"/marketplace/item/{listed['id']}", 404)
    assert (await shop.ask("ann", "GET", f"/marketplace/item/{listed['id']}"))["state_reason"] == "it was"
    graph = {"1": {"class_type": "listing:ann/sum", "inputs": {}}, "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}
    headers = {"comfy-user": shop.people["carl"]}
    refused = await shop.peer.json("POST", "/prompt", 400, json={"prompt": graph}, headers=headers)
    assert refused["error"]["type"] == "invalid_prompt"
    await shop.ask("bob", "POST", f"/marketplace/moderation/items/{listed['id']}/put-back")
    await shop.ask("carl", "GET", f"/marketplace/item/{listed['id']}")


async def test_what_is_put_in_front_is_shown(shop: Shop) -> None:
    listed = await shop.list()
    slot = {"listing": listed["id"], "slot": "home", "starts_ms": 0, "ends_ms": 2**50}
    made = await shop.ask("bob", "POST", "/marketplace/moderation/featured", 201, json=slot)
    assert [item["id"] for item in (await shop.ask("carl", "GET", "/marketplace/featured/home"))["items"]] == [listed["id"]]
    await shop.ask("bob", "DELETE", f"/marketplace/moderation/featured/{made['id']}")
    assert (await shop.ask("carl", "GET", "/marketplace/featured/home"))["items"] == []


async def test_with_review_required_a_moderator_publishes(tmp_path: Path) -> None:
    async with served(tmp_path / "data", inline=True, listings={"review_required": True}) as peer:
        shop = Shop(peer)
        shop.people["ann"] = await peer.json("POST", "/api/users", json={"username": "ann"})
        await shop.ask("ann", "PUT", "/marketplace/creator", json={"handle": "ann", "name": "Ann"})
        listed = await shop.list()
        assert listed["state"] == "review"
        (waiting,) = (await shop.ask("ann", "GET", "/marketplace/moderation/versions"))["versions"]
        await shop.ask("ann", "POST", f"/marketplace/moderation/versions/{waiting['id']}/approve")
        assert (await shop.ask("ann", "GET", f"/marketplace/item/{listed['id']}"))["state"] == "published"


async def test_without_a_handle_nothing_is_listed(shop: Shop) -> None:
    refused = await shop.list("carl", status=404)
    assert refused["error"]["code"] == "creator_not_found"


async def test_earnings_are_paid_out_and_stated(shop: Shop) -> None:
    listed = await shop.list(pricing="one_time", price_microcredits=40_000_000_000)
    await shop.credit("carl", 40_000_000_000)
    await shop.ask("carl", "POST", "/marketplace/purchase", json={"listing": listed["id"]})
    (begun,) = (await shop.ask("bob", "POST", "/marketplace/payouts/run"))["payouts"]
    assert (begun["usd_cents"], begun["state"]) == (3_000, "begun")
    assert (await shop.ask("bob", "POST", "/marketplace/payouts/run"))["payouts"] == []
    headers = {"comfy-user": shop.people["ann"]}
    csv = await shop.peer.send("GET", "/api/v1/marketplace/payouts/open.csv", headers=headers)
    assert begun["id"].encode() in csv
    await shop.ask("bob", "POST", f"/marketplace/payouts/{begun['id']}/settle", json={"transfer": "wire 1"})
    (own,) = (await shop.ask("ann", "GET", "/user/payouts"))["payouts"]
    assert (own["state"], own["transfer"]) == ("settled", "wire 1")
    statement = await shop.peer.send("GET", f"/api/v1/user/payouts/{begun['id']}/statement", headers=headers)
    assert statement.startswith(b"%PDF-")
    await shop.ask("carl", "GET", f"/user/payouts/{begun['id']}/statement", 404)


async def test_a_provider_that_is_set_up_is_told_once_and_settles(shop: Shop) -> None:
    from marquetry.marketplace.listings.payouts import Payout
    from marquetry.server.published.paying import TRANSFERS, pay

    sent: list[str] = []

    class Recorder:
        """A provider at the interface: keeps what it is told, once per payout."""

        method = "recorder"

        async def transfer(self, payout: Payout) -> str:
            sent.append(payout.id)
            if len(sent) == 1:
                raise ConnectionError("the provider is away")
            return f"tr_{payout.cents}"

    application = shop.peer.application
    listed = await shop.list(pricing="one_time", price_microcredits=40_000_000_000)
    await shop.credit("carl", 40_000_000_000)
    await shop.ask("carl", "POST", "/marketplace/purchase", json={"listing": listed["id"]})
    application[TRANSFERS]["recorder"] = Recorder()
    object.__setattr__(application[SETTINGS].listings, "payout_method", "recorder")
    for state in ("begun", "settled", "settled"):
        await pay(application)
        (own,) = (await shop.ask("ann", "GET", "/user/payouts"))["payouts"]
        assert own["state"] == state
    assert len(sent) == 2 and sent[0] == sent[1]
    assert own["transfer"] == "tr_3000"
