"""Random graphs against a plain evaluator, and identity: same content, same key; any change, another key."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marquetry.engine.graph import Graph
from tests.engine.execution.workshop import Workshop, n


@pytest.fixture(scope="module")
def bench() -> Iterator[Workshop]:
    with tempfile.TemporaryDirectory() as folder:
        shop = Workshop(Path(folder))
        yield shop
        shop.close()


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    """DAGs of sums, lists, lazy switches and expansions, with one output."""
    size = draw(st.integers(1, 24))
    graph: dict[str, Any] = {"0": n("Number", value=draw(st.integers(0, 9)))}
    for number in range(1, size):

        def parent(below: int = number) -> list[Any]:
            return [str(draw(st.integers(0, below - 1))), 0]

        kind = draw(st.sampled_from(["Number", "Sum", "Sum", "Twice", "Grow", "Pick"]))
        if kind == "Number":
            graph[str(number)] = n("Number", value=draw(st.integers(0, 9)))
        elif kind == "Sum":
            graph[str(number)] = n("Sum", a=parent(), b=parent())
        elif kind == "Pick":
            graph[str(number)] = n("Pick", choose=parent(), even=parent(), odd=parent())
        else:
            graph[str(number)] = n(kind, value=parent())
    names = list(graph)
    shuffled = draw(st.permutations(names))
    graph = {name: graph[name] for name in shuffled}
    graph["out"] = n("Show", value=[draw(st.sampled_from(names)), 0])
    return graph


def evaluate(graph: dict[str, Any], id: str) -> list[int]:
    """What a graph means, said as plainly as possible: every value is a list."""
    node = graph[id]
    given = node["inputs"]

    def of(name: str) -> list[int]:
        value = given[name]
        return evaluate(graph, value[0]) if isinstance(value, list) else [value]

    def longest(*lists: list[int]) -> Iterator[tuple[int, ...]]:
        for index in range(max(len(values) for values in lists)):
            yield tuple(values[min(index, len(values) - 1)] for values in lists)

    match node["class_type"]:
        case "Number":
            return of("value")
        case "Sum":
            return [(a + b) % 97 for a, b in longest(of("a"), of("b"))]
        case "Twice":
            return [entry for value in of("value") for entry in (value, (value + 1) % 97)][:8]
        case "Grow":
            return [(value + 3) % 97 for value in of("value")]
        case "Pick":
            chosen = of("choose")
            even = of("even") if any(choose % 2 == 0 for choose in chosen) else [-1]
            odd = of("odd") if any(choose % 2 for choose in chosen) else [-1]
            return [left if choose % 2 == 0 else right for choose, left, right in longest(chosen, even, odd)]
        case _:
            return of("value")


def declare(shop: Workshop, calls: Counter[tuple[Any, ...]]) -> None:
    from marquetry.engine.expansion import GraphBuilder

    def grow(value: int) -> dict[str, Any]:
        builder = GraphBuilder()
        return {"result": (builder.node("Sum", a=value, b=3).out(0),), "expand": builder.finalize()}

    def needed(choose: int, even: Any = None, odd: Any = None) -> list[str]:
        return ["even"] if choose % 2 == 0 else ["odd"]

    def twice(value: list[int]) -> tuple[list[int]]:
        calls["Twice", tuple(value)] += 1
        return ([entry for number in value for entry in (number, (number + 1) % 97)][:8],)

    shop.type("Number", lambda value: (value,), inputs={"value": "INT"}, outputs=["INT"])
    shop.type("Sum", lambda a, b: (a + b) % 97, inputs={"a": "INT", "b": "INT"}, outputs=["INT"], bare=True)  # the simple way
    shop.type("Twice", twice, inputs={"value": "INT"}, outputs=["INT"], lists=[0], input_is_list=True)  # fmt: skip
    shop.type("Grow", grow, inputs={"value": "INT"}, outputs=["INT"])
    shop.type("Pick", lambda choose, even=None, odd=None: (even if choose % 2 == 0 else odd,), inputs={"choose": "INT", "even": "INT", "odd": "INT"},
              outputs=["INT"], lazy=["even", "odd"], lazy_status=needed)  # fmt: skip


@settings(deadline=None, max_examples=120)
@given(graph=graphs())
def test_a_random_graph_gives_what_a_plain_evaluator_gives_with_each_node_at_most_once(bench: Workshop, graph: dict[str, Any]) -> None:
    calls: Counter[tuple[Any, ...]] = Counter()
    declare(bench, calls)
    bench.cache.clear()
    ended = bench.run(graph)
    assert ended.state == "completed", ended.last
    assert ended.seen("out") == evaluate(graph, graph["out"]["inputs"]["value"][0]), str(graph)
    assert all(count == 1 for count in Counter(ended.ran).values())
    again = bench.run(graph)
    assert (again.ran, again.seen("out")) == ([], ended.seen("out"))


def key_of(shop: Workshop, graph: dict[str, Any], id: str = "out", owner: str = "") -> bytes:
    plan = shop.executor.plan(Graph.from_api(graph), (id,))
    return shop.executor.keys_of(plan, owner)[0][plan.index[id]]


@settings(deadline=None, max_examples=60)
@given(graph=graphs(), data=st.data())
def test_renaming_and_reordering_keep_every_key(bench: Workshop, graph: dict[str, Any], data: st.DataObject) -> None:
    declare(bench, Counter())
    names = {id: "out" if id == "out" else f"n{number}" for number, id in enumerate(data.draw(st.permutations(list(graph))))}
    renamed = {
        names[id]: {"class_type": graph[id]["class_type"], "inputs": {
            name: [names[value[0]], value[1]] if isinstance(value, list) else value for name, value in reversed(graph[id]["inputs"].items())
        }}
        for id in names
    }  # fmt: skip
    assert key_of(bench, renamed) == key_of(bench, graph)


@settings(deadline=None, max_examples=60)
@given(graph=graphs(), amount=st.integers(1, 1000))
def test_changing_a_literal_changes_the_keys_of_what_follows_and_of_nothing_else(
    bench: Workshop, graph: dict[str, Any], amount: int
) -> None:
    declare(bench, Counter())
    changed = {**graph, "0": n("Number", value=graph["0"]["inputs"]["value"] + amount)}
    needed = Graph.from_api(graph).ancestors(["out"])
    for id in needed:
        follows = "0" in Graph.from_api(graph).ancestors([id])
        assert (key_of(bench, changed, id) != key_of(bench, graph, id)) == follows


@pytest.mark.parametrize("change", [1, 1.5, True, "1", None, [1], {"a": 1}])
def test_values_of_different_types_have_different_keys(bench: Workshop, change: Any) -> None:
    values = [1, 1.5, True, "1", None, [1], {"a": 1}]
    keys = {key_of(bench, {"1": n("Value", value=value), "out": n("Show", value=["1", 0])}) for value in values}
    assert len(keys) == len(values)


def test_which_output_is_linked_is_part_of_the_key(bench: Workshop) -> None:
    bench.type("Two", lambda: (1, 2), outputs=["*", "*"])
    graph = {"1": n("Two"), "out": n("Show", value=["1", 0])}
    assert key_of(bench, graph) != key_of(bench, {**graph, "out": n("Show", value=["1", 1])})
