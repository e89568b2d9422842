"""Events: typed facts from an execution. WebSocket, history, metering and metrics listen; the executor knows no listener.

They are msgspec structs, so that a worker in another process or machine sends them as they are (`encode` / `decode`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec


class Event(msgspec.Struct, frozen=True, tag=True, kw_only=True, gc=False):
    """`time_ms` is wall-clock time since the epoch."""

    job_id: str
    time_ms: int


class NodeEvent(Event, frozen=True, tag=True, kw_only=True, gc=False):
    """`node_id` is the node that runs; `display_id` the one that the editor shows for it; `parent_id` the node that expanded into it."""

    node_id: str
    display_id: str
    parent_id: str | None = None


class JobStarted(Event, frozen=True, tag=True, kw_only=True, gc=False):
    """The first node of the job is about to be looked at."""


class NodesCached(Event, frozen=True, tag=True, kw_only=True):
    """Submitted nodes whose results are known already; sent once, right after JobStarted, also when empty."""

    node_ids: list[str]


class NodeStarted(NodeEvent, frozen=True, tag=True, kw_only=True, gc=False):
    """A node's body begins."""


class NodeProgress(NodeEvent, frozen=True, tag=True, kw_only=True, gc=False):
    """`value` of `total` steps are done. `preview` is an encoded picture, if there is one."""

    value: float
    total: float
    preview: bytes | None = None
    preview_format: str = "jpeg"


class NodeText(NodeEvent, frozen=True, tag=True, kw_only=True, gc=False):
    """A line of text to show on the node."""

    text: str


class UsageReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one node execution consumed, see `engine.usage.Usage`."""

    operation: str
    quantity: int
    resources: list[str]


class NodeFinished(NodeEvent, frozen=True, tag=True, kw_only=True):
    """A node has its outputs. `cached`: they were known already, nothing ran. `ui` is what clients show, JSON-able.

    `shared`: another job was making the same result at the same time, this one waited for it.
    """

    ui: dict[str, Any] | None = None
    cached: bool = False
    shared: bool = False
    duration_s: float = 0.0
    usage: list[UsageReport] = []


class InnerFinished(NodeEvent, frozen=True, tag=True, kw_only=True, gc=False):
    """A node inside a sealed graph has its outputs. For metering alone: who submitted the graph never hears of it.

    `display_id` is the submitted node that it is inside of, `listing` the type of that; the rest is as in NodeFinished.
    """

    listing: str
    cached: bool = False
    shared: bool = False
    duration_s: float = 0.0
    usage: list[UsageReport] = []


class StillRunning(NodeEvent, frozen=True, tag=True, kw_only=True, gc=False):
    """Something goes on inside a sealed graph; told now and then, for who watches that jobs move, and to nobody else."""


class NodeExpanded(NodeEvent, frozen=True, tag=True, kw_only=True):
    """A node went on as a graph of its own. `node_ids` are the new nodes."""

    node_ids: list[str]


class NodeSkipped(NodeEvent, frozen=True, tag=True, kw_only=True, gc=False):
    """A node did not run: it received a blocked value, was bypassed under load, or its failure was caught (`reason` says which)."""

    reason: str
    message: str = ""


class NodeFailed(NodeEvent, frozen=True, tag=True, kw_only=True):
    """A node's body raised. `error_type` is the exception's qualified name; inputs are short descriptions. Ends the job, unless `caught`."""

    node_type: str
    error_type: str
    code: str
    message: str
    traceback: list[str]
    current_inputs: dict[str, list[str]]
    current_outputs: list[str]
    executed: list[str]
    caught: bool = False


class JobFinished(Event, frozen=True, tag=True, kw_only=True):
    """The last event of a job. `state` is completed, failed or cancelled; `node_id` and `node_type` where it was interrupted."""

    state: str
    code: str = ""
    message: str = ""
    executed: list[str] = []
    node_id: str | None = None
    node_type: str | None = None
    duration_s: float = 0.0


AnyEvent: TypeAlias = (
    JobStarted
    | NodesCached
    | NodeStarted
    | NodeProgress
    | NodeText
    | NodeFinished
    | InnerFinished
    | StillRunning
    | NodeExpanded
    | NodeSkipped
    | NodeFailed
    | JobFinished
)
HIDDEN: frozenset[type[Event]] = frozenset({InnerFinished, StillRunning})
"""Kinds of events that who submitted a job never hears of."""
Listener: TypeAlias = Callable[[AnyEvent], None]

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[AnyEvent])


def encode(events: list[AnyEvent]) -> bytes:
    """A batch of events as MessagePack."""
    return _encoder.encode(events)


def decode(data: bytes) -> list[AnyEvent]:
    """The inverse of `encode`; raises msgspec.ValidationError on anything else."""
    return _decoder.decode(data)
