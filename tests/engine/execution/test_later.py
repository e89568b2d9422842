"""Large graphs: who begins them goes on at once, and a lane makes their plan."""

from __future__ import annotations

import threading
from typing import Any

from marquetry.engine.events import AnyEvent, JobFinished, JobStarted
from marquetry.engine.execution.executor import LARGE_GRAPH
from marquetry.engine.graph import Graph
from tests.engine.execution.workshop import Workshop, n


def long_chain(length: int = LARGE_GRAPH) -> dict[str, Any]:
    chain = {"0": n("Value", value=7)} | {str(place): n("Pass", value=[str(place - 1), 0]) for place in range(1, length)}
    return {**chain, "show": n("Show", value=[str(length - 1), 0])}


class Ear:
    """Hears events of a job until its last."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self.over = threading.Event()

    def __call__(self, event: AnyEvent) -> None:
        self.events.append(event)
        if isinstance(event, JobFinished):
            self.over.set()

    def last(self) -> JobFinished:
        assert self.over.wait(30)
        last = self.events[-1]
        assert isinstance(last, JobFinished)
        return last


def begin(shop: Workshop, prompt: dict[str, Any], job_id: str = "job") -> Ear:
    ear = Ear()
    shop.executor.begin(Graph.from_api(prompt), job_id=job_id, outputs=("show",), listener=ear, owner="", extra={})
    return ear


def test_a_large_graph_runs_as_any_other(shop: Workshop) -> None:
    ear = begin(shop, long_chain())
    assert ear.last().state == "completed"
    assert isinstance(ear.events[0], JobStarted)
    assert len(ear.last().executed) == LARGE_GRAPH + 1
    assert shop.executor.running() == []


def test_it_can_be_cancelled_before_it_has_a_plan(shop: Workshop) -> None:
    gate = threading.Event()
    shop.type("Gate", lambda value: (gate.wait(5),), inputs={"value": "*"}, outputs=["*"])
    threads = len(shop.executor.lanes.cpu.threads)
    blocking = [
        begin(shop, {"gate": n("Gate", value=place), "show": n("Show", value=["gate", 0])}, f"blocking {place}") for place in range(threads)
    ]
    ear = begin(shop, long_chain(), "long")
    found = shop.executor.find("long")
    assert found is not None
    found.cancel()
    gate.set()
    assert ear.last().state == "cancelled"
    assert [one.last().state for one in blocking] == ["completed"] * threads
    assert shop.executor.running() == []


def test_a_graph_that_has_no_plan_ends_with_the_reason(shop: Workshop) -> None:
    last = begin(shop, {**long_chain(), "0": n("Pass", value=["5", 0])}).last()
    assert (last.state, last.code) == ("failed", "invalid_graph")
    assert "cycle" in last.message
    assert shop.executor.running() == []
