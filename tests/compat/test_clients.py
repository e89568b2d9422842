"""What clients hear, in which order, and of whom; and what the history tells them afterwards."""

from __future__ import annotations

import time
import uuid
from functools import partial
from typing import Any

import pytest

from marquetry.engine.expansion import GraphBuilder
from tests.compat.client import Client
from tests.compat.serving import Server


def _is_end_of(prompt_id: str, kind: str, data: dict[str, Any]) -> bool:
    return bool(kind == "executing" and data["node"] is None and data["prompt_id"] == prompt_id)


def simple(salt: str, prefix: str = "simple.") -> GraphBuilder:
    graph = GraphBuilder(prefix)
    graph.node("CompatShow", "show", value=graph.node("CompatWhole", "whole", value=3, salt=salt).out(0))
    return graph


def test_messages_of_a_prompt_come_in_their_order(client: Client, salt: str) -> None:
    graph = simple(salt)
    client.hear(0.2)
    heard_before = len(client.texts)
    outcome = client.run(graph)
    told = [(kind, data) for kind, data in client.texts[heard_before:] if kind != "status"]
    kinds = [kind for kind, _ in told]
    assert kinds[:2] == ["execution_start", "execution_cached"]
    assert kinds[-2:] == ["execution_success", "executing"]
    assert all(data["prompt_id"] == outcome.prompt_id for _, data in told)
    assert told[-1][1] == {"node": None, "prompt_id": outcome.prompt_id}
    running = [data for kind, data in told if kind == "executing"][:-1]
    assert running == [
        {"node": f"simple.{name}", "display_node": f"simple.{name}", "prompt_id": outcome.prompt_id} for name in ("whole", "show")
    ]
    (executed,) = [data for kind, data in told if kind == "executed"]
    assert executed == {"node": "simple.show", "display_node": "simple.show", "output": {"value": [3]}, "prompt_id": outcome.prompt_id}
    (cached,) = [data for kind, data in told if kind == "execution_cached"]
    assert (cached["nodes"], cached["timestamp"] > 1_600_000_000_000) == ([], True)
    states = [data for kind, data in told if kind == "progress_state"]
    assert {id: entry["state"] for id, entry in states[-1]["nodes"].items()}["simple.show"] == "finished"
    fields = {"value", "max", "state", "node_id", "prompt_id", "display_node_id", "parent_node_id", "real_node_id"}
    assert all(set(entry) == fields for state in states for entry in state["nodes"].values())


def test_the_first_message_tells_the_client_its_id(server: Server) -> None:
    with Client(server.address, "a client of its own") as client:
        first = client.receive()
        assert first is not None
        kind, data = first
        assert (kind, data["sid"], data["status"]["exec_info"].keys()) == ("status", "a client of its own", {"queue_remaining"})


def test_the_history_has_the_prompt_before_its_end_is_told(client: Client, salt: str) -> None:
    for number in range(5):
        graph = simple(f"{salt}{number}")
        prompt_id = client.queue(graph.finalize())["prompt_id"]
        client.until(partial(_is_end_of, prompt_id))
        entry = client.entry(prompt_id)
        assert entry["outputs"] == {"simple.show": {"value": [3]}}
        assert entry["status"]["status_str"] == "success" and entry["status"]["completed"] is True
        assert [kind for kind, _ in entry["status"]["messages"]] == ["execution_start", "execution_cached", "execution_success"]
        number_, id, prompt, extra, outputs = entry["prompt"]
        assert (id, prompt, outputs, extra["client_id"]) == (prompt_id, graph.finalize(), ["simple.show"], client.client_id)
        assert isinstance(number_, (int, float))
        assert set(entry["meta"]) == {"simple.show"}


def test_progress_is_told_to_nobody_else(server: Server, salt: str) -> None:
    with Client(server.address) as one, Client(server.address) as other, Client(server.address) as silent:
        clients = {client: simple(f"{salt}{name}", f"{name}.") for client, name in ((one, "one"), (other, "other"))}
        prompts = {client: client.queue(graph.finalize())["prompt_id"] for client, graph in clients.items()}
        anonymous = silent.request("/prompt", {"prompt": simple(f"{salt}anonymous").finalize()})["prompt_id"]
        for client, prompt_id in prompts.items():
            client.follow(prompt_id)
        for client in (one, other, silent):
            client.hear(0.5)
            heard = {data["prompt_id"] for _, data in client.texts if "prompt_id" in data}
            assert heard == ({prompts[client]} if client in prompts else set())
            assert anonymous not in heard
        for client, prompt_id in prompts.items():
            assert [data for kind, data in client.texts if kind == "progress_state" and data["prompt_id"] == prompt_id]


def test_an_error_is_told_only_to_its_owner(server: Server, salt: str) -> None:
    with Client(server.address) as one, Client(server.address) as other:
        graph = GraphBuilder("failing.")
        failing = graph.node("CompatFailsAtOnce", value=graph.node("CompatWhole", value=1, salt=salt).out(0))
        graph.node("CompatShow", value=failing.out(0))
        assert one.fail(graph)["node_id"] == failing.id
        other.hear(0.3)
        assert "execution_error" not in [kind for kind, _ in other.texts]
        assert other.run(simple(salt)).shown("simple.show") == [3]


def test_many_prompts_queued_at_once_all_run_in_turn(client: Client, salt: str) -> None:
    waits = []
    for number in range(12):
        graph = GraphBuilder(f"{number}.")
        graph.node("CompatShow", "show", value=graph.node("CompatWait", value=number, seconds=0.05).out(0), salt=salt)
        waits.append(client.queue(graph.finalize())["prompt_id"])
    ended: list[str] = []
    while len(ended) < len(waits):
        ended.append(client.until(lambda kind, data: kind == "executing" and data["node"] is None)["prompt_id"])
    assert sorted(ended) == sorted(waits)
    starts = [data["prompt_id"] for kind, data in client.texts if kind == "execution_start"]
    assert starts == waits
    assert [client.entry(id)["outputs"][f"{number}.show"] for number, id in enumerate(waits)] == [{"value": [n]} for n in range(12)]


def test_a_queued_prompt_is_seen_in_the_queue_and_can_be_interrupted(client: Client, graph: GraphBuilder, salt: str) -> None:
    graph.node("CompatShow", value=graph.node("CompatHoldUp", value=salt, seconds=30.0).out(0))
    prompt_id = client.queue(graph.finalize())["prompt_id"]
    client.until(lambda kind, data: kind == "executing" and data["prompt_id"] == prompt_id)
    (item,) = [item for item in client.request("/queue")["queue_running"] if item[1] == prompt_id]
    assert item[2] == graph.finalize()
    began_s = time.monotonic()
    client.request("/interrupt", {"prompt_id": prompt_id})
    data = client.until(lambda kind, data: kind == "execution_interrupted")
    client.until(lambda kind, data: kind == "executing" and data["node"] is None)
    assert time.monotonic() - began_s < 20
    assert (data["prompt_id"], data["node_type"]) == (prompt_id, "CompatHoldUp")
    assert client.entry(prompt_id)["status"]["completed"] is False


def test_a_prompt_id_may_be_chosen(client: Client, salt: str) -> None:
    chosen = str(uuid.uuid4())
    assert client.queue(simple(salt).finalize(), prompt_id=chosen)["prompt_id"] == chosen
    assert client.follow(chosen).shown("simple.show") == [3]


def test_a_client_that_does_not_read_for_a_while_misses_nothing(client: Client, salt: str) -> None:
    graphs = [simple(f"{salt}{number}") for number in range(3)]
    prompts = [client.queue(graph.finalize())["prompt_id"] for graph in graphs]
    time.sleep(1.5)
    assert [client.follow(prompt_id).shown("simple.show") for prompt_id in prompts] == [[3]] * 3


def test_windows_of_the_history_count_from_the_oldest(client: Client, salt: str) -> None:
    made = [client.run(simple(f"{salt}{number}")).prompt_id for number in range(6)]
    everything = client.history()
    assert [id for id in everything if id in made] == made
    assert client.history(offset=0) == everything
    assert client.history(offset=len(everything)) == client.history(offset=len(everything) + 100) == {}
    ids = list(everything)
    assert list(client.history(max_items=2, offset=0)) == ids[:2]
    assert list(client.history(max_items=2, offset=1)) == ids[1:3]
    assert list(client.history(offset=2)) == ids[2:]
    assert list(client.history(max_items=5, offset=len(ids) - 1)) == ids[-1:]
    assert list(client.history(max_items=2)) == ids[-2:]


def test_refused_prompts_are_not_in_the_history(client: Client, graph: GraphBuilder) -> None:
    before = set(client.history())
    graph.node("CompatShow")
    with pytest.raises(Exception, match="prompt_outputs_failed_validation"):
        client.queue(graph.finalize(), prompt_id="never-to-be-seen")
    assert set(client.history()) == before
    assert client.request("/history/never-to-be-seen") == {}


def test_every_route_is_there_below_api_too(client: Client, salt: str) -> None:
    prompt_id = client.run(simple(salt)).prompt_id
    assert client.request(f"/api/history/{prompt_id}") == client.request(f"/history/{prompt_id}")
    assert client.request("/api/prompt") == {"exec_info": {"queue_remaining": 0}}
    assert client.request("/api/object_info/CompatShow") == client.request("/object_info/CompatShow")


def test_prompts_of_one_client_are_told_one_after_the_other(client: Client, salt: str) -> None:
    prompts = []
    for number, seconds in enumerate((1.0, 0.1, 0.5, 0.0)):
        graph = GraphBuilder(f"{number}.")
        graph.node("CompatShow", "show", value=graph.node("CompatWait", "wait", value=number, seconds=seconds).out(0), salt=salt)
        prompts.append(client.queue(graph.finalize())["prompt_id"])
    heard_before = len(client.texts)
    assert [client.follow(prompt_id).shown(f"{number}.show") for number, prompt_id in enumerate(prompts)] == [[0], [1], [2], [3]]
    told = [data["prompt_id"] for _, data in client.texts[heard_before:] if "prompt_id" in data]
    assert told == sorted(told, key=prompts.index)
