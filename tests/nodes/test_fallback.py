"""The Fallback node, in whole graphs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from marquetry.engine.declare import node_type
from marquetry.nodes.fallback import fallback
from tests.engine.execution.workshop import Workshop, n


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    workshop = Workshop(tmp_path)
    workshop.registry.add(node_type(fallback))

    def fail() -> tuple[Any]:
        raise ValueError("the service is out of order")

    workshop.type("Fail", fail, outputs=["*"])
    yield workshop
    workshop.close()


def test_the_second_way_does_not_run_while_the_first_one_works(shop: Workshop) -> None:
    graph = {
        "a": n("Value", value=1),
        "b": n("Value", value=2),
        "f": n("Fallback", first=["a", 0], second=["b", 0]),
        "s": n("Show", value=["f", 0]),
    }
    ended = shop.run(graph)
    assert (ended.seen("s"), "b" in ended.ran) == ([1], False)


def test_a_failure_of_the_first_way_leads_to_the_second_and_is_shown_on_its_node(shop: Workshop) -> None:
    graph = {"a": n("Fail"), "b": n("Value", value=2), "f": n("Fallback", first=["a", 0], second=["b", 0]), "s": n("Show", value=["f", 0])}
    ended = shop.run(graph)
    assert (ended.state, ended.seen("s")) == ("completed", [2])
    assert [(failure.node_id, failure.caught) for failure in ended.failures] == [("a", True)]


def test_when_both_ways_fail_the_job_fails_with_the_second_error(shop: Workshop) -> None:
    graph = {"a": n("Fail"), "b": n("Fail"), "f": n("Fallback", first=["a", 0], second=["b", 0]), "s": n("Show", value=["f", 0])}
    ended = shop.run(graph)
    assert ended.state == "failed"
    assert [failure.caught for failure in ended.failures][-1] is False


def test_ways_may_be_chained(shop: Workshop) -> None:
    graph = {
        "a": n("Fail"), "b": n("Pass", value=["a", 0]), "c": n("Value", value=3),
        "f": n("Fallback", first=["b", 0], second=["a", 0]), "g": n("Fallback", first=["f", 0], second=["c", 0]), "s": n("Show", value=["g", 0]),
    }  # fmt: skip
    assert shop.run(graph).seen("s") == [3]
