"""A small workshop for execution tests: node types made in place, and jobs run to their end with their events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marquetry.engine.cache import ResultCache
from marquetry.engine.context import Services
from marquetry.engine.events import AnyEvent, JobFinished, NodeFailed, NodeFinished, NodesCached, NodeStarted
from marquetry.engine.execution.executor import Executor
from marquetry.engine.execution.run import Run
from marquetry.engine.folders import Folders
from marquetry.engine.graph import Graph, GraphLimits
from marquetry.engine.ports import ANY
from marquetry.engine.registry import Registry
from marquetry.engine.schema import Input, NodeType, Output
from marquetry.engine.validation import Validation, validate

WAIT_S = 30


@dataclass
class Ended:
    """A job that is over: its last event, all events, what output nodes showed."""

    last: JobFinished
    events: list[AnyEvent]

    @property
    def state(self) -> str:
        return self.last.state

    @property
    def ran(self) -> list[str]:
        return [event.node_id for event in self.events if isinstance(event, NodeStarted)]

    @property
    def cached(self) -> list[str]:
        return next(event.node_ids for event in self.events if isinstance(event, NodesCached))

    @property
    def ui(self) -> dict[str, Any]:
        return {event.node_id: event.ui for event in self.events if isinstance(event, NodeFinished) and event.ui is not None}

    @property
    def failures(self) -> list[NodeFailed]:
        return [event for event in self.events if isinstance(event, NodeFailed)]

    def seen(self, id: str) -> Any:
        """What the `Show` node with that id showed."""
        return self.ui[id]["values"]


@dataclass
class Workshop:
    """An executor with node types that a test declares."""

    folder: Path
    memory_bytes: int = 2**30
    limits: GraphLimits = field(default_factory=GraphLimits)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.registry = Registry()
        self.folders = Folders(self.folder)
        self.cache = ResultCache(self.memory_bytes)
        self.executor = Executor(self.registry, Services(self.folders), self.cache, limits=self.limits, **self.options)
        self.type("Value", lambda value: (value,), inputs={"value": "*"}, outputs=["*"])
        self.type("Add", lambda a, b: (a + b,), inputs={"a": "*", "b": "*"}, outputs=["*"])
        self.type("Pass", lambda value: (value,), inputs={"value": "*"}, outputs=["*"])
        self.type("Show", lambda value: {"ui": {"values": value}}, inputs={"value": "*"}, is_output=True, input_is_list=True)

    def type(
        self, id: str, call: Callable[..., Any], *, inputs: Mapping[str, Any] | None = None, outputs: Iterable[Any] = (),
        optional: Mapping[str, Any] | None = None, lazy: Iterable[str] = (), raw: Iterable[str] = (), lists: Iterable[int] = (), **more: Any,
    ) -> NodeType:  # fmt: skip
        """Declare a node type whose call gives a tuple."""
        any_of = {"*": ANY}
        inputs = {name: any_of.get(kind, kind) for name, kind in (inputs or {}).items()}
        outputs = [any_of.get(kind, kind) for kind in outputs]
        lazy, raw, lists = set(lazy), set(raw), set(lists)
        declared = [Input(name, kind, True, {}, lazy=name in lazy, raw_link=name in raw) for name, kind in inputs.items()]
        declared += [Input(name, kind, False, {}, lazy=name in lazy, raw_link=name in raw) for name, kind in (optional or {}).items()]
        made = NodeType(
            id=id, title=id, category="test", call=call, inputs=tuple(declared),
            outputs=tuple(Output(kind, f"out{number}", number in lists) for number, kind in enumerate(outputs)),
            **{"lane": "io" if asyncio.iscoroutinefunction(call) else "cpu", **more},
        )  # fmt: skip
        self.registry.add(made, replace=True)
        return made

    def check(self, prompt: Mapping[str, Any], targets: Iterable[str] | None = None) -> Validation:
        return asyncio.run(validate(Graph.from_api(prompt), self.registry, self.folders, targets))

    def start(
        self, prompt: Mapping[str, Any], *, owner: str = "", targets: Iterable[str] | None = None, job_id: str = "job"
    ) -> tuple[Run, list[AnyEvent]]:
        """Submit a graph that must be valid."""
        validation = self.check(prompt, targets)
        assert validation.outputs, validation.problems[:3]
        events: list[AnyEvent] = []
        run = self.executor.submit(validation.graph, job_id=job_id, outputs=validation.outputs, owner=owner, listener=events.append)
        return run, events

    def run(self, prompt: Mapping[str, Any], *, owner: str = "", targets: Iterable[str] | None = None, job_id: str = "job") -> Ended:
        """Submit a graph and wait for its end."""
        run, events = self.start(prompt, owner=owner, targets=targets, job_id=job_id)
        return Ended(run.done.result(WAIT_S), events)

    def close(self) -> None:
        self.executor.close()


def n(type_id: str, **inputs: Any) -> dict[str, Any]:
    """A node of an API graph."""
    return {"class_type": type_id, "inputs": inputs}
