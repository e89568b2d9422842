"""Worker: runs jobs and answers questions about its nodes. What crosses the border to a child process are these structs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from marquetry.engine.events import AnyEvent
from marquetry.engine.graph import Graph

RUN_VARIABLE = "MARQUETRY_RUN"  # environment variable that names the run of the server, for workers that are started anew


class Task(msgspec.Struct, frozen=True, array_like=True):
    """A job as a worker gets it. `graph` and `extra` are JSON; `published` are the published graphs that nodes of it stand for."""

    job_id: str
    owner: str
    graph: bytes
    extra: bytes
    outputs: tuple[str, ...]
    published: bytes = b""


class FileChoices(msgspec.Struct, frozen=True):
    """An input whose choices are the files of a folder: whoever shows the node lists them anew."""

    section: str
    name: str
    file_kind: str
    also: tuple[str, ...] = ()


class NodeDescription(msgspec.Struct, frozen=True):
    """What a server knows of a node type that only the worker can run. `object_info` is JSON."""

    id: str
    is_output: bool
    has_validator: bool
    object_info: msgspec.Raw
    file_choices: tuple[FileChoices, ...] = ()


class Description(msgspec.Struct, frozen=True):
    """All node types of a worker, the packs that could not be loaded with the reason, and the folders with scripts of those that were."""

    nodes: tuple[NodeDescription, ...]
    failed_packs: dict[str, str] = {}
    web_directories: dict[str, str] = {}


class ProblemReply(msgspec.Struct, frozen=True):
    """A `validation.Problem` as it crosses the border."""

    type: str
    message: str
    details: str = ""
    node_id: str | None = None
    input_name: str | None = None
    extra: dict[str, Any] = {}


class ValidationReply(msgspec.Struct, frozen=True):
    """A `validation.Validation` as it crosses the border. `graph` is JSON with literals in the types that the nodes declare."""

    problems: tuple[ProblemReply, ...]
    outputs: tuple[str, ...]
    graph: bytes
    dependent_outputs: dict[str, tuple[str, ...]] = {}


class WorkerStats(msgspec.Struct, frozen=True):
    """`warm`: the model libraries are imported. `restarts` counts crashes since the server started. `devices` are as `system_stats` shows them."""

    name: str
    kind: str
    ready: bool
    warm: bool
    running: int
    restarts: int = 0
    process_id: int = 0
    resident_bytes: int = 0
    devices: tuple[dict[str, Any], ...] = ()
    libraries: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class WorkerListener:
    """Who hears of a worker, all calls in the event loop. `events` come in order per job; a batch may mix jobs.

    `lost` says why the worker lost all its jobs; it is called once per crash, before the worker starts again.
    `changed` is called when the worker becomes ready or warm; `said` with what a node pack tells clients: name, JSON, and to whom.
    """

    events: Callable[[Sequence[AnyEvent]], None]
    lost: Callable[[str], None]
    changed: Callable[[], None]
    said: Callable[[str, bytes, str | None], None]


class Worker(Protocol):
    """Runs several jobs at once. Every job that `run` took ends with a JobFinished event, unless the worker is lost."""

    @property
    def name(self) -> str: ...

    @property
    def ready(self) -> bool:
        """Whether `run` may be called."""
        ...

    async def start(self, listener: WorkerListener) -> None:
        """Begin; returns at once, `ready` follows."""
        ...

    def run(self, task: Task, graph: Graph | None = None) -> None:
        """Begin a job. `graph` spares a worker in this process the parsing."""
        ...

    def cancel(self, job_id: str) -> None:
        """Stop a job at its next step; its JobFinished says whether it was in time."""
        ...

    def restart(self) -> bool:
        """End by force what it runs, which is then lost, and start anew; False where that can't be done."""
        ...

    async def describe(self) -> Description:
        """The node types. Raises WorkerUnavailable."""
        ...

    async def validate(
        self, graph: bytes, targets: Sequence[str] | None = None, owner: str = "", published: bytes = b""
    ) -> ValidationReply:
        """Check an API graph (JSON) with the files that its owner sees. Raises GraphError and WorkerUnavailable."""
        ...

    async def free(self, *, unload_models: bool = False, free_memory: bool = False) -> None:
        """Let go of idle models, of cached results."""
        ...

    async def stats(self) -> WorkerStats:
        """How it is. Never waits for a node that computes."""
        ...

    async def stop(self) -> None:
        """End; jobs that still run are lost without a call to `lost`."""
        ...
