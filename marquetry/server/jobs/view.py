"""JobView: the state of a running job, folded from its events. Status, history, reconnecting clients and ComfyUI's messages read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from marquetry.engine.events import (
    AnyEvent,
    InnerFinished,
    JobFinished,
    JobStarted,
    NodeExpanded,
    NodeFailed,
    NodeFinished,
    NodeProgress,
    NodesCached,
    NodeSkipped,
    NodeStarted,
    NodeText,
    StillRunning,
)
from marquetry.server.jobs.job import JobError, JobState, NodePhase, NodeState
from marquetry.server.jobs.plain import plain, plain_tree

RUNNING, FINISHED, FAILED, SKIPPED = (str(phase) for phase in (NodePhase.RUNNING, NodePhase.FINISHED, NodePhase.FAILED, NodePhase.SKIPPED))


class Record(msgspec.Struct, array_like=True):
    """What the database keeps of a finished job."""

    outputs: dict[str, dict[str, Any]] = {}
    nodes: dict[str, NodeState] = {}
    messages: list[tuple[str, dict[str, Any]]] = []
    error: JobError | None = None
    progress: float = 0.0
    current_step: str = ""


_encoder = msgspec.msgpack.Encoder(enc_hook=plain)
_decoder = msgspec.msgpack.Decoder(Record)


def decode_record(data: bytes | None) -> Record:
    """The inverse of `JobView.encode`; nothing is an empty record."""
    return Record() if data is None else _decoder.decode(data)


class JobView:
    """One job's state. `nodes` holds values: copying the dict is a snapshot.

    `count_nodes` says how many nodes the job has to run; asked when progress is, at most once.
    """

    __slots__ = ("_count_nodes", "_done", "_expanded", "_total", "current", "error", "job_id", "messages", "nodes", "outputs", "state")

    def __init__(self, job_id: str, count_nodes: Callable[[], int]) -> None:
        self.job_id = job_id
        self.state = JobState.RUNNING
        self.nodes: dict[str, NodeState] = {}
        self.outputs: dict[str, dict[str, Any]] = {}
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.error: JobError | None = None
        self.current: str | None = None  # the node that began or reported last
        self._count_nodes = count_nodes
        self._total: int | None = None
        self._expanded = 0
        self._done = 0

    def fold_all(self, events: Iterable[AnyEvent]) -> None:
        """Take events in, in their order."""
        for event in events:
            _FOLDS[type(event)](self, event)

    @property
    def progress(self) -> float:
        """0..100: nodes that are done, running ones by their steps."""
        if self.state is JobState.COMPLETED:
            return 100.0
        if self._total is None:
            self._total = max(self._count_nodes(), 1)
        part = 0.0
        if self.current is not None and (node := self.nodes.get(self.current)) is not None and node.state == RUNNING and node.total > 0:
            part = min(node.value / node.total, 1.0)
        return round(min((self._done + part) / (self._total + self._expanded), 1.0) * 100, 2)

    @property
    def current_step(self) -> str:
        """What happens now, in words; nothing when no node runs."""
        if self.state.is_final or self.current is None or (node := self.nodes.get(self.current)) is None:
            return ""
        if node.text:
            return node.text
        return f"node {node.display_id}" if node.total <= 1 else f"node {node.display_id}: {node.value:g} of {node.total:g}"

    def encode(self) -> bytes:
        """The record for the database."""
        record = Record(self.outputs, self.nodes, self.messages, self.error, self.progress, self.current_step)
        try:
            return _encoder.encode(record)
        except Exception:  # a node shows something that no encoder takes
            record.outputs = plain_tree(self.outputs)
            return _encoder.encode(record)

    def _started(self, event: JobStarted) -> None:
        self.messages.append(("execution_start", {"prompt_id": self.job_id, "timestamp": event.time_ms}))

    def _cached(self, event: NodesCached) -> None:
        self.messages.append(("execution_cached", {"nodes": event.node_ids, "prompt_id": self.job_id, "timestamp": event.time_ms}))

    def _node_started(self, event: NodeStarted) -> None:
        self.current = event.node_id
        self.nodes[event.node_id] = NodeState(RUNNING, event.display_id, event.parent_id, event.time_ms)

    def _node_progress(self, event: NodeProgress) -> None:
        node = self.nodes.get(event.node_id)
        if node is not None and node.state != RUNNING:
            return
        self.current = event.node_id
        started_ms, text = (event.time_ms, None) if node is None else (node.started_ms, node.text)
        self.nodes[event.node_id] = NodeState(
            RUNNING, event.display_id, event.parent_id, started_ms, value=event.value, total=event.total, text=text
        )

    def _node_text(self, event: NodeText) -> None:
        node = self.nodes.get(event.node_id) or NodeState(RUNNING, event.display_id, event.parent_id, event.time_ms)
        self.nodes[event.node_id] = msgspec.structs.replace(node, text=event.text)

    def _node_finished(self, event: NodeFinished) -> None:
        node_id = event.node_id
        node = self.nodes.get(node_id)
        if node is None:
            self.nodes[node_id] = NodeState(
                FINISHED, event.display_id, event.parent_id, None, event.time_ms, event.duration_s, event.cached, event.shared, 1.0
            )
            self._done += 1
        else:
            self._done += node.state == RUNNING
            self.nodes[node_id] = NodeState(
                FINISHED, event.display_id, event.parent_id, node.started_ms, event.time_ms, event.duration_s, event.cached,
                event.shared, node.total, node.total, node.text,
            )  # fmt: skip
        if event.ui is not None:
            self.outputs[node_id] = event.ui

    def _node_expanded(self, event: NodeExpanded) -> None:
        self._expanded += len(event.node_ids)

    def _node_skipped(self, event: NodeSkipped) -> None:
        node = self.nodes.get(event.node_id)
        if node is None or node.state == RUNNING:
            self._done += 1
        text = event.message or event.reason
        started_ms = None if node is None else node.started_ms
        self.nodes[event.node_id] = NodeState(SKIPPED, event.display_id, event.parent_id, started_ms, event.time_ms, text=text)

    def _node_failed(self, event: NodeFailed) -> None:
        node = self.nodes.get(event.node_id)
        started_ms = None if node is None else node.started_ms
        self.nodes[event.node_id] = NodeState(
            FAILED, event.display_id, event.parent_id, started_ms, event.time_ms, text=event.message,
            value=0.0 if node is None else node.value, total=1.0 if node is None else node.total,
        )  # fmt: skip
        self.messages.append(("execution_error", execution_error(event)))
        if event.caught:
            self._done += 1
            return
        details = {
            "exception_type": event.error_type,
            "traceback": event.traceback,
            "current_inputs": event.current_inputs,
            "current_outputs": event.current_outputs,
            "executed": event.executed,
        }
        self.error = JobError(event.code, event.message, event.node_id, event.node_type, details)

    def _finished(self, event: JobFinished) -> None:
        self.state = JobState(event.state)
        if self.state is JobState.COMPLETED:
            self.messages.append(("execution_success", {"prompt_id": self.job_id, "timestamp": event.time_ms}))
            return
        if self.state is JobState.CANCELLED:
            self.messages.append(("execution_interrupted", execution_interrupted(event)))
            if self.error is None:
                message = event.message or "the job was cancelled"
                self.error = JobError(event.code or "interrupted", message, event.node_id, event.node_type)
            return
        if self.error is None:
            message = event.message or "the job failed"
            self.error = JobError(event.code or "job_failed", message, event.node_id, event.node_type, {"executed": event.executed})
            self.messages.append(("execution_error", failure_of_job(event)))


def execution_error(event: NodeFailed) -> dict[str, Any]:
    """The data of ComfyUI's `execution_error` for a node that raised."""
    return {
        "prompt_id": event.job_id,
        "node_id": event.display_id,
        "node_type": event.node_type,
        "executed": event.executed,
        "exception_message": event.message,
        "exception_type": event.error_type,
        "traceback": event.traceback,
        "current_inputs": event.current_inputs,
        "current_outputs": event.current_outputs,
        "timestamp": event.time_ms,
    }


def failure_of_job(event: JobFinished) -> dict[str, Any]:
    """The data of ComfyUI's `execution_error` for a job that failed though no node raised."""
    return {
        "prompt_id": event.job_id,
        "node_id": event.node_id or "",
        "node_type": event.node_type or "",
        "executed": event.executed,
        "exception_message": event.message,
        "exception_type": event.code,
        "traceback": [],
        "current_inputs": {},
        "current_outputs": [],
        "timestamp": event.time_ms,
    }


def execution_interrupted(event: JobFinished) -> dict[str, Any]:
    """The data of ComfyUI's `execution_interrupted`."""
    return {
        "prompt_id": event.job_id,
        "node_id": event.node_id,
        "node_type": event.node_type,
        "executed": event.executed,
        "timestamp": event.time_ms,
    }


_FOLDS: dict[type[Any], Callable[[JobView, Any], None]] = {
    JobStarted: JobView._started,
    NodesCached: JobView._cached,
    NodeStarted: JobView._node_started,
    NodeProgress: JobView._node_progress,
    NodeText: JobView._node_text,
    NodeFinished: JobView._node_finished,
    InnerFinished: lambda view, event: None,
    StillRunning: lambda view, event: None,
    NodeExpanded: JobView._node_expanded,
    NodeSkipped: JobView._node_skipped,
    NodeFailed: JobView._node_failed,
    JobFinished: JobView._finished,
}
