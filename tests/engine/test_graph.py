"""Reading graphs: what is accepted, what is refused, and that nothing is lost on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marquetry.engine.errors import EngineError, GraphError
from marquetry.engine.graph import Graph, GraphLimits, Link

NAMES = st.text(min_size=1, max_size=12)
PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=80)
LITERALS = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8)
LINKS = st.tuples(NAMES, st.integers(0, 20)).map(lambda link: [link[0], link[1]])
NODES = st.fixed_dictionaries({"class_type": NAMES, "inputs": st.dictionaries(NAMES, LITERALS | LINKS, max_size=5)})
JSON = st.recursive(
    PLAIN | st.floats(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@settings(max_examples=200)
@given(st.dictionaries(NAMES, NODES, max_size=8))
def test_a_graph_written_and_read_again_is_the_same(prompt: dict[str, Any]) -> None:
    graph = Graph.from_api(prompt)
    written = graph.to_api()
    assert Graph.from_api(json.loads(json.dumps(written))) == graph
    assert Graph.from_api(written).to_api() == written


@settings(max_examples=300)
@given(JSON | st.dictionaries(NAMES, st.dictionaries(st.sampled_from(["class_type", "inputs", "_meta", "policy", "x"]), JSON)))
def test_any_other_json_is_refused_with_an_error_of_ours_or_read(prompt: Any) -> None:
    try:
        Graph.from_api(prompt)
    except EngineError as error:
        assert error.message


def test_a_list_of_a_string_and_a_number_is_a_link_and_a_wrapped_list_is_not() -> None:
    graph = Graph.from_api({"1": {"class_type": "A", "inputs": {"link": ["2", 0], "list": {"__value__": ["2", 0]}, "longer": ["2", 0, 1]}}})
    assert graph["1"].inputs == {"link": Link("2", 0), "list": ["2", 0], "longer": ["2", 0, 1]}


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ([], "a list"),
        ({"1": None}, "node '1'"),
        ({"1": {"inputs": {}}}, "class_type"),
        ({"1": {"class_type": 5, "inputs": {}}}, "class_type"),
        ({"1": {"class_type": "A", "inputs": []}}, "inputs of node '1'"),
        ({"1": {"class_type": "A", "inputs": {"x": float("nan")}}}, "input 'x'"),
        ({"": {"class_type": "A", "inputs": {}}}, "id"),
        ({"1": {"class_type": "A", "inputs": {}, "policy": {"retries": 99}}}, "retries"),
    ],
)
def test_what_is_wrong_is_named(prompt: Any, words: str) -> None:
    with pytest.raises(GraphError, match=words):
        Graph.from_api(prompt)


def chain(length: int) -> dict[str, Any]:
    nodes: dict[str, Any] = {"0": {"class_type": "A", "inputs": {}}}
    return nodes | {str(i): {"class_type": "A", "inputs": {"x": [str(i - 1), 0]}} for i in range(1, length)}


def test_more_nodes_than_allowed_are_refused() -> None:
    with pytest.raises(GraphError, match="at most 10"):
        Graph.from_api(chain(11), GraphLimits(nodes=10))


def test_a_longer_path_than_allowed_is_refused() -> None:
    Graph.from_api(chain(10), GraphLimits(depth=10))
    with pytest.raises(GraphError, match="11 nodes; at most 10"):
        Graph.from_api(chain(11), GraphLimits(depth=10))


def test_values_nested_without_end_and_values_without_measure_are_refused() -> None:
    deep: Any = 0
    for _ in range(200):
        deep = [deep]
    with pytest.raises(GraphError, match="nested"):
        Graph.from_api({"1": {"class_type": "A", "inputs": {"x": deep}}})
    with pytest.raises(GraphError, match="too large"):
        Graph.from_api({"1": {"class_type": "A", "inputs": {"x": "y" * 2000}}}, GraphLimits(literal_bytes=1000))


def test_a_cycle_is_named_in_the_order_of_its_links() -> None:
    nodes = {"a": ["c", 0], "b": ["a", 0], "c": ["b", 0]}
    ring = Graph.from_api({id: {"class_type": "A", "inputs": {"x": link}} for id, link in nodes.items()}).cycle()
    assert "".join(ring) in ("abc", "bca", "cab")
