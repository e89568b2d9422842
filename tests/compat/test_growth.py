"""Nodes that go on as graphs."""

from __future__ import annotations

import pytest

from marquetry.engine.expansion import GraphBuilder
from tests.compat.client import Client


def test_calls_over_a_list_may_grow_or_not_and_keep_their_order(client: Client, graph: GraphBuilder) -> None:
    levels = [graph.node("CompatReal", value=value) for value in (0.1, 0.2, 0.3, 0.1)]
    listed = graph.node("CompatSeveral", None, **{f"value{number}": level.out(0) for number, level in enumerate(levels, 1)})
    mixed = graph.node("CompatSometimesGrows", level=listed.out(0))
    grown, plain = (graph.node("SaveImage", images=mixed.out(slot)) for slot in range(2))
    outcome = client.run(graph)
    assert outcome.pictures(grown) == [(25, 25), (51, 51), (76, 76), (25, 25)]
    assert outcome.pictures(plain) == [(255, 255)] * 4


@pytest.mark.parametrize("times", [0, 1, 2, 5])
def test_a_loop_that_counts_runs_its_body_as_often_as_it_says(client: Client, graph: GraphBuilder, salt: str, times: int) -> None:
    start = graph.node("CompatWhole", value=1, salt=salt)
    opening = graph.node("CompatTimesOpen", times=times + 1, value2=start.out(0))
    doubled = graph.node("CompatDoubled", value=opening.out(2))
    closing = graph.node("CompatTimesClose", loop=opening.out(0), value2=doubled.out(0))
    shown = graph.node("CompatShow", value=closing.out(0))
    assert client.run(graph).shown(shown) == [2 ** (times + 1)]


def test_a_loop_of_pictures_runs_again_when_what_it_begins_with_changes(client: Client, graph: GraphBuilder, salt: str) -> None:
    black, white = (graph.node("CompatFlat", level=end, salt=salt) for end in (0.0, 1.0))
    changing = graph.node("CompatChanging", value=white.out(0), always=True)
    opening = graph.node("CompatTimesOpen", times=4, value2=changing.out(0))
    mean = graph.node("CompatMean", picture1=black.out(0), picture2=opening.out(2))
    closing = graph.node("CompatTimesClose", loop=opening.out(0), value2=mean.out(0))
    saved = graph.node("SaveImage", images=closing.out(0))
    for times in range(1, 5):
        opening.set_input("times", times)
        outcome = client.run(graph)
        level = 255 // 2**times
        assert outcome.pictures(saved) == [(level, level)]
        assert outcome.did_run(changing)


def test_a_loop_with_a_condition_gathers_values_in_order(client: Client, graph: GraphBuilder, salt: str) -> None:
    start = graph.node("CompatBegin", entry=graph.node("CompatWhole", value=4, salt=salt).out(0))
    opening = graph.node("CompatWhileOpen", value1=graph.node("CompatWhole", value=4, salt=salt).out(0), value2=start.out(0))
    less = graph.node("CompatLess", value=opening.out(1))
    gathered = graph.node("CompatBegin", entry=less.out(0), before=opening.out(2))
    closing = graph.node("CompatWhileClose", loop=opening.out(0), go=less.out(1), value1=less.out(0), value2=gathered.out(0))
    shown = graph.node("CompatShow", value=graph.node("CompatUnpack", accumulation=closing.out(1)).out(0))
    outcome = client.run(graph)
    assert outcome.shown(shown) == [4, 3, 2, 1, 0]
    display = {data["node"]: data["display_node"] for kind, data in outcome.messages if kind == "executing" and data["node"]}
    assert {id: shown_on for id, shown_on in display.items() if id not in graph.nodes}
    assert set(display.values()) <= set(graph.nodes)


@pytest.mark.parametrize("kind", ["CompatRing", "CompatLazyRing", "CompatRingInside"])
def test_a_graph_that_needs_itself_fails_at_the_submitted_node(client: Client, graph: GraphBuilder, salt: str, kind: str) -> None:
    ring = graph.node(kind, picture=graph.node("CompatFlat", level=0.5, salt=salt).out(0))
    graph.node("SaveImage", images=ring.out(0))
    error = client.fail(graph)
    assert error["node_id"] == ring.id
    assert client.entry(error["prompt_id"])["status"]["status_str"] == "error"


def test_an_error_in_a_grown_node_is_told_of_the_submitted_one(client: Client, graph: GraphBuilder, salt: str) -> None:
    grown = graph.node("CompatFailsInside", value=graph.node("CompatWhole", value=1, salt=salt).out(0))
    graph.node("CompatShow", value=grown.out(0))
    error = client.fail(graph)
    assert (error["node_id"], error["node_type"]) == (grown.id, "CompatFailsAtOnce")


def test_a_graph_may_not_take_an_id_that_is_there(client: Client, graph: GraphBuilder, salt: str) -> None:
    taken = graph.node("CompatFlat", "taken", level=0.5, salt=salt)
    thief = graph.node("CompatTakesAnId", name=taken.id)
    graph.node("CompatShow", value=thief.out(0))
    graph.node("CompatShow", value=taken.out(0))
    error = client.fail(graph)
    assert error["node_id"] == thief.id


def test_output_nodes_inside_run_and_are_shown_where_they_say(client: Client, graph: GraphBuilder, salt: str) -> None:
    grown = graph.node("CompatShowsInside", value=graph.node("CompatWhole", value=8, salt=salt).out(0))
    outcome = client.run(graph)
    executed = {data["node"]: data for kind, data in outcome.messages if kind == "executed"}
    inner, elsewhere = f"{grown.id}.0.0.inner", f"{grown.id}.0.0.elsewhere"
    assert {id: data["display_node"] for id, data in executed.items()} == {inner: grown.id, elsewhere: "another"}
    assert outcome.shown(inner) == outcome.shown(elsewhere) == [8]
    meta = outcome.history["meta"][inner]
    assert meta == {"node_id": inner, "display_node": grown.id, "parent_node": grown.id, "real_node_id": grown.id}
    entries = {id: entry for kind, data in outcome.messages if kind == "progress_state" for id, entry in data["nodes"].items()}
    assert (entries[inner]["parent_node_id"], entries[inner]["display_node_id"]) == (grown.id, grown.id)
    assert (entries[inner]["real_node_id"], entries[inner]["state"]) == (grown.id, "finished")


def test_a_graph_may_hold_any_object(client: Client, graph: GraphBuilder, salt: str) -> None:
    shown = graph.node("CompatShow", value=graph.node("CompatHandsOver", salt=salt).out(0))
    for _ in range(2):
        assert client.run(graph).shown(shown) == ["True inf [1, 2] 200 inf"]


def test_a_node_samples_inside_its_graph(client: Client, graph: GraphBuilder) -> None:
    loader = graph.node("CheckpointLoaderSimple", ckpt_name="marquetry-mini.safetensors")
    given = {"model": loader.out(0), "clip": loader.out(1), "vae": loader.out(2)}
    sampled = graph.node("CompatSamples", None, **given, seed=2**64 - 1, steps=2, text="a red house")
    saved = graph.node("SaveImage", images=sampled.out(0))
    outcome = client.run(graph)
    ((darkest, brightest),) = outcome.pictures(saved)
    assert brightest > darkest
    assert client.run(graph).ran == []
