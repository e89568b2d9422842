"""Job: a submitted graph with its owner, place in the queue, lease and history. Values only; `JobService` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from marquetry.engine.graph import Graph


class JobState(StrEnum):
    """Where a job is. The last three are final, and each job reaches exactly one of them."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATES


FINAL_STATES = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class NodePhase(StrEnum):
    """Where a node of a running or finished job is. Nodes that nothing was heard of are in no list."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    SKIPPED = "skipped"


class NodeState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is known of one node. `value` of `total` steps are done; `cached`: its result was known, nothing ran."""

    state: str
    display_id: str
    parent_id: str | None = None
    started_ms: int | None = None
    finished_ms: int | None = None
    duration_s: float = 0.0
    cached: bool = False
    shared: bool = False
    value: float = 0.0
    total: float = 1.0
    text: str | None = None


def origin_of(nodes: Mapping[str, NodeState], id: str) -> str:
    """The submitted node that a node was expanded from, or itself."""
    while (node := nodes.get(id)) is not None and node.parent_id is not None:
        id = node.parent_id
    return id


class JobError(msgspec.Struct, frozen=True):
    """Why a job failed or stopped.

    `details` has `exception_type`, `traceback`, `current_inputs`, `current_outputs` and `executed` where a node raised.
    """

    code: str
    message: str
    node_id: str | None = None
    node_type: str | None = None
    details: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is at one moment.

    `graph` and `extra` are JSON as submitted. `outputs` holds what clients show, by node. `messages` are events as ComfyUI's
    history holds them. `number` is ComfyUI's: lower runs first among the jobs of one owner and priority. `attempts` counts
    how often a worker began it; `set_aside`: it failed because its workers kept dying.
    """

    id: str
    owner: str
    client_id: str
    state: JobState
    number: float
    priority: int
    created_ms: int
    graph: bytes
    extra: bytes
    outputs_to_execute: tuple[str, ...]
    started_ms: int | None = None
    finished_ms: int | None = None
    outputs: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    nodes: Mapping[str, NodeState] = field(default_factory=dict)
    messages: tuple[tuple[str, dict[str, Any]], ...] = ()
    error: JobError | None = None
    progress: float = 0.0  # 0..100
    current_step: str = ""
    attempts: int = 0
    set_aside: bool = False
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """A validated graph that somebody wants run.

    `outputs` are the output nodes to run. `graph_json` is the graph as it came, so that it isn't encoded again; `extra` is
    the `extra_data` of the request. `front` puts the job before its owner's others; `number` gives the place outright.
    Higher `priority` runs first. `key_id`: the API key that submitted it.
    """

    graph: Graph
    outputs: tuple[str, ...]
    owner: str = ""
    client_id: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    graph_json: bytes | None = None
    number: float | None = None
    front: bool = False
    priority: int = 0
    job_id: str | None = None
    idempotency_key: str | None = None
    key_id: str | None = None

    @property
    def by_key(self) -> bool:
        return self.key_id is not None
