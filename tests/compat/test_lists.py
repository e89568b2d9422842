"""Lists of values, and values that are blocked."""

from __future__ import annotations

from typing import Any

from marquetry.engine.expansion import GraphBuilder, GraphNode
from tests.compat.client import Client


def several(graph: GraphBuilder, *values: Any) -> GraphNode:
    sources = [graph.node("CompatWhole", value=value) if isinstance(value, int) else value for value in values]
    return graph.node("CompatSeveral", None, **{f"value{number}": source.out(0) for number, source in enumerate(sources, 1)})


def test_a_node_is_called_for_each_index_and_short_lists_repeat_their_last(client: Client, graph: GraphBuilder) -> None:
    pair = graph.node("CompatPair", a=several(graph, 1, 2, 3).out(0), b=several(graph, 8, 9).out(0))
    shown = graph.node("CompatShow", value=pair.out(0))
    assert client.run(graph).shown(shown) == ["1:8", "2:9", "3:9"]


def test_whole_lists_are_given_to_who_wants_them(client: Client, graph: GraphBuilder) -> None:
    taken = graph.node("CompatTakesAll", values=several(graph, 1, 2, 3).out(0), by=10)
    each, count = (graph.node("CompatShow", value=taken.out(slot)) for slot in range(2))
    outcome = client.run(graph)
    assert (outcome.shown(each), outcome.shown(count)) == ([10, 20, 30], [3])


def test_accumulated_values_come_apart_in_order(client: Client, graph: GraphBuilder) -> None:
    first = graph.node("CompatBegin", entry=graph.node("CompatWhole", value=4).out(0))
    second = graph.node("CompatBegin", entry=graph.node("CompatWhole", value=5).out(0), before=first.out(0))
    shown = graph.node("CompatShow", value=graph.node("CompatUnpack", accumulation=second.out(0)).out(0))
    assert client.run(graph).shown(shown) == [4, 5]


def test_lazy_inputs_are_asked_for_by_every_call_over_a_list(client: Client, graph: GraphBuilder, salt: str) -> None:
    masks = several(graph, *(graph.node("CompatReal", value=value) for value in (0.0, 0.5, 1.0)))
    mask = graph.node("CompatFlatMask", level=masks.out(0))
    black, white = (graph.node("CompatFlat", level=end, salt=salt) for end in (0.0, 1.0))
    mix = graph.node("CompatLazyMix", mask=mask.out(0), first=black.out(0), second=white.out(0))
    batch = graph.node("RebatchImages", images=mix.out(0), batch_size=3)
    saved = graph.node("SaveImage", images=batch.out(0))
    assert client.run(graph).pictures(saved) == [(0, 0), (127, 127), (255, 255)]


def test_a_blocked_entry_of_a_list_drops_out_alone(client: Client, graph: GraphBuilder, salt: str) -> None:
    pictures = several(graph, *(graph.node("CompatFlat", level=level, salt=salt) for level in (0.0, 1.0, 0.5)))
    blocked = graph.node("CompatEquals", a=several(graph, 1, 2, 3).out(0), b=2)
    gate = graph.node("CompatGate", value=pictures.out(0), block=blocked.out(0))
    listed = graph.node("CompatSeveral", value1=gate.out(0))
    previewed, saved = graph.node("PreviewImage", images=listed.out(0)), graph.node("SaveImage", images=gate.out(0))
    outcome = client.run(graph)
    assert outcome.did_run(previewed)
    assert outcome.pictures(previewed) == outcome.pictures(saved) == [(0, 0), (127, 127)]


def test_what_receives_a_blocked_value_blocks_all_that_follows(client: Client, graph: GraphBuilder, salt: str) -> None:
    shut = graph.node("CompatShut", value=graph.node("CompatWhole", value=1, salt=salt).out(0))
    pair = graph.node("CompatPair", a=shut.out(0), b=shut.out(1))
    silent = graph.node("CompatShow", value=pair.out(0))
    loud = graph.node("CompatShow", value=graph.node("CompatWhole", value=2, salt=salt).out(0))
    for _ in range(2):
        outcome = client.run(graph)
        assert (outcome.shown(silent), outcome.shown(loud)) == (None, [2])
        assert outcome.history["status"]["status_str"] == "success"


def test_a_blocked_value_with_a_message_is_told_once_and_the_rest_goes_on(client: Client, graph: GraphBuilder, salt: str) -> None:
    gate = graph.node("CompatGate", value=graph.node("CompatWhole", value=1, salt=salt).out(0), block=True, message="not today")
    silent = graph.node("CompatShow", value=gate.out(0))
    loud = graph.node("CompatShow", value=graph.node("CompatWhole", value=2, salt=salt).out(0))
    error = client.fail(graph)
    assert (error["node_id"], error["node_type"], error["exception_type"]) == (silent.id, "CompatShow", "ExecutionBlocked")
    assert error["exception_message"] == "Execution Blocked: not today"
    outputs = client.entry(error["prompt_id"])["outputs"]
    assert (outputs.get(silent.id), outputs[loud.id]) == (None, {"value": [2]})


def test_an_error_inside_a_list_names_its_node(client: Client, graph: GraphBuilder) -> None:
    failing = graph.node("CompatFailsAtOnce", value=several(graph, 1, 2).out(0))
    graph.node("CompatShow", value=failing.out(0))
    error = client.fail(graph)
    assert error["node_id"] == failing.id
