"""Nodes that tell all they know: what is inside of a published graph would show at once. With an engine of them for a child process.

Everything that must stay hidden holds one of the `MARKS`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import aiohttp
from aiohttp import web

import marquetry.nodes.image
import marquetry.nodes.image_io
import marquetry.nodes.primitive
from marquetry.engine.cache import ResultCache
from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node
from marquetry.engine.dynamic_prompt import DynamicPrompt
from marquetry.engine.execution.executor import Executor
from marquetry.engine.expansion import GraphBuilder
from marquetry.engine.folders import Folders
from marquetry.engine.outcome import ExecutionBlocker, NodeOutput
from marquetry.engine.ports import File, Image, Model, Range
from marquetry.engine.registry import Registry
from marquetry.engine.schema import NodeType
from marquetry.engine.usage import operation
from marquetry.server.app import MAX_LINE_BYTES, create_app
from marquetry.server.database.database import Database
from marquetry.server.jobs.service import JobService
from marquetry.server.jobs.workers.inline import InlineWorker
from marquetry.server.jobs.workers.parts import EngineParts
from marquetry.server.jobs.workers.process import ProcessWorker
from marquetry.server.jobs.workers.worker import Worker
from marquetry.server.logs import LogBuffer
from marquetry.server.settings import Settings
from tests.server.jobs import trivial
from tests.server.peer import Peer

FACTORY = "tests.server.secrets:build_engine"
MARKS = ("hush", "Secret")


class Sizes(NamedTuple):
    INT: int
    MODEL: Model


@node(id="SecretPaint", title="Paint", category="test", usage=operation("image.standard"))
def paint(context: Context, words: str = "", shade: Annotated[int, Range(0, 255)] = 0, steps: int = 3) -> Image:
    """A picture of one shade, with steps, previews and a text."""
    import torch
    from PIL import Image as PillowImage

    for step in range(steps):
        context.progress(step + 1, steps, PillowImage.new("RGB", (8, 8), (step, 0, 0)))
    context.text(f"hush: painting {words}")
    print(f"painted {shade}")  # what nodes print goes to the log, so they name no inside of others
    return torch.full((1, 8, 8, 3), shade / 255)


@node(id="SecretFail", title="Fail", category="test")
def fail(image: Image, words: str = "hush") -> Image:
    """Says too much when it fails."""
    raise RuntimeError(f"Secret {words} in {image.shape} at hush/place")


@node(id="SecretBlock", title="Block", category="test")
def block(image: Image) -> Image:
    """Says too much when it blocks."""
    return ExecutionBlocker("Secret hush: this is blocked")  # type: ignore[return-value]


@node(id="SecretGrow", title="Grow", category="test")
def grow(image: Image, context: Context) -> NodeOutput[Image]:
    """Goes on as a graph of its own."""
    graph = GraphBuilder()
    first = graph.node("ImageInvert", id="hush-grown", image=image)
    return NodeOutput(first.out(0), expand=graph.finalize())  # type: ignore[arg-type]  # a link stands for the value


@node(id="Snoop", title="Snoop", category="test", output_node=True, hidden={"dynprompt": "DYNPROMPT"})
def snoop(image: Image, dynprompt: DynamicPrompt | None = None) -> NodeOutput[None]:
    """Shows all nodes that it can see."""
    assert dynprompt is not None
    return NodeOutput(ui={"seen": sorted(dynprompt.all_node_ids())})


@node(id="Burgle", title="Burgle", category="test")
def burgle(image: Image, target: str = "") -> NodeOutput[Image]:
    """Tries to take a value from inside another node by a link in its own expansion."""
    graph = GraphBuilder()
    taken = graph.node("ImageInvert", image=[target, 0])
    return NodeOutput(taken.out(0), expand=graph.finalize())  # type: ignore[arg-type]  # a link stands for the value


@node(id="ReadWeights", title="Read weights", category="test")
def read_weights(lora_name: Annotated[str, File("loras")], context: Context) -> Sizes:
    """The bytes of a weight file, and the file as a model."""
    path = context.folders.full_path("loras", lora_name)
    return Sizes(path.stat().st_size, path)


@node(id="SaveModelFile", title="Save a model", category="test", output_node=True)
def save_model_file(model: Model) -> NodeOutput[None]:
    """Writes a model where anybody may take it."""
    return NodeOutput(ui={"saved": [str(model)]})


@node(id="Spell", title="Spell", category="test")
def spell(backwards: str) -> str:
    """A text the other way round."""
    return backwards[::-1]


@node(id="ReadAny", title="Read a file by name", category="test")
def read_any(name: str, context: Context) -> int:
    """The bytes of a weight file whose name is a plain text."""
    return context.folders.full_path("loras", name).stat().st_size


def registry() -> Registry:
    """The nodes above, those of `trivial`, and the built-in ones for pictures."""
    import sys

    found = trivial.registry()
    for module in (sys.modules[__name__], marquetry.nodes.image, marquetry.nodes.image_io, marquetry.nodes.primitive):
        for value in list(vars(module).values()):
            declared = getattr(value, "__node_type__", None) if callable(value) else None
            if isinstance(declared, NodeType) and declared.id not in found:
                found.add(declared)
    return found


def build_engine(options: Mapping[str, Any]) -> EngineParts:
    """An engine of these nodes."""
    folders = Folders(Path(options["data"]), apart=bool(options.get("apart")))
    folders.create()
    types = registry()
    services = Services(folders)
    return EngineParts(types, services, Executor(types, services, ResultCache(64 << 20), cpu_threads=2))


@asynccontextmanager
async def served(data: Path, *, inline: bool = False, **settings: Any) -> AsyncIterator[Peer]:
    """A server of several people with a worker in a child process, or in its own."""
    chosen = Settings(data=data, multi_user="accounts" not in settings, **settings)
    data.mkdir(parents=True, exist_ok=True)
    database = await Database.open(chosen.database)
    options = {"data": str(data), "apart": chosen.accounts.enabled}
    worker: Worker = InlineWorker(lambda: build_engine(options)) if inline else ProcessWorker(FACTORY, options)
    jobs = JobService(database, [worker])
    folders = Folders(data, apart=chosen.accounts.enabled)
    application = create_app(chosen, jobs, registry(), folders, logs=LogBuffer())
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0, max_line_size=MAX_LINE_BYTES)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession(address) as session:
            peer = Peer(application, session, folders, address)
            yield peer
            for socket in peer.opened:
                await socket.close()
    finally:
        await runner.cleanup()
        await database.close()
