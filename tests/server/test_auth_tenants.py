"""Tenants: with accounts, nobody sees, touches or hears what is another's. Every documented route is tried with another person's ids."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio

from marquetry.marketplace.accounts import api_keys, sessions
from tests.server import nodes
from tests.server.peer import PATIENCE_S, Peer, Socket
from tests.server.people import Somebody, accounts, add, with_accounts

SECRET = "what-only-ann-asked-for"
SEED = 987_654_321
PICTURE = f"red_{SEED}.png"
GATE = "tenants"
STREAMS = ("/ws", "/events", "/subscribe")
OWN = (
    "/workflow/list"  # holds what Bob himself kept under the name of Ann's picture; that it holds nothing of hers is shown with its routes
)
LEAST_ROUTES = 150


@dataclass
class Estate:
    """What Ann has: a job that is over, jobs that run and wait, a picture of it, a file, a key, a session."""

    ann: Somebody
    done: str
    busy: list[str]
    key_id: str


def painting(text: str = SECRET, seed: int = SEED) -> dict[str, Any]:
    return {"1": nodes.whole("Paint", colour="red", seed=seed, text=text)}


async def submit(who: Somebody, graph: dict[str, Any], client_id: str = "shared-name") -> str:
    taken = await who.json("POST", "/prompt", json={"prompt": graph, "client_id": client_id})
    return str(taken["prompt_id"])


@pytest_asyncio.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    nodes.GATES[GATE].clear()
    async with with_accounts(tmp_path / "data") as running:
        yield running
        nodes.GATES[GATE].set()


@pytest_asyncio.fixture
async def estate(peer: Peer) -> Estate:
    ann = await add(peer, "ann")
    done = await submit(ann, painting())
    await peer.jobs.wait(done, PATIENCE_S)
    busy = [await submit(ann, nodes.linked("Gate", name=GATE, value=number)) for number in range(6)]
    form = aiohttp.FormData()
    form.add_field("file", b"a,b\n1,2\n", filename="ann.csv", content_type="text/csv")
    await ann.json("POST", "/api/v1/files", 201, data=form)
    await ann.json("POST", "/userdata/ann.json", data=json.dumps({"note": SECRET}).encode())
    await ann.json("PUT", "/api/v1/user/profile", json={"name": SECRET})
    await ann.key("read")
    (key,) = await accounts(peer).read(api_keys.keys_of, ann.id)
    return Estate(ann, done, busy, key.id)


def value_of(name: str, schema: dict[str, Any], estate: Estate, *, looking: bool = False) -> Any:
    """What stands in a request at a name: Ann's, where that can be; her finished job for who looks, one that runs for who changes."""
    ids = [estate.done, *estate.busy]
    known = {
        "job_id": estate.done if looking else estate.busy[0], "prompt_id": estate.done if looking else estate.busy[0], "delete": ids, "job_ids": ids, "clear": True, "key_id": estate.key_id,
        "session_id": estate.ann.tokens["session_id"], "user_id": estate.ann.id, "owner": estate.ann.id, "filename": PICTURE, "name": PICTURE,
        "file": "ann.json", "folder": "output", "directory_type": "output", "id": estate.done, "clientId": "shared-name",
        "client_id": "shared-name", "dest": "mine.json", "dir": ".", "prompt": painting("bob", 1), "graph": painting("bob", 1),
    }  # fmt: skip
    if name in known:
        return known[name]
    kinds = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
    return kinds.get(str(schema.get("type")), estate.done)


def requests(document: dict[str, Any], estate: Estate) -> list[tuple[str, str, dict[str, Any]]]:
    """One request for each documented route, with Ann's ids in it."""

    def resolved(schema: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        return found

    made = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            given: dict[str, Any] = {}
            address, query = path, {}
            for parameter in operation.get("parameters", ()):
                value = value_of(parameter["name"], parameter["schema"], estate, looking=method == "get")
                if parameter["in"] == "path":
                    address = address.replace("{" + parameter["name"] + "}", str(value))
                elif parameter["in"] == "query" and (
                    parameter.get("required") or parameter["name"] in ("filename", "client_id", "job_id", "dir")
                ):
                    query[parameter["name"]] = str(value)
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" in content:
                properties = resolved(content["application/json"]["schema"]).get("properties", {})
                given["json"] = {name: value_of(name, resolved(schema), estate) for name, schema in properties.items()}
            made.append((method.upper(), address, {**given, "params": query}))
    return made


async def test_no_route_gives_or_changes_what_is_anothers(peer: Peer, estate: Estate) -> None:
    ann, bob = estate.ann, await add(peer, "bob")
    document = await bob.json("GET", "/api/openapi.json")
    tried, faults = 0, []
    for method, address, request in requests(document, estate):
        if address.endswith((*STREAMS, OWN, "/auth/refresh")) or "logout" in address:
            continue
        tried += 1
        async with peer.session.request(method, address, headers=bob.headers, allow_redirects=False, **request) as answer:
            body = await answer.read()
            told = [
                secret for secret in (SECRET, *([str(SEED)] if method == "GET" else [])) if secret.encode() in body and answer.status < 300
            ]
            if told or (answer.status >= 500 and answer.status != 503):
                faults.append(f"{method} {address} {request}: {answer.status} {body[:300]!r}")
    assert not faults, "\n".join(faults)
    assert tried > LEAST_ROUTES
    await still_has_everything(peer, estate)
    await ann.json("GET", "/auth/me")


async def still_has_everything(peer: Peer, estate: Estate) -> None:
    """Whatever others asked for, Ann's things are as they were."""
    ann = estate.ann
    assert SECRET in json.dumps(await ann.json("GET", f"/history/{estate.done}"))
    assert (await peer.send("GET", f"/view?filename={PICTURE}", headers=ann.headers)).startswith(b"\x89PNG")
    assert await peer.send("GET", "/api/v1/files/input/ann.csv", headers=ann.headers) == b"a,b\n1,2\n"
    assert await ann.json("GET", "/userdata/ann.json") == {"note": SECRET}
    assert (await ann.json("GET", "/api/v1/user/profile"))["name"] == SECRET
    assert (await accounts(peer).read(api_keys.find_key, estate.key_id, ann.id)).revoked_ms is None
    assert await accounts(peer).read(sessions.sessions_of, ann.id, accounts(peer).clock_ms())
    nodes.GATES[GATE].set()
    ends = [await peer.jobs.wait(job_id, PATIENCE_S) for job_id in estate.busy]
    assert {str(job.state) for job in ends} == {"completed"}


async def test_the_sweep_would_find_what_it_looks_for(peer: Peer, estate: Estate) -> None:
    document = await estate.ann.json("GET", "/api/openapi.json")
    found = set()
    for method, address, request in requests(document, estate):
        if method == "GET" and not address.endswith((*STREAMS, "/events")):
            async with peer.session.get(address, headers=estate.ann.headers, **request) as answer:
                if SECRET.encode() in await answer.read() or (str(SEED) in address and answer.status == 200):
                    found.add(address)
    wanted = {"/history", f"/history/{estate.done}", f"/api/jobs/{estate.done}", "/userdata/ann.json", "/api/v1/user/profile"}
    assert wanted <= found and f"/api/v1/files/output/{PICTURE}" in found


async def test_lists_are_empty_for_who_has_nothing(peer: Peer, estate: Estate) -> None:
    bob = await add(peer, "bob")
    assert await bob.json("GET", "/queue") == {"queue_running": [], "queue_pending": []}
    assert await bob.json("GET", "/history") == {}
    assert (await bob.json("GET", "/api/v1/jobs"))["total"] == 0 == (await bob.json("GET", "/api/jobs"))["pagination"]["total"]
    assert (await bob.json("GET", "/api/v1/user/history"))["total"] == 0
    assert await bob.json("GET", "/internal/files/input") == [] == await bob.json("GET", "/v2/userdata")
    assert estate.done not in json.dumps(await bob.json("GET", "/api/v1/prompts/suggest?q=what"))
    await bob.json("GET", f"/api/v1/jobs/{estate.done}", 404)
    await bob.json("GET", f"/view?filename={PICTURE}", 404)
    await bob.json("GET", f"/view?filename={PICTURE}&subfolder=../{estate.ann.id}", 403)
    await bob.json("GET", f"/view?filename=../{estate.ann.id}/{PICTURE}", 400)


async def test_equal_names_of_two_people_are_two_files_and_two_clients(peer: Peer, estate: Estate) -> None:
    bob = await add(peer, "bob")
    job_id = await submit(bob, painting("bob", SEED))
    for who, text in ((estate.ann, b"ann"), (bob, b"bob")):
        await peer.json("POST", "/userdata/same.json", headers=who.headers, data=json.dumps({"of": text.decode()}).encode())
    nodes.GATES[GATE].set()
    await peer.jobs.wait(job_id, PATIENCE_S)
    assert (await bob.json("GET", "/userdata/same.json"), await estate.ann.json("GET", "/userdata/same.json")) == (
        {"of": "bob"},
        {"of": "ann"},
    )
    assert list(await bob.json("GET", "/history")) == [job_id]


async def test_a_socket_hears_of_its_own_persons_jobs_alone(peer: Peer, estate: Estate) -> None:
    bob = await add(peer, "bob")
    theirs = Socket(await peer.session.ws_connect("/ws?clientId=shared-name", headers=bob.headers))
    hers = Socket(await peer.session.ws_connect("/ws?clientId=shared-name", headers=estate.ann.headers))
    ours = await peer.session.ws_connect("/api/v1/events?client_id=shared-name", headers=bob.headers)
    peer.opened += [theirs, hers]
    nodes.GATES[GATE].set()
    waited = set(estate.busy)
    while waited:
        waited.discard((await hers.until(lambda kind, data: kind == "execution_success"))["prompt_id"])
    own = await submit(bob, nodes.linked("Tell", text="bobs own"))
    await theirs.ended(own)
    heard = json.dumps(theirs.texts)
    assert own in heard and not any(job_id in heard for job_id in (estate.done, *estate.busy))
    lines: list[dict[str, Any]] = []
    while own not in json.dumps(lines) or lines[-1]["type"] != "finished":
        lines.append(json.loads((await asyncio.wait_for(ours.receive(), PATIENCE_S)).data))
    assert not any(job_id in json.dumps(lines) for job_id in (estate.done, *estate.busy))
    await ours.close()


async def test_nodes_offer_and_read_a_persons_own_files(peer: Peer, estate: Estate) -> None:
    bob, graph = await add(peer, "bob"), nodes.linked("Measure", file="ann.csv")
    nodes.GATES[GATE].set()

    async def offered(who: Somebody) -> list[str]:
        choices: list[str] = (await who.json("GET", "/object_info/Measure"))["Measure"]["input"]["required"]["file"][0]
        return choices

    assert (await offered(estate.ann), await offered(bob)) == (["ann.csv"], [])
    assert (await bob.json("POST", "/prompt", 400, json={"prompt": graph}))["error"]["type"] == "prompt_outputs_failed_validation"
    form = aiohttp.FormData()
    form.add_field("image", b"a\n1\n", filename="ann.csv", content_type="text/csv")
    await peer.json("POST", "/upload/image", headers=bob.headers, data=form)
    assert await offered(bob) == ["ann.csv"]
    sizes = []
    for who in (estate.ann, bob):
        job = await peer.jobs.wait(await submit(who, graph), PATIENCE_S)
        sizes.append(job.outputs["2"]["value"])
    assert sizes == [[8], [4]]


async def test_who_may_see_everything_asks_for_it(peer: Peer, estate: Estate) -> None:
    root, bob = await add(peer, "root", "admin"), await add(peer, "bob")
    everybody = {"X-All-Owners": "true"}
    assert (await root.json("GET", "/api/v1/jobs"))["total"] == 0
    assert (await root.json("GET", "/api/v1/jobs", headers=everybody))["total"] == 7
    await root.json("GET", f"/api/v1/jobs/{estate.done}", headers=everybody)
    await bob.json("GET", "/api/v1/jobs", 403, headers=everybody)
    key = await root.key("read")
    await peer.json("GET", "/api/v1/jobs", 403, headers={**key, **everybody})
