"""The WebSocket tells each client of its own jobs, in ComfyUI's order, and of nobody else's."""

from __future__ import annotations

import asyncio
import json
import struct

import aiohttp
import pytest

from tests.server.nodes import GATES, chain, linked
from tests.server.peer import PATIENCE_S, Peer


async def test_the_first_message_is_a_status_with_the_id_of_the_client(peer: Peer) -> None:
    named, nameless = await peer.socket("ann"), await peer.socket()
    assert named.texts[0] == ("status", {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "ann"})
    assert len(nameless.texts[0][1]["sid"]) == 32


async def test_a_job_is_told_in_order_and_ends_with_executing_nothing(peer: Peer) -> None:
    socket = await peer.socket("ann")
    prompt_id = await peer.submit(chain(2), "ann")
    heard = await socket.ended(prompt_id)
    kinds = [kind for kind, _ in heard if kind != "progress_state"]
    assert kinds[:2] == ["execution_start", "execution_cached"]
    assert kinds[2:] == ["executing", "executing", "executing", "executing", "executed", "execution_success", "executing"]
    assert [data["node"] for kind, data in heard if kind == "executing"] == ["0", "1", "2", "show", None]
    assert heard[-1][1] == {"node": None, "prompt_id": prompt_id}
    assert [kind for kind, _ in socket.texts].count("status") >= 3


async def test_progress_state_comes_at_least_once_and_says_of_every_node_that_it_finished(peer: Peer) -> None:
    socket = await peer.socket("ann")
    heard = await socket.ended(await peer.submit(chain(30), "ann"))
    last: dict[str, str] = {}
    for kind, data in heard:
        if kind == "progress_state":
            last |= {id: node["state"] for id, node in data["nodes"].items()}
            assert all(node["prompt_id"] == data["prompt_id"] and node["node_id"] == id for id, node in data["nodes"].items())
    assert len(last) == 32
    assert set(last.values()) == {"finished"}


async def test_an_equal_job_is_told_as_cached_and_still_shows_its_outputs(peer: Peer) -> None:
    socket = await peer.socket("ann")
    await socket.ended(await peer.submit(chain(2), "ann"))
    heard = await socket.ended(await peer.submit(chain(2), "ann"))
    cached = next(data for kind, data in heard if kind == "execution_cached")
    assert set(cached["nodes"]) == {"0", "1", "2", "show"}
    assert any(kind == "progress_state" for kind, _ in heard)
    assert [data["output"] for kind, data in heard if kind == "executed"] == [{"value": [2]}]


async def test_the_history_has_the_job_before_its_end_is_told(peer: Peer) -> None:
    socket = await peer.socket("ann")
    prompt_id = await peer.submit(chain(1), "ann")
    await socket.ended(prompt_id)
    entry = (await peer.json("GET", f"/history/{prompt_id}"))[prompt_id]
    assert entry["status"]["status_str"] == "success"
    assert entry["outputs"] == {"show": {"value": [1]}}


async def test_a_client_hears_nothing_of_the_jobs_of_others_nor_of_jobs_without_a_client(peer: Peer) -> None:
    ann, bob = await peer.socket("ann"), await peer.socket("bob")
    await peer.done(await peer.submit(linked("Steps", count=5, previews=True)))
    await peer.done(await peer.submit(linked("Fail"), "bob"))
    own = await peer.submit(chain(1, value=7), "ann")
    await ann.ended(own)
    assert {data["prompt_id"] for _, data in ann.texts if "prompt_id" in data} == {own}
    assert ann.frames == []
    assert own not in {data.get("prompt_id") for _, data in bob.texts}


async def test_a_failing_node_is_told_to_its_owner_with_its_reason(peer: Peer) -> None:
    socket = await peer.socket("ann")
    prompt_id = await peer.submit(linked("Fail", value=3), "ann")
    heard = await socket.ended(prompt_id)
    error = next(data for kind, data in heard if kind == "execution_error")
    assert (error["node_id"], error["node_type"], error["exception_type"]) == ("1", "Fail", "ValueError")
    assert "3 is no good" in error["exception_message"]
    assert isinstance(error["traceback"], list) and isinstance(error["current_inputs"], dict)
    states = [data["nodes"].get("1", {}).get("state") for kind, data in heard if kind == "progress_state"]
    assert states[-1] == "error"
    assert "execution_success" not in [kind for kind, _ in heard]
    entry = await peer.done(prompt_id)
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)


async def test_interrupting_is_told_and_kept_in_the_history(peer: Peer) -> None:
    socket = await peer.socket("ann")
    prompt_id = await peer.submit(linked("Gate", name="interrupted"), "ann")
    await socket.until(lambda kind, data: kind == "executing" and data["node"] == "1")
    await peer.send("POST", "/interrupt", json={"prompt_id": "another"})
    await peer.send("POST", "/interrupt", json={"prompt_id": prompt_id})
    heard = await socket.ended(prompt_id)
    assert "execution_interrupted" in [kind for kind, _ in heard]
    entry = await peer.done(prompt_id)
    assert entry["status"]["status_str"] == "error"
    assert "execution_interrupted" in [kind for kind, _ in entry["status"]["messages"]]


async def test_steps_are_told_and_the_last_one_is_never_left_out(peer: Peer) -> None:
    socket = await peer.socket("ann")
    heard = await socket.ended(await peer.submit(linked("Steps", count=500), "ann"))
    told = [data for kind, data in heard if kind == "progress"]
    assert told[-1] == {"value": 500, "max": 500, "prompt_id": told[-1]["prompt_id"], "node": "1"}
    assert len(told) < 100


async def test_previews_come_as_the_client_understands_them(peer: Peer) -> None:
    plain, knowing = await peer.socket("ann"), await peer.socket("bob", supports_preview_metadata=True)
    await plain.ended(await peer.submit(linked("Steps", count=3, previews=True), "ann"))
    prompt_id = await peer.submit(linked("Steps", count=4, previews=True), "bob")
    await knowing.ended(prompt_id)
    kind, rest = plain.frames[0]
    assert kind == 1 and struct.unpack(">I", rest[:4])[0] in (1, 2)
    kind, rest = knowing.frames[0]
    length = struct.unpack(">I", rest[:4])[0]
    about = json.loads(rest[4 : 4 + length])
    assert kind == 4 and about["node_id"] == "1" and about["prompt_id"] == prompt_id
    assert about["image_type"] in ("image/jpeg", "image/png")


async def test_text_of_a_node_is_a_binary_frame_of_type_3(peer: Peer) -> None:
    socket = await peer.socket("ann")
    await socket.ended(await peer.submit(linked("Tell", text="grüß"), "ann"))
    kind, rest = socket.frames[0]
    length = struct.unpack(">I", rest[:4])[0]
    assert (kind, rest[4 : 4 + length], rest[4 + length :].decode()) == (3, b"1", "grüß")


async def test_a_client_that_comes_back_hears_where_its_job_is_and_what_it_missed(peer: Peer) -> None:
    socket = await peer.socket("ann")
    prompt_id = await peer.submit(linked("Gate", name="resumed"), "ann")
    await socket.until(lambda kind, data: kind == "executing" and data["node"] == "1")
    await socket.close()
    again = await peer.socket("ann")
    assert await again.next() == ("executing", {"node": "1", "display_node": "1", "prompt_id": prompt_id})
    state = await again.next()
    assert state is not None and state[1]["nodes"]["1"]["state"] == "running"
    await again.close()
    await asyncio.sleep(0.05)
    GATES["resumed"].set()
    await peer.done(prompt_id)
    third = await peer.socket("ann")
    heard = await third.ended(prompt_id)
    assert [kind for kind, _ in heard][-2:] == ["execution_success", "executing"]


async def test_a_second_socket_with_the_same_id_takes_the_place_of_the_first(peer: Peer) -> None:
    first = await peer.socket("ann")
    second = await peer.socket("ann")
    closed = await asyncio.wait_for(first.socket.receive(), 5)
    assert closed.data == 1008
    await second.ended(await peer.submit(chain(1), "ann"))


async def test_features_are_answered_with_those_of_the_server(peer: Peer) -> None:
    socket = await peer.socket("ann", supports_preview_metadata=True)
    features = next(data for kind, data in socket.texts if kind == "feature_flags")
    assert features["supports_preview_metadata"] is True and features["max_upload_size"] == 100 * 2**20
    assert await peer.json("GET", "/api/features") == features


async def test_what_is_no_message_is_ignored(peer: Peer) -> None:
    socket = await peer.socket("ann")
    for text in ("", "{", "[]", '{"type": 3}', '{"type": "feature_flags", "data": 5}', "null", '"' + "x" * 1000 + '"'):
        await socket.socket.send_str(text)
    await socket.socket.send_bytes(b"\x00\x01")
    await socket.ended(await peer.submit(chain(1), "ann"))


async def test_a_client_that_conflates_gets_at_most_100_bytes_a_node(peer: Peer) -> None:
    socket = await peer.socket("ann", supports_progress_deltas=True)
    before = socket.received_bytes
    heard = await socket.ended(await peer.submit(chain(1000), "ann"))
    assert (socket.received_bytes - before) / 1002 <= 100
    last: dict[str, str] = {}
    for kind, data in heard:
        if kind == "progress_state":
            last |= {id: node["state"] for id, node in data["nodes"].items()}
    assert len(last) == 1002 and set(last.values()) == {"finished"}


async def test_a_client_that_answers_no_pings_stays_connected(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marquetry.server.comfy.websocket.PING_S", 0.05)
    silent = await peer.session.ws_connect("/ws?clientId=ann", autoping=False)
    await asyncio.sleep(0.5)
    prompt_id = await peer.submit(chain(1), "ann")
    kinds = []
    while True:
        message = await asyncio.wait_for(silent.receive(), PATIENCE_S)
        kinds.append(message.type)
        if message.type is not aiohttp.WSMsgType.PING and json.loads(message.data) == {
            "type": "executing",
            "data": {"node": None, "prompt_id": prompt_id},
        }:
            break
    assert kinds.count(aiohttp.WSMsgType.PING) > 2
    await silent.close()
