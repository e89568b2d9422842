"""Our own routes: submit, wait, watch, cancel, read results; one shape of error, one id scheme."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.server.nodes import GATES, chain, linked, whole
from tests.server.peer import Peer, Socket


async def test_a_job_is_accepted_and_told_where_it_is(peer: Peer) -> None:
    async with peer.session.post("/api/v1/jobs", json={"graph": chain(1)}) as answer:
        job = await answer.json()
        assert answer.status == 202 and answer.headers["Location"] == job["links"]["self"] == f"/api/v1/jobs/{job['id']}"
    await peer.jobs.wait(job["id"], 10)
    found = await peer.json("GET", f"/api/v1/job/{job['id']}")
    assert (found["state"], found["progress"], set(found["nodes"])) == ("completed", 100, {"0", "1", "show"})
    assert found["nodes"]["1"]["state"] == "finished"


async def test_a_bare_graph_is_a_job_and_can_be_waited_for(peer: Peer) -> None:
    async with peer.session.post("/api/v1/jobs", json=chain(2), headers={"Prefer": "respond-async, wait=10"}) as answer:
        job = await answer.json()
        assert answer.status == 200 and job["state"] == "completed" and answer.headers["Preference-Applied"] == "wait=10"
    async with peer.session.post("/api/v1/jobs", json=linked("Gate", name="patience"), headers={"Prefer": "wait=0.05"}) as answer:
        assert answer.status == 202 and (await answer.json())["state"] in ("queued", "running")
    GATES["patience"].set()


async def test_an_idempotency_key_makes_one_job_however_often_it_is_sent(peer: Peer) -> None:
    jobs = [await peer.json("POST", "/api/v1/jobs", 202, json=chain(1), headers={"Idempotency-Key": "k"}) for _ in range(3)]
    assert len({job["id"] for job in jobs}) == 1
    refused = await peer.json("POST", "/api/v1/jobs", 409, json=chain(2), headers={"Idempotency-Key": "k"})
    assert refused["error"]["code"] == "idempotency_conflict"


async def test_every_problem_of_a_graph_is_told_at_once(peer: Peer) -> None:
    graph = {
        "1": {"class_type": "Number", "inputs": {"value": "x"}},
        "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}},
        "3": {"class_type": "Show", "inputs": {}},
    }
    refused = (await peer.json("POST", "/api/v1/jobs", 400, json=graph))["error"]
    assert refused["code"] == "validation_failed" and {problem["node_id"] for problem in refused["details"]["problems"]} == {"1", "3"}
    checked = await peer.json("POST", "/api/v1/validate", json=graph)
    assert checked["valid"] is False and checked["nodes"] == 3 and checked["problems"] == refused["details"]["problems"]
    assert await peer.json("POST", "/api/v1/validate", json=chain(1)) == {"valid": True, "outputs": ["show"], "problems": [], "nodes": 3}


@pytest.mark.parametrize("way", ["DELETE", "POST", "alias"])
async def test_a_running_job_is_cancelled(peer: Peer, way: str) -> None:
    job = await peer.json("POST", "/api/v1/jobs", 202, json=linked("Gate", name=f"cancel {way}"))
    match way:
        case "DELETE":
            answer = await peer.json("DELETE", f"/api/v1/jobs/{job['id']}")
        case "POST":
            answer = await peer.json("POST", f"/api/v1/jobs/{job['id']}/cancel")
        case _:
            answer = await peer.json("POST", "/api/cancel-generation", json={"job_id": job["id"]})
    assert answer == {"job_id": job["id"], "cancelled": True}
    assert (await peer.jobs.wait(job["id"], 5)).state == "cancelled"
    assert (await peer.json("POST", f"/api/v1/jobs/{job['id']}/cancel"))["cancelled"] is False
    await peer.json("DELETE", f"/api/v1/jobs/{job['id']}")
    await peer.json("GET", f"/api/v1/jobs/{job['id']}", 404)


async def test_results_name_their_files_and_how_they_were_made(peer: Peer) -> None:
    graph = {"1": whole("Paint", seed=7)}
    job = await peer.json("POST", "/api/v1/jobs", json=graph, headers={"Prefer": "wait=10"})
    results = await peer.json("GET", f"/api/v1/jobs/{job['id']}/results")
    file = results["files"][0]
    assert (file["name"], file["media_type"], file["width"], file["height"]) == ("red_7.png", "image/png", 16, 8)
    assert len(await peer.send("GET", file["url"])) == file["size_bytes"]
    assert results["made"]["seeds"] == [7] and results["made"]["duration_s"] >= 0 and results["made"]["compute_s"] >= 0
    assert (file["aspect"], results["made"]["quality"], results["made"]["cost_microcredits"]) == ("2:1", "standard", 0)
    listed = await peer.json("GET", "/api/v1/jobs?state=completed&limit=1")
    assert (listed["total"], listed["jobs"][0]["preview"]["name"]) == (1, "red_7.png")


async def test_a_failed_job_says_why_without_telling_paths(peer: Peer) -> None:
    job = await peer.json("POST", "/api/v1/jobs", json=linked("Fail", value=3), headers={"Prefer": "wait=10"})
    assert job["state"] == "failed" and job["error"]["node_id"] == "1" and "3 is no good" in job["error"]["message"]
    assert "traceback" not in job["error"]["details"] and job["nodes"]["1"]["state"] == "failed"


async def events(peer: Peer, path: str, **headers: str) -> list[tuple[str, int, dict[str, Any]]]:
    async with peer.session.get(path, headers=headers, timeout=aiohttp.ClientTimeout(20)) as answer:
        assert answer.status == 200 and answer.headers["Content-Type"] == "text/event-stream"
        text = (await answer.read()).decode()
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields["event"], int(fields["id"]), json.loads(fields["data"])))
    return found


async def test_events_of_a_job_stream_until_it_ends_and_can_be_gone_on_with(peer: Peer) -> None:
    job = await peer.json("POST", "/api/v1/jobs", 202, json=linked("Gate", name="streamed"))
    reading = asyncio.create_task(events(peer, f"/api/v1/jobs/{job['id']}/events"))
    await asyncio.sleep(0.2)
    GATES["streamed"].set()
    heard = await reading
    kinds = [kind for kind, _, _ in heard]
    assert kinds[0] == "job" and kinds[-1] == "finished" and "output" in kinds and "nodes" in kinds
    assert [number for _, number, _ in heard] == sorted(number for _, number, _ in heard)
    assert heard[-1][2]["state"] == "completed"
    middle = next(number for kind, number, _ in heard if kind == "nodes")
    again = await events(peer, f"/api/v1/jobs/{job['id']}/events", **{"Last-Event-ID": str(middle)})
    assert again[-1][0] == "finished" and all(number >= middle for _, number, _ in again)


async def test_the_socket_of_a_job_tells_its_nodes_in_bundles(peer: Peer) -> None:
    job = await peer.json("POST", "/api/v1/jobs", 202, json=linked("Gate", name="socket"))
    for path in ("/api/v1/events", "/generation/subscribe"):
        socket = Socket(await peer.session.ws_connect(f"{path}?job_id={job['id']}"))
        first = await socket.next()
        assert first is not None and first[0] == "job" and first[1]["job"]["id"] == job["id"]
        if path == "/generation/subscribe":
            GATES["socket"].set()
            await socket.until(lambda kind, data: kind == "finished" and data["state"] == "completed")
            assert (await socket.socket.receive()).data == 1000
        await socket.close()


async def test_a_client_hears_only_of_its_own_jobs(peer: Peer) -> None:
    socket = Socket(await peer.session.ws_connect("/api/v1/events?client_id=ann"))
    await peer.json("POST", "/api/v1/jobs", json={"graph": chain(1, 5), "client_id": "bob"}, headers={"Prefer": "wait=5"})
    own = await peer.json("POST", "/api/v1/jobs", 202, json={"graph": chain(400), "client_id": "ann"})
    await socket.until(lambda kind, data: kind == "finished")
    assert {data["job_id"] for _, data in socket.texts} == {own["id"]}
    assert socket.received_bytes / 402 < 60
    await socket.close()
    async with peer.session.get("/api/v1/events") as answer:
        assert answer.status == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/api/v1/jobs/nothing", None, 404, "not_found"),
        ("GET", "/api/v1/nowhere", None, 404, "not_found"),
        ("PATCH", "/api/v1/jobs", None, 405, "method_not_allowed"),
        ("GET", "/api/v1/jobs?limit=0", None, 400, "invalid_request"),
        ("GET", "/api/v1/jobs?state=sleeping", None, 400, "invalid_request"),
        ("POST", "/api/v1/jobs", b"{", 400, "invalid_json"),
        ("POST", "/api/v1/jobs", b"[]", 400, "invalid_request"),
        ("POST", "/api/v1/jobs", b'{"graph": []}', 400, "invalid_request"),
        ("POST", "/api/v1/jobs", b'{"graph": {"1": 5}}', 400, "invalid_graph"),
        ("POST", "/api/v1/jobs", b'{"graph": {}, "more": 1}', 400, "invalid_request"),
        ("GET", "/api/v1/nodes/Nothing", None, 404, "not_found"),
        ("GET", "/api/v1/models/nothing", None, 404, "model_not_found"),
    ],
)
async def test_errors_have_one_shape(peer: Peer, method: str, path: str, body: bytes | None, status: int, code: str) -> None:
    refused = await peer.json(method, path, status, data=body)
    assert refused["error"]["code"] == code and refused["error"]["message"] and isinstance(refused["error"]["details"], dict)


async def test_nodes_can_be_searched_and_read(peer: Peer) -> None:
    found = await peer.json("GET", "/api/v1/nodes?q=gate&category=test")
    assert [node["id"] for node in found["nodes"]] == ["Gate"]
    assert (await peer.json("GET", "/api/v1/nodes/Gate"))["name"] == "Gate"
    everything = await peer.json("GET", "/object_info")
    assert everything["Paint"]["input"]["required"]["colour"][0] == ["red", "green"]
    assert await peer.json("GET", "/object_info/Nothing") == {}
    async with peer.session.get("/api/object_info") as answer:
        tag = answer.headers["ETag"]
    assert await peer.send("GET", "/api/object_info", 304, headers={"If-None-Match": tag}) == b""
    assert b"Goes on when" in await peer.send("GET", "/docs/Gate/en.md")


async def test_prompts_are_suggested_from_words_and_from_earlier_ones(peer: Peer) -> None:
    texts = [found["text"] for found in (await peer.json("GET", "/api/v1/prompts/suggest?q=a%20re"))["suggestions"]]
    assert "a red" in texts
    texts = [found["text"] for found in (await peer.json("GET", "/api/v1/prompts/suggest?q=a%20red%20"))["suggestions"]]
    assert "a red cat" in texts
    texts = [found["text"] for found in (await peer.json("GET", "/api/v1/prompts/suggest?q=a%20red%20cat%20in%20the"))["suggestions"]]
    assert "a red cat in the forest" in texts
    assert (await peer.json("GET", "/api/v1/prompts/suggest"))["suggestions"]


async def test_health_readiness_version_and_numbers(peer: Peer) -> None:
    assert await peer.json("GET", "/api/v1/health") == {"status": "ok"}
    assert await peer.json("GET", "/api/ready") == {"ready": True, "checks": {"worker": True, "database": True}}
    assert (await peer.json("GET", "/api/v1/version"))["name"] == "Marquetry"
    stats = await peer.json("GET", "/api/v1/stats")
    assert stats["queue_remaining"] == 0 and stats["workers"][0]["kind"] == "inline"
    system = await peer.json("GET", "/system_stats")
    assert system["devices"][0]["vram_total"] > 0 and system["system"]["ram_free"] > 0


async def test_a_prompt_of_the_longest_kind_may_be_asked_about(peer: Peer) -> None:
    found = await peer.json("GET", "/api/v1/prompts/suggest", params={"q": "\N{ROCKET}" * 2000})
    assert isinstance(found, dict)
