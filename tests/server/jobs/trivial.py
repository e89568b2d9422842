"""Nodes that cost nothing, wait, fail or crash, and an engine of them; a child process builds the same one by name."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from marquetry.engine.cache import ResultCache
from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node
from marquetry.engine.execution.executor import Executor
from marquetry.engine.expansion import GraphBuilder
from marquetry.engine.folders import Folders
from marquetry.engine.graph import Graph
from marquetry.engine.outcome import NodeOutput
from marquetry.engine.ports import File
from marquetry.engine.registry import Registry
from marquetry.engine.schema import NodeType
from marquetry.engine.usage import Extent, number_of, operation
from marquetry.server.jobs.workers.parts import EngineParts

FACTORY = "tests.server.jobs.trivial:build_engine"


@node(id="Number", title="Number", category="test")
def number(value: int = 0) -> int:
    """A number."""
    return value


@node(id="Add", title="Add", category="test")
def add(a: int, b: int = 1) -> int:
    """The sum."""
    return a + b


@node(id="Show", title="Show", category="test", output_node=True)
def show(value: int) -> NodeOutput[None]:
    """Shows a number."""
    return NodeOutput(ui={"value": [value]})


@node(id="Sleep", title="Sleep", category="test", not_idempotent=True)
def sleep(context: Context, seconds: float = 1.0, steps: int = 100, value: int = 0) -> int:
    """Waits, reporting each step."""
    for step in range(steps):
        time.sleep(seconds / steps)
        context.progress(step + 1, steps)
    return value


@node(id="Fail", title="Fail", category="test")
def fail(value: int = 0) -> int:
    """Raises."""
    raise ValueError(f"{value} is no good")


@node(id="Crash", title="Crash", category="test")
def crash(times_file: str, times: int = 100, value: int = 0) -> int:
    """Kills its process, the first `times` times."""
    path = Path(times_file)
    done = int(path.read_text()) if path.exists() else 0
    path.write_text(str(done + 1))
    if done < times:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


@node(id="Spin", title="Spin", category="test")
def spin(seconds: float = 1.0, value: int = 0) -> int:
    """Computes without ever looking up."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return value


@node(id="Speak", title="Speak", category="test")
def speak(text: str = "hello", value: int = 0) -> int:
    """Prints."""
    print(text, flush=True)
    print(text, file=sys.stderr, flush=True)
    return value


@node(
    id="Draw",
    title="Draw",
    category="test",
    usage=operation("image.standard", lambda inputs: number_of(inputs.get("count"))),
    extent=lambda inputs: Extent(512, 512),
)
def draw(value: int = 0, count: int = 1, fail: bool = False) -> int:
    """Costs as many pictures as it is told."""
    if fail:
        raise ValueError("nothing was drawn")
    return value


@node(id="Style", title="Style", category="test", usage=operation("lora.apply"))
def style(name: Annotated[str, File("loras")], value: int = 0) -> int:
    """Draws upon a file that somebody may have published."""
    return value


@node(id="Album", title="Album", category="test", usage=operation("image.standard", lambda inputs: number_of(inputs.get("pages"))))
def album(pages: int = 1, each: int = 1, value: int = 0) -> NodeOutput[int]:
    """Goes on as one Draw for each page; costs what those do."""
    graph = GraphBuilder()
    link: Any = value
    for page in range(pages):
        link = graph.node("Draw", f"page{page}", value=link, count=each).out(0)
    return NodeOutput(value=link, expand=graph.finalize())


def registry() -> Registry:
    """The node types of this module."""
    found = Registry()
    module: ModuleType = sys.modules[__name__]
    for value in list(vars(module).values()):
        declared = getattr(value, "__node_type__", None) if callable(value) else None
        if isinstance(declared, NodeType):
            found.add(declared)
    return found


def build_engine(options: Mapping[str, Any]) -> EngineParts:
    """An engine with a cache in memory. `broken` makes it fail, `slow_s` makes it take its time."""
    if options.get("broken"):
        raise RuntimeError("this engine is broken")
    time.sleep(float(options.get("slow_s", 0.0)))
    types = registry()
    services = Services(Folders(Path(options["data"])))
    return EngineParts(types, services, Executor(types, services, ResultCache(64 << 20), cpu_threads=4))


def chain(value: int, nodes: int = 1) -> Graph:
    """A number, `nodes` additions, and their sum shown."""
    api: dict[str, Any] = {"0": {"class_type": "Number", "inputs": {"value": value}}}
    for place in range(nodes):
        api[str(place + 1)] = {"class_type": "Add", "inputs": {"a": [str(place), 0], "b": 1}}
    api["show"] = {"class_type": "Show", "inputs": {"value": [str(nodes), 0]}}
    return Graph.from_api(api)


def single(class_type: str, **inputs: Any) -> Graph:
    """One node, shown."""
    api = {"node": {"class_type": class_type, "inputs": inputs}, "show": {"class_type": "Show", "inputs": {"value": ["node", 0]}}}
    return Graph.from_api(api)
