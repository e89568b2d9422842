"""What a run shows: a bar over its nodes, a bar for the node that reports steps, and in the end what it saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from marquetry.engine.events import AnyEvent, NodeExpanded, NodeFailed, NodeFinished, NodeProgress, NodesCached, NodeSkipped, NodeStarted
from marquetry.engine.folders import Folders
from marquetry.engine.graph import Graph
from marquetry.engine.schema import NodeType


class Display:
    """Hears a run's events, from any thread. `shown` is what nodes gave for clients, `error` the first failure."""

    def __init__(self, graph: Graph, registry: Mapping[str, NodeType], *, quiet: bool) -> None:
        self.shown: dict[str, Any] = {}
        self.error = ""
        self._titles = {id: node.title or registry[node.type_id].title for id, node in graph.nodes.items()}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=quiet,
        )
        self._all = self._progress.add_task("nodes", total=len(graph))
        self._steps: TaskID | None = None

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._progress.stop()

    def hear(self, event: AnyEvent) -> None:
        """Take in one event."""
        match event:
            case NodesCached():
                self._progress.advance(self._all, len(event.node_ids))
            case NodeStarted():
                self._progress.update(self._all, description=self._titles.get(event.display_id, event.node_id))
            case NodeProgress():
                self._step(event)
            case NodeExpanded():
                total = self._progress.tasks[0].total or 0
                self._progress.update(self._all, total=total + len(event.node_ids))
            case NodeFinished():
                if event.ui is not None:
                    self.shown[event.node_id] = event.ui
                if not event.cached:
                    self._progress.advance(self._all)
            case NodeSkipped():
                self._progress.advance(self._all)
                self._note(event.message)
            case NodeFailed():
                self._note(f"{self._titles.get(event.display_id, event.node_type)} (node {event.node_id}): {event.message}")
            case _:
                pass

    def _note(self, message: str) -> None:
        self.error = self.error or message

    def _step(self, event: NodeProgress) -> None:
        if self._steps is None:
            self._steps = self._progress.add_task("steps", total=event.total)
        self._progress.update(self._steps, completed=event.value, total=event.total)

    def files(self, folders: Folders) -> Iterator[Path]:
        """The files that nodes saved to the output folder."""
        for ui in self.shown.values():
            for entries in ui.values():
                for entry in entries if isinstance(entries, list) else []:
                    if isinstance(entry, Mapping) and entry.get("type") == "output" and "filename" in entry:
                        yield folders.output / str(entry.get("subfolder", "")) / str(entry["filename"])
