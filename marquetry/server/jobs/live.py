"""Live: a job that this process holds the lease of."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import orjson

from marquetry.engine.events import HIDDEN, AnyEvent, JobFinished
from marquetry.engine.graph import Graph
from marquetry.server.jobs.accounting import Meter
from marquetry.server.jobs.job import Job, JobState
from marquetry.server.jobs.lease import Leased
from marquetry.server.jobs.view import JobView
from marquetry.server.jobs.workers.worker import Task, Worker


def now_ms() -> int:
    """Wall-clock time since the epoch."""
    return time.time_ns() // 1_000_000


class Live:
    """A leased job: its worker, its state so far, and once it ended the event that waits for the database, with what came just before.

    `alone`: it is a further attempt of a job whose worker died, so nothing else may run on its worker. `heard_s`: when something was last
    heard of it, by the monotonic clock. `stuck`: why this try is ended.
    """

    __slots__ = ("alone", "cancelling", "end", "heard_s", "leased", "meter", "stuck", "untold", "view", "worker")

    def __init__(self, leased: Leased, worker: Worker, graph: Graph | None, meter: Meter | None = None) -> None:
        self.leased = leased
        self.meter = meter
        self.worker = worker
        self.alone = leased.attempts > 1
        self.cancelling = False
        self.heard_s = time.monotonic()
        self.stuck = ""
        self.end: JobFinished | None = None
        self.untold: Sequence[AnyEvent] = ()
        raw = leased.graph
        outputs = leased.outputs
        self.view = JobView(leased.id, lambda: _count(graph, raw, outputs))

    def task(self) -> Task:
        """The job as its worker gets it."""
        leased = self.leased
        return Task(leased.id, leased.owner, leased.graph, leased.extra, _outputs(leased.outputs), leased.published or b"")

    def shown(self, events: Sequence[AnyEvent]) -> Sequence[AnyEvent]:
        """Those events that who submitted the job may hear of."""
        if not self.leased.published:
            return events
        return [event for event in events if type(event) not in HIDDEN]

    def overlay(self, job: Job) -> Job:
        """The job as it is now. It runs until the database says that it has ended."""
        view = self.view
        return replace(
            job,
            state=JobState.RUNNING,
            started_ms=self.leased.started_ms,
            attempts=self.leased.attempts,
            outputs=dict(view.outputs),
            nodes=dict(view.nodes),
            messages=tuple(view.messages),
            error=view.error,
            progress=view.progress,
            current_step=view.current_step,
        )


def ended(job_id: str, state: JobState, code: str, message: str, time_ms: int) -> tuple[JobFinished, bytes]:
    """The last event, and the record, of a job that ends outside of a worker."""
    event = JobFinished(job_id=job_id, time_ms=time_ms, state=str(state), code=code, message=message)
    view = JobView(job_id, lambda: 1)
    view.fold_all([event])
    return event, view.encode()


def _outputs(data: bytes) -> tuple[str, ...]:
    return msgspec.json.decode(data, type=tuple[str, ...])


def _count(graph: Graph | None, raw: bytes, outputs: bytes) -> int:
    if graph is None:
        nodes: dict[str, Any] = orjson.loads(raw)
        graph = Graph.from_api(nodes)
    return len(graph.ancestors(_outputs(outputs)))
