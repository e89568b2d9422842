"""Pictures of the shipped graphs, made by running them: `python -m marquetry.graphs.thumbnails [NAME ...]`."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import marquetry.nodes
from marquetry.engine.cache import ResultCache
from marquetry.engine.context import Services
from marquetry.engine.errors import EngineError
from marquetry.engine.events import AnyEvent, NodeFinished
from marquetry.engine.execution.executor import Executor
from marquetry.engine.folders import Folders
from marquetry.engine.graph import Graph
from marquetry.engine.models.builtin import add_builtin_models
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.registry import Registry
from marquetry.engine.validation import validate
from marquetry.graphs.library import ShippedGraph, find_graph, list_graphs, load_graph, place_samples

CACHE_BYTES = 2**28


def make_thumbnails(graphs: Iterable[ShippedGraph]) -> None:
    """Run each graph as it ships, and keep its first picture beside it. Raises EngineError when one fails."""
    registry = Registry()
    registry.scan(marquetry.nodes)
    with tempfile.TemporaryDirectory() as place:
        folders = Folders(Path(place))
        folders.create()
        add_builtin_models(folders)
        executor = Executor(registry, Services(folders, ModelLibrary(folders), preview_size=0), ResultCache(CACHE_BYTES))
        try:
            for graph in graphs:
                place_samples(graph.name, folders)
                shutil.copyfile(_first_picture(executor, graph), graph.thumbnail)
        finally:
            executor.close()


def _first_picture(executor: Executor, graph: ShippedGraph) -> Path:
    folders = executor.services.folders
    validation = asyncio.run(validate(Graph.from_api(load_graph(graph.name)), executor.registry, folders))
    if not validation.ok:
        raise EngineError(f"{graph.name}: {validation.problems[0].message} ({validation.problems[0].details})")
    events: list[AnyEvent] = []
    run = executor.submit(validation.graph, job_id=graph.name, outputs=validation.outputs, listener=events.append)
    ended = run.done.result()
    for event in events:
        if isinstance(event, NodeFinished) and event.ui is not None and event.ui.get("images"):
            saved = event.ui["images"][0]
            return folders.output / str(saved["subfolder"]) / str(saved["filename"])
    raise EngineError(f"{graph.name} {ended.state} without a picture: {ended.message}")


if __name__ == "__main__":
    make_thumbnails([find_graph(name) for name in sys.argv[1:]] or list_graphs())
