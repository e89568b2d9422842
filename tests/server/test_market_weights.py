"""Weights that are sold: named in graphs by who may use them, seen in no list, taken away by nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy
import orjson
import pytest_asyncio
from safetensors.numpy import save

from marquetry.engine.folders import PRIVATE_WEIGHTS
from marquetry.server.keys import CHECK
from marquetry.server.published.catalogue import CATALOGUE
from tests.server.secrets import served
from tests.server.test_market import Shop

WEIGHTS = save({"hush": numpy.ones(4, numpy.float32)}, {"made": "hush by ann"})


@pytest_asyncio.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with served(tmp_path / "data", inline=True) as peer:
        peer.application[CATALOGUE]._enforce = True  # as with the market on, without its prices
        shop = Shop(peer)
        for name in ("ann", "carl"):
            shop.people[name] = await peer.json("POST", "/api/users", json={"username": name})
        await shop.ask("ann", "PUT", "/marketplace/creator", json={"handle": "ann", "name": "Ann"})
        yield shop


async def kept(shop: Shop, data: bytes = WEIGHTS, status: int = 201) -> Any:
    return await shop.ask("ann", "POST", "/marketplace/weights?kind=loras&name=ink.safetensors", status, data=data)


async def listed(shop: Shop, **more: Any) -> tuple[str, str]:
    """A LoRA that is sold: id of the listing, name of the file."""
    file = await kept(shop)
    version = {"files": [{"kind": "loras", "name": file["name"]}]}
    more = {"pricing": "one_time", "price_microcredits": 100, **more}
    made = await shop.list(kind="lora", slug="ink", version=version, **more)
    return made["id"], file["name"]


def using(name: str) -> dict[str, Any]:
    return {"1": {"class_type": "ReadWeights", "inputs": {"lora_name": name}}, "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}


async def checked(shop: Shop, who: str, graph: dict[str, Any]) -> Any:
    """What the check of graphs says of a graph of somebody's."""
    from marquetry.marketplace.errors import MarketError

    try:
        found = await shop.peer.application[CHECK].check(graph, None, shop.people[who])
    except MarketError as error:
        return error.code
    return [problem.type for problem in found.problems]


async def test_only_who_bought_them_names_them(shop: Shop) -> None:
    id, name = await listed(shop)
    assert await checked(shop, "ann", using(name)) == []
    assert await checked(shop, "carl", using(name)) == "not_entitled"
    assert (await shop.ask("carl", "GET", f"/marketplace/item/{id}/weights", 402))["error"]["code"] == "not_entitled"
    await shop.credit("carl", 100)
    await shop.ask("carl", "POST", "/marketplace/purchase", json={"listing": id})
    (file,) = (await shop.ask("carl", "GET", f"/marketplace/item/{id}/weights"))["files"]
    assert file["name"] == name
    assert await checked(shop, "carl", using(name)) == []


async def test_a_file_that_is_not_listed_is_its_creators(shop: Shop) -> None:
    file = await kept(shop)
    assert await checked(shop, "ann", using(file["name"])) == []
    assert await checked(shop, "carl", using(file["name"])) == "private_weights"


async def test_names_stand_in_inputs_for_files_and_nowhere_else(shop: Shop) -> None:
    _, name = await listed(shop)
    for graph in (
        {
            "1": {"class_type": "PrimitiveString", "inputs": {"value": name}},
            "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
        },
        using(name.replace("/", "\\")),
        using("./" + name),
        using(f"x/../{name}"),
    ):
        assert await checked(shop, "ann", graph) == "private_weights"


async def test_a_name_that_comes_by_a_link_is_refused_when_it_arrives(shop: Shop) -> None:
    _, name = await listed(shop)
    graph = {
        "1": {"class_type": "Spell", "inputs": {"backwards": name[::-1]}},
        "2": {"class_type": "ReadAny", "inputs": {"name": ["1", 0]}},
        "3": {"class_type": "Show", "inputs": {"value": ["2", 0]}},
    }
    assert await checked(shop, "carl", graph) == []
    headers = {"comfy-user": shop.people["carl"], "Prefer": "wait=20"}
    done = await shop.peer.json("POST", "/api/v1/jobs", json={"graph": graph}, headers=headers)
    assert done["state"] == "failed"
    assert "never by a link" in done["error"]["message"]


async def test_what_saves_models_runs_beside_no_private_weights(shop: Shop) -> None:
    _, name = await listed(shop)
    graph = {**using(name), "9": {"class_type": "SaveModelFile", "inputs": {"model": ["1", 1]}}}
    assert await checked(shop, "ann", graph) == "private_weights"


async def test_no_list_and_no_route_shows_them(shop: Shop) -> None:
    id, name = await listed(shop)
    headers = {"comfy-user": shop.people["carl"]}
    for path in ("/models/loras", "/experiment/models/loras", "/api/v1/models", "/api/v1/models/loras", "/object_info/ReadWeights",
                 f"/api/v1/marketplace/item/{id}"):  # fmt: skip
        data = await shop.peer.send("GET", path, headers=headers)
        assert PRIVATE_WEIGHTS.encode() not in data and b"hush" not in data
    quoted = name.replace("/", "%2F")
    for path, status in ((f"/view_metadata/loras?filename={quoted}", 404), (f"/api/v1/models/loras/{quoted}", 404),
                         (f"/experiment/models/preview/loras/0/{quoted}", 404), (f"/api/v1/marketplace/item/{id}/download/0", 403)):  # fmt: skip
        await shop.peer.send("GET", path, status, headers=headers)


async def test_what_may_be_taken_away_is_by_who_may_use_it(shop: Shop) -> None:
    id, _ = await listed(shop, pricing="free", price_microcredits=0, downloadable=True)
    data = await shop.peer.send("GET", f"/api/v1/marketplace/item/{id}/download/0", headers={"comfy-user": shop.people["carl"]})
    assert data == WEIGHTS


async def test_what_is_no_safetensors_file_is_not_kept(shop: Shop) -> None:
    refused = await kept(shop, b"\x80\x04pickle", status=422)
    assert refused["error"]["code"] == "invalid_model_file"
    folder = shop.peer.folders.model_folders("loras")[0] / PRIVATE_WEIGHTS
    assert [path for path in folder.rglob("*") if path.is_file()] == []


async def test_weights_that_are_here_for_everybody_are_not_sold(shop: Shop) -> None:
    open_place = shop.peer.folders.model_folders("loras")[0]
    open_place.mkdir(parents=True, exist_ok=True)
    (open_place / "known.safetensors").write_bytes(WEIGHTS)
    from marquetry.engine.models.store import ModelStore

    ModelStore(shop.peer.folders).hash_all()
    file = await kept(shop)
    version = {"files": [{"kind": "loras", "name": file["name"]}]}
    refused = await shop.list(kind="lora", slug="ink", version=version, status=400)
    assert "for everybody" in refused["error"]["message"]


async def test_a_graph_may_hold_its_creators_own_weights(shop: Shop) -> None:
    _, name = await listed(shop)
    graph = {"1": {"class_type": "ReadWeights", "inputs": {"lora_name": name}}}
    workflow = {"graph": graph, "outputs": [{"name": "size", "node": "1"}]}
    await shop.list(slug="inked", version={"workflow": workflow})
    outer = {"1": {"class_type": "listing:ann/inked", "inputs": {}}, "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}
    assert await checked(shop, "carl", outer) == []
    headers = {"comfy-user": shop.people["carl"], "Prefer": "wait=20"}
    done = await shop.peer.json("POST", "/api/v1/jobs", json={"graph": outer}, headers=headers)
    assert done["state"] == "completed"
    assert PRIVATE_WEIGHTS not in orjson.dumps(done).decode()


async def test_models_are_found_by_type_and_tags_with_what_the_market_offers(shop: Shop) -> None:
    id, _ = await listed(shop, tags=["comic"])
    headers = {"comfy-user": shop.people["carl"]}
    found = await shop.peer.json("GET", "/api/v1/models?type=lora&tags=comic", headers=headers)
    assert ([item["id"] for item in found["listings"]], found["models"]) == ([id], [])
    assert (await shop.peer.json("GET", "/api/v1/models?type=checkpoint&tags=comic", headers=headers))["listings"] == []
    assert (await shop.peer.json("GET", "/api/v1/models", headers=headers))["listings"] == []
