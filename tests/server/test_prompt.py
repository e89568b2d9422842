"""POST /prompt takes what can be run, and says of the rest, in ComfyUI's words, everything that is wrong with it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.server.nodes import GATES, chain, linked, whole
from tests.server.peer import Peer


@pytest.mark.parametrize("path", ["/prompt", "/api/prompt"])
async def test_a_graph_is_queued_and_runs(peer: Peer, path: str) -> None:
    taken = await peer.json("POST", path, json={"prompt": chain(1)})
    assert set(taken) == {"prompt_id", "number", "node_errors"} and taken["node_errors"] == {}
    entry = await peer.done(taken["prompt_id"])
    assert entry["prompt"][:3] == [taken["number"], taken["prompt_id"], chain(1)] and entry["prompt"][4] == ["show"]
    assert await peer.json("GET", path) == {"exec_info": {"queue_remaining": 0}}


@pytest.mark.parametrize(
    ("body", "type"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b'{"prompt": {}, "number": NaN}', "invalid_json"),
        (b"[" * 5000 + b"]" * 5000, "invalid_json"),
        (b"[]", "invalid_request"),
        (b"{}", "no_prompt"),
        (b'{"prompt": []}', "no_prompt"),
        (b'{"prompt": {}}', "prompt_no_outputs"),
        (b'{"prompt": {"1": 5}}', "invalid_prompt"),
        (b'{"prompt": {"1": {"inputs": {}}}}', "invalid_prompt"),
        (b'{"prompt": {"1": {"class_type": "Nothing", "inputs": {}}}}', "invalid_prompt"),
        (b'{"prompt": {}, "number": "first"}', "invalid_number"),
        (b'{"prompt": {}, "prompt_id": "../x"}', "invalid_prompt_id"),
        (b'{"prompt": {}, "client_id": 5}', "invalid_client_id"),
        (b'{"prompt": {}, "extra_data": []}', "invalid_extra_data"),
        (b'{"prompt": {}, "partial_execution_targets": "1"}', "invalid_targets"),
    ],
)
async def test_what_is_no_prompt_is_refused_with_its_reason(peer: Peer, body: bytes, type: str) -> None:
    refused = await peer.json("POST", "/prompt", 400, data=body)
    assert refused["error"]["type"] == type and refused["error"]["message"]
    assert set(refused["error"]) == {"type", "message", "details", "extra_info"} and refused["node_errors"] == {}


async def test_every_wrong_input_is_told_by_node(peer: Peer) -> None:
    graph = {
        "1": {"class_type": "Number", "inputs": {"value": "many"}},
        "2": {"class_type": "Paint", "inputs": {"colour": "blue", "seed": 0, "text": ""}},
        "3": {"class_type": "Show", "inputs": {"value": ["1", 0]}},
        "4": {"class_type": "Show", "inputs": {}},
    }
    refused = await peer.json("POST", "/prompt", 400, json={"prompt": graph})
    assert refused["error"]["type"] == "prompt_outputs_failed_validation"
    found = {id: [error["type"] for error in entry["errors"]] for id, entry in refused["node_errors"].items()}
    assert found == {"1": ["invalid_input_type"], "2": ["value_not_in_list"], "4": ["required_input_missing"]}
    assert refused["node_errors"]["1"]["dependent_outputs"] == ["3"] and refused["node_errors"]["1"]["class_type"] == "Number"


async def test_outputs_that_can_be_made_are_made_when_others_cannot(peer: Peer) -> None:
    graph = {**chain(1), "bad": {"class_type": "Show", "inputs": {"value": ["nowhere", 0]}}}
    taken = await peer.json("POST", "/prompt", json={"prompt": graph})
    assert list(taken["node_errors"]) == ["bad"]
    entry = await peer.done(taken["prompt_id"])
    assert list(entry["outputs"]) == ["show"] and entry["status"]["status_str"] == "success"


async def test_a_cycle_is_told_with_its_nodes(peer: Peer) -> None:
    graph = {
        "a": {"class_type": "Add", "inputs": {"a": ["b", 0], "b": 1}},
        "b": {"class_type": "Add", "inputs": {"a": ["a", 0], "b": 1}},
        "c": {"class_type": "Show", "inputs": {"value": ["a", 0]}},
    }
    refused = await peer.json("POST", "/prompt", 400, json={"prompt": graph})
    assert set(refused["node_errors"]) == {"a", "b"}
    assert "a -> b -> a" in refused["error"]["details"] or "b -> a -> b" in refused["error"]["details"]


async def test_only_the_wanted_outputs_are_made(peer: Peer) -> None:
    graph = {**chain(1), "other": {"class_type": "Show", "inputs": {"value": ["0", 0]}}}
    prompt_id = await peer.submit(graph, partial_execution_targets=["other"])
    assert list((await peer.done(prompt_id))["outputs"]) == ["other"]
    refused = await peer.json("POST", "/prompt", 400, json={"prompt": graph, "partial_execution_targets": []})
    assert refused["error"]["type"] == "prompt_no_outputs"


async def test_the_same_prompt_id_twice_is_refused(peer: Peer) -> None:
    await peer.submit(chain(1), prompt_id="mine")
    refused = await peer.json("POST", "/prompt", 400, json={"prompt": chain(1), "prompt_id": "mine"})
    assert refused["error"]["type"] == "duplicate_prompt_id"


async def test_secrets_in_extra_data_are_never_kept(peer: Peer) -> None:
    prompt_id = await peer.submit(chain(1), extra_data={"api_key_comfy_org": "secret", "extra_pnginfo": {"workflow": {"id": "w"}}})
    entry = await peer.done(prompt_id)
    assert entry["prompt"][3]["extra_pnginfo"] == {"workflow": {"id": "w"}} and "api_key_comfy_org" not in entry["prompt"][3]


async def test_the_queue_shows_what_runs_and_what_waits_and_lets_it_be_taken_out(peer: Peer) -> None:
    running = [await peer.submit(linked("Gate", name=f"busy{number}", value=number)) for number in range(4)]
    waiting = [await peer.submit(chain(1, value=number)) for number in range(3)]
    await asyncio.sleep(0.1)
    queue = await peer.json("GET", "/queue")
    assert {item[1] for item in queue["queue_running"]} == set(running)
    assert [item[1] for item in queue["queue_pending"]] == waiting
    await peer.send("POST", "/queue", json={"delete": [waiting[0]]})
    assert [item[1] for item in (await peer.json("GET", "/queue"))["queue_pending"]] == waiting[1:]
    await peer.send("POST", "/queue", json={"clear": True})
    assert (await peer.json("GET", "/prompt"))["exec_info"]["queue_remaining"] == 4
    await peer.send("POST", "/interrupt")
    for prompt_id in running:
        await peer.done(prompt_id)
    assert await peer.json("GET", f"/history/{waiting[0]}") == {}


async def test_pages_of_the_history_are_counted_from_the_oldest(peer: Peer) -> None:
    ids = [await peer.submit(chain(1, value=number)) for number in range(4)]
    for prompt_id in ids:
        await peer.done(prompt_id)
    everything = await peer.json("GET", "/history")
    assert set(everything) == set(ids)
    order = list(everything)
    assert list(await peer.json("GET", "/history?max_items=2")) == order[2:]
    assert list(await peer.json("GET", "/history?max_items=2&offset=1")) == order[1:3]
    assert await peer.json("GET", "/history?offset=99") == {}
    assert await peer.send("GET", "/history?offset=0") == await peer.send("GET", "/history")
    await peer.send("POST", "/history", json={"delete": [ids[0]]})
    assert ids[0] not in await peer.json("GET", "/history")
    await peer.send("POST", "/history", json={"clear": True})
    assert await peer.json("GET", "/history") == {}


async def test_jobs_are_listed_as_newer_clients_read_them(peer: Peer) -> None:
    painted = await peer.submit({"1": whole("Paint")}, extra_data={"extra_pnginfo": {"workflow": {"id": "w1"}}})
    failed = await peer.submit(linked("Fail"))
    await peer.done(painted)
    await peer.done(failed)
    page = await peer.json("GET", "/api/jobs?status=completed,failed&limit=1")
    assert page["pagination"] == {"offset": 0, "limit": 1, "total": 2, "has_more": True} and page["jobs"][0]["id"] == failed
    assert page["jobs"][0]["execution_error"]["exception_type"] == "ValueError"
    mine = (await peer.json("GET", "/api/jobs?workflow_id=w1&sort_by=execution_duration&sort_order=asc"))["jobs"]
    assert [job["id"] for job in mine] == [painted]
    assert mine[0]["preview_output"]["filename"] == "red_0.png" and mine[0]["preview_output"]["mediaType"] == "images"
    job = await peer.json("GET", f"/api/jobs/{painted}")
    assert job["workflow"]["prompt"] == {"1": whole("Paint")} and list(job["outputs"]) == ["1"]
    await peer.json("GET", "/api/jobs/nothing", 404)
    await peer.json("GET", "/api/jobs?status=sleeping", 400)


async def test_jobs_are_cancelled_by_id_all_or_none(peer: Peer) -> None:
    prompt_id = await peer.submit(linked("Gate", name="cancelled"))
    await peer.json("POST", "/api/jobs/cancel", 404, json={"job_ids": [prompt_id, "nothing"]})
    assert (await peer.json("POST", "/api/jobs/cancel", json={"job_ids": [prompt_id]})) == {"cancelled": [prompt_id]}
    await peer.jobs.wait(prompt_id, 5)
    assert await peer.json("POST", f"/api/jobs/{prompt_id}/cancel") == {"cancelled": False}
    assert await peer.json("POST", "/api/jobs/nothing/cancel") == {"cancelled": False}
    GATES["cancelled"].set()


async def test_a_client_may_only_have_so_many_jobs_waiting(peer: Peer) -> None:
    answers: list[Any] = []
    peer.jobs._queued_per_client = 2
    for number in range(8):
        body = {"prompt": linked("Gate", name="full", value=number), "client_id": "ann"}
        async with peer.session.post("/prompt", json=body) as answer:
            answers.append((answer.status, (await answer.json()).get("error", {}).get("type")))
    assert (429, "queue_full") in answers and answers[0][0] == 200
    GATES["full"].set()
