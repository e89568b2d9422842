"""Node types for tests of the server: they show pictures, report steps, and wait for the test that watches them."""

from __future__ import annotations

import io
import sys
import threading
from collections import defaultdict
from typing import Annotated, Any, Literal

from PIL import Image as PillowImage

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.outcome import NodeOutput
from marquetry.engine.ports import File, Range
from marquetry.engine.registry import Registry
from marquetry.engine.schema import NodeType
from tests.server.jobs import trivial

GATES: defaultdict[str, threading.Event] = defaultdict(threading.Event)


@node(id="Gate", title="Gate", category="test/waiting", not_idempotent=True)
def gate(context: Context, name: str = "", value: int = 0) -> int:
    """Goes on when its test opens the gate, or when the job is cancelled."""
    while not GATES[name].wait(0.005):
        context.check()
    return value


@node(id="Steps", title="Steps", category="test", not_idempotent=True)
def steps(context: Context, count: Annotated[int, Range(1, 10_000)] = 3, previews: bool = False, value: int = 0) -> int:
    """Reports each step, with a picture if wanted."""
    for step in range(count):
        context.progress(step + 1, count, PillowImage.new("RGB", (8, 8), (step % 256, 0, 0)) if previews else None)
    return value


@node(id="Tell", title="Tell", category="test", not_idempotent=True)
def tell(context: Context, text: str = "hello", value: int = 0) -> int:
    """Shows a line of text."""
    context.text(text)
    return value


@node(id="Paint", title="Paint", category="test", output_node=True)
def paint(context: Context, colour: Literal["red", "green"] = "red", seed: int = 0, text: str = "") -> NodeOutput[None]:
    """Saves a picture of one colour."""
    name = f"{colour}_{seed}.png"
    data = io.BytesIO()
    PillowImage.new("RGB", (16, 8), colour).save(data, "PNG")
    context.folders.output.mkdir(parents=True, exist_ok=True)
    (context.folders.output / name).write_bytes(data.getvalue())
    return NodeOutput(ui={"images": [{"filename": name, "subfolder": "", "type": "output"}]})


@node(id="Measure", title="Measure", category="test", private=True)
def measure(context: Context, file: Annotated[str, File("input")]) -> int:
    """How many bytes a file of the input folder has."""
    return context.folders.annotated(file).stat().st_size


def registry() -> Registry:
    """The trivial node types and those of this module."""
    found = trivial.registry()
    for value in list(vars(sys.modules[__name__]).values()):
        declared = getattr(value, "__node_type__", None) if callable(value) else None
        if isinstance(declared, NodeType) and declared.id not in found:
            found.add(declared)
    return found


def linked(class_type: str, **inputs: Any) -> dict[str, Any]:
    """An API graph of one node whose value is shown. Inputs that are not given have their defaults."""
    return {"1": whole(class_type, **inputs), "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}


def whole(class_type: str, **inputs: Any) -> dict[str, Any]:
    """A node of an API graph with all its inputs."""
    defaults = {declared.name: declared.default for declared in registry()[class_type].inputs if "default" in declared.options}
    return {"class_type": class_type, "inputs": {**defaults, **inputs}}


def chain(nodes: int, value: int = 0) -> dict[str, Any]:
    """An API graph of a number, `nodes` additions, and their sum shown."""
    graph: dict[str, Any] = {"0": {"class_type": "Number", "inputs": {"value": value}}}
    for place in range(1, nodes + 1):
        graph[str(place)] = {"class_type": "Add", "inputs": {"a": [str(place - 1), 0], "b": 1}}
    graph["show"] = {"class_type": "Show", "inputs": {"value": [str(nodes), 0]}}
    return graph
