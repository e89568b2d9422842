"""The routes of the queue, of batches, schedules and webhooks, on a real server."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from marquetry.server.automation.service import AUTOMATION
from marquetry.server.automation.signing import is_genuine
from marquetry.server.configuration.automation import AutomationSettings
from marquetry.server.http.zip_stream import Entry, safe_name, zip_parts
from marquetry.server.jobs.live import now_ms
from marquetry.server.jobs.standing import Standing
from tests.server import nodes
from tests.server.automation.conftest import PATIENCE_S, Receiver
from tests.server.peer import Peer, served

PAINT = {"1": nodes.whole("Paint", colour="red", seed=0)}


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    async with served(tmp_path / "data", automation=AutomationSettings(private_hosts=("127.0.0.1",))) as made:
        yield made


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[tuple[Peer, dict[str, str], dict[str, str]]]:
    """A server that several share, and the headers of two of them."""
    async with served(tmp_path / "data", multi_user=True, automation=AutomationSettings(private_hosts=("127.0.0.1",))) as made:
        headers = [{"comfy-user": await made.json("POST", "/users", json={"username": name})} for name in ("alice", "bob")]
        yield made, headers[0], headers[1]


def gate_graph(gate: str, value: int = 0) -> dict[str, Any]:
    return nodes.linked("Gate", name=gate, value=value)


async def ended(peer: Peer, batch_id: str) -> dict[str, Any]:
    """The batch once it is noted that it has ended."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            batch: dict[str, Any] = await peer.json("GET", f"/api/v1/batches/{batch_id}")
            if batch["finished_ms"] is not None:
                return batch
            await asyncio.sleep(0.01)


async def unzip(peer: Peer, path: str) -> dict[str, bytes]:
    archive = zipfile.ZipFile(io.BytesIO(await peer.send("GET", path)))
    assert archive.testzip() is None
    return {name: archive.read(name) for name in archive.namelist()}


# The queue


async def test_the_queue_tells_both_numbers_and_says_which_is_which(people: tuple[Peer, dict[str, str], dict[str, str]]) -> None:
    peer, alice, bob = people
    gate = str(peer.folders.output)
    for value in range(6):
        await peer.json("POST", "/api/v1/jobs", 202, json={"graph": gate_graph(gate, value)}, headers=alice)
    async with asyncio.timeout(PATIENCE_S):
        while (await peer.json("GET", "/api/v1/queue", headers=alice))["backlog"]["running"] < 4:
            await asyncio.sleep(0.01)
    mine = await peer.json("POST", "/api/v1/jobs", 202, json={"graph": gate_graph(gate, 9)}, headers=bob)
    queue = await peer.json("GET", "/api/v1/queue", headers=bob)
    assert (queue["backlog"]["waiting"], queue["backlog"]["running"], queue["position"]["position"]) == (3, 4, 1)
    assert "everybody" in queue["backlog"]["label"] and "your next job" in queue["position"]["label"]
    assert ([job["job_id"] for job in queue["jobs"]], queue["waiting"], queue["price"]) == ([mine["id"]], 1, None)
    job = await peer.json("GET", f"/api/v1/jobs/{mine['id']}", headers=bob)
    assert job["queue"]["position"] == 1
    nodes.GATES[gate].set()
    await peer.jobs.wait(mine["id"], PATIENCE_S)
    assert (await peer.json("GET", f"/api/v1/jobs/{mine['id']}", headers=bob))["queue"] is None


async def test_the_queue_comes_live_over_the_websocket(peer: Peer) -> None:
    gate = str(peer.folders.output)
    async with peer.session.ws_connect("/api/v1/events?queue=true") as socket:
        first = await socket.receive_json(timeout=PATIENCE_S)
        assert (first["type"], first["queue"]["backlog"]["waiting"]) == ("queue", 0)
        for value in range(5):
            await peer.json("POST", "/api/v1/jobs", 202, json={"graph": gate_graph(gate, value)})
        async with asyncio.timeout(PATIENCE_S):
            while (await socket.receive_json())["queue"]["position"]["position"] != 1:
                pass
    nodes.GATES[gate].set()


async def test_measured_times_are_told_by_node_type(peer: Peer) -> None:
    await peer.done(await peer.submit(nodes.linked("Steps", count=3)))
    await peer.jobs.times.digest(peer.jobs.database, 1)
    (found,) = (await peer.json("GET", "/api/v1/queue/times?node_type=Steps"))["times"]
    assert (found["model"], found["runs"]) == ("", 1) and 0 <= found["p50_s"] <= found["p95_s"]


# Batches


async def test_a_batch_runs_one_graph_with_each_set_of_inputs_and_its_files_come_as_a_zip(peer: Peer) -> None:
    inputs = [{"1.seed": seed, "1.colour": colour} for seed, colour in ((1, "red"), (2, "green"), (3, "red"))]
    batch = await peer.json("POST", "/api/v1/batches", 202, json={"graph": PAINT, "inputs": inputs, "name": "boats"})
    assert (batch["total"], [item["inputs"] for item in batch["items"]]) == (3, inputs)
    batch = await ended(peer, batch["id"])
    assert (batch["state"], batch["counts"], batch["progress"]) == ("completed", {"completed": 3}, 100.0)
    found = await unzip(peer, batch["links"]["download"])
    assert sorted(found) == ["0_red_1.png", "1_green_2.png", "2_red_3.png", "batch.json"]
    assert found["1_green_2.png"].startswith(b"\x89PNG")
    assert orjson.loads(found["batch.json"])["id"] == batch["id"]
    listed = await peer.json("GET", "/api/v1/batches")
    assert (listed["total"], listed["batches"][0]["progress"]) == (1, 100.0)


async def test_items_fail_one_by_one(peer: Peer) -> None:
    batch = await peer.json(
        "POST", "/api/v1/batches", 202, json={"graph": nodes.linked("Fail"), "inputs": [{"1.value": 7}, {"1.value": 8}]}
    )
    batch = await ended(peer, batch["id"])
    assert batch["counts"] == {"failed": 2}
    assert [item["error"]["message"] for item in batch["items"]] == ["7 is no good", "8 is no good"]


async def test_inputs_that_can_not_be_used_refuse_the_batch_or_with_partial_only_themselves(peer: Peer) -> None:
    inputs = [{"1.seed": 1}, {"9.seed": 1}, {"1.sead": 1}, {"1.colour": "mauve"}]
    refused = await peer.json("POST", "/api/v1/batches", 400, json={"graph": PAINT, "inputs": inputs})
    assert refused["error"]["code"] == "invalid_inputs"
    assert [item["place"] for item in refused["error"]["details"]["items"]] == [1, 2, 3]
    assert peer.jobs.remaining() == 0
    batch = await peer.json("POST", "/api/v1/batches", 202, json={"graph": PAINT, "inputs": inputs, "partial": True})
    batch = await ended(peer, batch["id"])
    assert [item["state"] for item in batch["items"]] == ["completed", "refused", "refused", "refused"]
    assert "has no input 'sead'" in batch["items"][2]["error"]["message"]


async def test_a_batch_has_as_many_inputs_as_the_plan_says(peer: Peer) -> None:
    class Plan:
        async def of(self, owner: str) -> Standing:
            return Standing(batch_inputs=2)

    peer.jobs.standing = Plan()
    refused = await peer.json("POST", "/api/v1/batches", 400, json={"graph": PAINT, "inputs": [{}] * 3})
    assert "1 to 2 sets of inputs" in refused["error"]["message"]


async def test_a_batch_is_made_once_for_one_idempotency_key(peer: Peer) -> None:
    body = {"graph": PAINT, "inputs": [{"1.seed": 5}]}
    made = [await peer.json("POST", "/api/v1/batches", 202, json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert made[0]["id"] == made[1]["id"]
    other = await peer.json("POST", "/api/v1/batches", 409, json={**body, "name": "other"}, headers={"Idempotency-Key": "k"})
    assert other["error"]["code"] == "idempotency_conflict"


async def test_a_cancelled_batch_stops_what_waits_and_what_runs(peer: Peer) -> None:
    gate = str(peer.folders.output)
    inputs = [{"1.value": value} for value in range(10)]
    batch = await peer.json("POST", "/generation/batch", 202, json={"graph": gate_graph(gate), "inputs": inputs})
    cancelled = await peer.json("POST", f"/api/v1/batches/{batch['id']}/cancel")
    assert cancelled["cancelled"] == 10
    assert (await ended(peer, batch["id"]))["counts"] == {"cancelled": 10}


async def test_one_quote_is_asked_for_a_whole_batch_and_kept_with_it(peer: Peer) -> None:
    asked: list[tuple[str, int]] = []

    class Market:
        async def quote(self, owner: str, graphs: Any) -> dict[str, Any]:
            asked.append((owner, len(graphs)))
            return {"total": 12_000_000 * len(graphs)}

    peer.application[AUTOMATION].batching.quoting = Market()
    batch = await peer.json("POST", "/api/v1/batches", 202, json={"graph": PAINT, "inputs": [{"1.seed": n} for n in range(3)]})
    assert (asked, batch["quote"]) == ([("", 3)], {"total": 36_000_000})


async def test_a_batch_is_its_owners(people: tuple[Peer, dict[str, str], dict[str, str]]) -> None:
    peer, alice, bob = people
    batch = await peer.json("POST", "/api/v1/batches", 202, json={"graph": PAINT, "inputs": [{}]}, headers=alice)
    for method, path in (("GET", ""), ("GET", "/download"), ("POST", "/cancel")):
        assert (await peer.json(method, f"/api/v1/batches/{batch['id']}{path}", 404, headers=bob))["error"]["code"] == "batch_not_found"
    assert (await peer.json("GET", "/api/v1/batches", headers=bob))["total"] == 0


@pytest.mark.parametrize(
    ("given", "safe"),
    [("../../etc/passwd", "_.._etc_passwd"), ("a\\b:c", "a_b_c"), ("con.png", "_con.png"), ("", "file"), ("...", "file"), ("a\x00b", "a_b"),
     ("x" * 300 + ".png", "x" * 104 + ".png")],
)  # fmt: skip
def test_names_in_archives_stay_in_their_folder(given: str, safe: str) -> None:
    assert safe_name(given) == safe


async def test_an_archive_leaves_out_what_is_gone_and_tells_equal_names_apart(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 3_000_000)
    entries = [Entry("a.png", b"1"), Entry("A.png", b"2"), Entry("gone", tmp_path / "gone"), Entry("large", tmp_path / "large")]
    parts = [part async for part in zip_parts(entries)]
    archive = zipfile.ZipFile(io.BytesIO(b"".join(parts)))
    assert archive.namelist() == ["a.png", "A-2.png", "large"]
    assert archive.getinfo("large").file_size == 3_000_000 and max(map(len, parts)) < 2_000_000


# Webhooks


async def test_the_end_of_a_job_is_told_with_its_files(peer: Peer, receiver: Receiver) -> None:
    made = await peer.json("POST", "/webhooks/subscribe", 201, json={"url": receiver.url, "events": ["generation.completed"]})
    job_id = await peer.submit(PAINT)
    await peer.submit(nodes.linked("Fail"))
    await receiver.until(1)
    ((_, headers, body),) = receiver.got
    assert is_genuine(headers, body, made["secret"], now_ms() // 1000)
    told = orjson.loads(body)
    assert (told["type"], told["data"]["job_id"]) == ("generation.completed", job_id)
    assert [file["name"] for file in told["data"]["result"]["files"]] == ["red_0.png"]
    (delivery,) = (await peer.json("GET", f"/api/v1/webhooks/deliveries?webhook_id={made['id']}"))["deliveries"]
    detail = await peer.json("GET", f"/api/v1/webhooks/deliveries/{delivery['id']}")
    assert (detail["body"], detail["id"]) == (told, headers["webhook-id"])


async def test_failures_cancellations_and_batches_are_told_too(peer: Peer, receiver: Receiver) -> None:
    await peer.json("POST", "/api/v1/webhooks", 201, json={"url": receiver.url})
    gate = str(peer.folders.output)
    batch = await peer.json("POST", "/api/v1/batches", 202, json={"graph": gate_graph(gate), "inputs": [{}]})
    await peer.json("POST", f"/api/v1/batches/{batch['id']}/cancel")
    await peer.submit(nodes.linked("Fail"))
    await receiver.until(3)
    told = {orjson.loads(body)["type"]: orjson.loads(body)["data"] for _, _, body in receiver.got}
    assert set(told) == {"generation.cancelled", "generation.failed", "batch.completed"}
    assert told["generation.failed"]["error"]["message"] == "0 is no good"
    assert told["batch.completed"]["counts"] == {"cancelled": 1}


async def test_a_webhook_for_one_job_may_come_after_its_end(peer: Peer, receiver: Receiver) -> None:
    first, second = await peer.submit(PAINT), await peer.submit({"1": nodes.whole("Paint", seed=2)})
    for job_id in (first, second):
        await peer.jobs.wait(job_id, PATIENCE_S)
    await peer.json("POST", "/api/v1/webhooks", 201, json={"url": receiver.url, "job_id": second})
    await receiver.until(1)
    assert [orjson.loads(body)["data"]["job_id"] for _, _, body in receiver.got] == [second]


async def test_ends_that_were_not_told_before_a_crash_are_told_after_the_next_start(tmp_path: Path, receiver: Receiver) -> None:
    data, settings = tmp_path / "data", {"automation": AutomationSettings(private_hosts=("127.0.0.1",))}
    async with served(data, **settings) as peer:
        await peer.json("POST", "/api/v1/webhooks", 201, json={"url": receiver.url})
        peer.application[AUTOMATION].herald.hear = lambda job_id, owner: None  # type: ignore[method-assign]
        peer.jobs._dispatcher.hearers.clear()
        job_id = await peer.submit(PAINT)
        await peer.jobs.wait(job_id, PATIENCE_S)
    assert receiver.got == []
    async with served(data, **settings):
        await receiver.until(1)
    assert orjson.loads(receiver.got[0][2])["data"]["job_id"] == job_id


async def test_webhooks_are_tried_changed_and_forgotten(peer: Peer, receiver: Receiver) -> None:
    made = await peer.json("POST", "/api/v1/webhooks", 201, json={"url": receiver.url, "events": ["lora.deleted"]})
    path = f"/api/v1/webhooks/{made['id']}"
    await peer.json("POST", f"{path}/test", 202)
    await receiver.until(1)
    assert receiver.types == ["webhook.test"]
    rotated = await peer.json("POST", f"{path}/secret")
    assert rotated["secret"] != made["secret"] and rotated["old_secret_until_ms"] > now_ms()
    changed = await peer.json("PATCH", path, json={"events": [], "enabled": False})
    assert (changed["events"], changed["enabled"]) == ([], False)
    assert (await peer.json("POST", f"{path}/test", 400))["error"]["code"] == "invalid_request"
    await peer.send("DELETE", path, 204)
    assert (await peer.json("GET", path, 404))["error"]["code"] == "webhook_not_found"
    assert (await peer.json("GET", "/api/v1/webhooks"))["webhooks"] == []


async def test_addresses_and_names_that_are_none_are_refused(peer: Peer) -> None:
    for body in ({"url": "ftp://x/"}, {"url": "https://x/", "events": ["everything"]}, {"url": "https://x/", "secret": "short"}, {}):
        await peer.json("POST", "/api/v1/webhooks", 400, json=body)


# Schedules


async def test_a_schedule_shows_its_next_runs_and_is_paused_and_resumed(peer: Peer) -> None:
    body = {"graph": PAINT, "cron": "30 2 * * *", "timezone": "Europe/Berlin", "name": "nightly"}
    made = await peer.json("POST", "/api/v1/schedules", 201, json=body)
    assert len(made["upcoming_ms"]) == 5 and made["upcoming_ms"][0] == made["next_ms"] > now_ms()
    path = f"/api/v1/schedules/{made['id']}"
    paused = await peer.json("PATCH", path, json={"paused": True})
    assert (paused["state"], paused["next_ms"], paused["upcoming_ms"]) == ("paused", None, [])
    resumed = await peer.json("PATCH", path, json={"paused": False, "cron": "0 4 * * *"})
    assert (resumed["state"], resumed["cron"]) == ("active", "0 4 * * *") and resumed["next_ms"] != made["next_ms"]
    await peer.send("DELETE", path, 204)
    assert (await peer.json("GET", "/api/v1/schedules"))["schedules"] == []


async def test_a_moment_comes_and_its_job_runs(peer: Peer, receiver: Receiver) -> None:
    await peer.json("POST", "/api/v1/webhooks", 201, json={"url": receiver.url})
    made = await peer.json("POST", "/api/v1/schedules", 201, json={"graph": PAINT, "at_ms": now_ms() + 50})
    await receiver.until(2)
    assert set(receiver.types) == {"schedule.fired", "generation.completed"}
    (run,) = (await peer.json("GET", f"/api/v1/schedules/{made['id']}/runs"))["runs"]
    assert run["state"] == "started" and (await peer.json("GET", f"/api/v1/jobs/{run['job_id']}"))["state"] == "completed"


@pytest.mark.parametrize(
    "wrong",
    [{"cron": "x"}, {"cron": "* * * * *", "at_ms": 5}, {"at_ms": 5}, {"cron": "* * * * *", "timezone": "Mars"},
     {"cron": "* * * * *", "during": "noon"}, {"cron": "* * * * *", "during": "off_peak"}, {"graph": {}}, {"missed": "cry"}],
)  # fmt: skip
async def test_schedules_that_can_not_be_are_refused(wrong: dict[str, Any], peer: Peer) -> None:
    await peer.json("POST", "/api/v1/schedules", 400, json={"graph": PAINT, **wrong})


async def test_schedules_and_webhooks_are_their_owners(people: tuple[Peer, dict[str, str], dict[str, str]], receiver: Receiver) -> None:
    peer, alice, bob = people
    schedule = await peer.json("POST", "/api/v1/schedules", 201, json={"graph": PAINT, "cron": "@daily"}, headers=alice)
    webhook = await peer.json("POST", "/api/v1/webhooks", 201, json={"url": receiver.url}, headers=alice)
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/runs")):
        await peer.json(method, f"/api/v1/schedules/{schedule['id']}{path}", 404, headers=bob, json={} if method == "PATCH" else None)
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/secret"), ("POST", "/test")):
        await peer.json(method, f"/api/v1/webhooks/{webhook['id']}{path}", 404, headers=bob, json={} if method == "PATCH" else None)
    await peer.jobs.wait((await peer.json("POST", "/api/v1/jobs", 202, json={"graph": PAINT}, headers=bob))["id"], PATIENCE_S)
    await peer.jobs.wait((await peer.json("POST", "/api/v1/jobs", 202, json={"graph": PAINT}, headers=alice))["id"], PATIENCE_S)
    await receiver.until(1)
    (delivery,) = (await peer.json("GET", "/api/v1/webhooks/deliveries", headers=alice))["deliveries"]
    assert (await peer.json("GET", "/api/v1/webhooks/deliveries", headers=bob))["total"] == 0
    await peer.json("POST", f"/api/v1/webhooks/deliveries/{delivery['id']}/resend", 404, headers=bob)


# Generations


async def test_a_flow_is_run_by_trigger_and_reported_on_by_callback(peer: Peer) -> None:
    body = {"graph": PAINT, "inputData": {"1.seed": 4}, "generationId": "gen-1"}
    assert await peer.json("POST", "/api/trigger-workflow", 202, json=body) == {"generationId": "gen-1", "status": "queued"}
    await peer.jobs.wait("gen-1", PATIENCE_S)
    report = {"generationId": "gen-1", "status": "processing", "progress": 50, "executionId": "e1"}
    done = {**report, "status": "completed", "progress": 100, "outputAssets": [{"url": "https://x/y.png", "type": "image/png"}]}
    for sent in (report, done, done):
        assert (await peer.json("POST", "/api/n8n-callback", json=sent))["received"]
    found = await peer.json("GET", "/api/generations/gen-1")
    assert (found["status"], [asset["filename"] for asset in found["outputAssets"]]) == ("completed", ["red_4.png"])
    (run,) = found["externalRuns"]
    assert (run["status"], run["progress"], run["outputAssets"][0]["url"]) == ("completed", 100, "https://x/y.png")
    listed = await peer.json("GET", "/api/generations?status=completed")
    assert [generation["id"] for generation in listed["generations"]] == ["gen-1"]
    assert (await peer.json("POST", "/api/n8n-callback", 404, json={**report, "generationId": "other"}))["error"]["code"] == "not_found"
    assert (await peer.json("POST", "/api/trigger-workflow", 404, json={"flowId": "none"}))["error"]["code"] == "graph_not_found"
