"""Editing a graph and running it again."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from marquetry.engine.events import AnyEvent
from marquetry.engine.execution.session import Session
from marquetry.engine.graph import Graph, Link
from tests.engine.execution.workshop import WAIT_S, Ended, Workshop, n


def run(session: Session) -> Ended:
    events: list[AnyEvent] = []
    return Ended(session.run("job", events.append).done.result(WAIT_S), events)


def test_an_edit_runs_what_follows_from_it_and_nothing_else(shop: Workshop) -> None:
    graph = {"a": n("Value", value=1), "b": n("Value", value=2), "x": n("Show", value=["a", 0]), "y": n("Show", value=["b", 0])}
    session = Session(shop.executor, Graph.from_api(graph), ("x", "y"))
    assert sorted(run(session).ran) == ["a", "b", "x", "y"]
    assert session.set_input("b", "value", 5) is None
    again = run(session)
    assert (sorted(again.ran), again.seen("y")) == (["b", "y"], [5])
    assert run(session).ran == []


def test_a_constant_that_can_not_be_used_is_refused_and_changes_nothing(shop: Workshop) -> None:
    shop.type("Number", lambda value: (value,), inputs={"value": "INT"}, outputs=["INT"])
    session = Session(shop.executor, Graph.from_api({"a": n("Number", value=1), "x": n("Show", value=["a", 0])}), ("x",))
    finding = session.set_input("a", "value", "many")
    assert finding is not None and finding.type == "invalid_input_type"
    assert session.graph.nodes["a"].inputs["value"] == 1


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), size=st.integers(2, 30), edits=st.integers(1, 12))
def test_any_script_of_edits_gives_the_keys_and_results_of_starting_over(tmp_path_factory: Any, seed: int, size: int, edits: int) -> None:
    dice = random.Random(seed)
    shop = Workshop(Path(tmp_path_factory.mktemp("session")))
    graph: dict[str, Any] = {"0": n("Value", value=0)}
    for number in range(1, size):

        def pick(below: int = number) -> Any:
            return [str(dice.randrange(below)), 0] if dice.random() < 0.7 else dice.randrange(9)

        graph[str(number)] = n("Add", a=pick(), b=pick())
    graph |= {"s": n("Show", value=[str(size - 1), 0]), "t": n("Show", value=[str(size // 2), 0])}
    session = Session(shop.executor, Graph.from_api(graph), ("s", "t"))
    shown = dict(run(session).ui)
    for _ in range(edits):
        id = str(dice.randrange(size))
        name = "value" if id == "0" else dice.choice(["a", "b"])
        value: Any = dice.randrange(9)
        if id != "0" and dice.random() < 0.3:
            value = Link(str(dice.randrange(int(id))), 0)
        assert session.set_input(id, name, value) is None
        shown |= run(session).ui
        fresh = Workshop(Path(tmp_path_factory.mktemp("fresh")))
        expected = fresh.run(session.graph.to_api())
        fresh.close()
        assert shown == expected.ui
    plan = shop.executor.plan(session.graph, ("s", "t"))
    keys = shop.executor.keys_of(plan, "")[0]
    mine = {planned.id: session._keys[index] for index, planned in enumerate(session._plan.nodes)}
    assert mine == {planned.id: keys[index] for index, planned in enumerate(plan.nodes)}
    shop.close()
