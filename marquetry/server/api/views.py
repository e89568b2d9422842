"""Jobs as our own routes show them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from marquetry.server.api.models import JobDetail, JobProblem, JobSummary, Links, NodeStatus, QueuePlace
from marquetry.server.api.results import first_file
from marquetry.server.jobs.job import Job
from marquetry.server.jobs.outlook import Waiting

PRIVATE_DETAILS = frozenset({"traceback"})


def links(job_id: str) -> Links:
    """Where to go on from a job."""
    path = f"/api/v1/jobs/{quote(job_id, safe='')}"
    return Links(self=path, results=f"{path}/results", events=f"{path}/events", cancel=f"{path}/cancel")


def summary(job: Job) -> JobSummary:
    """A job without its nodes."""
    return JobSummary(**_common(job))


def queue_place(waiting: Waiting, price: dict[str, Any] | None = None) -> QueuePlace:
    """A waiting job's place."""
    place, wait_ms = waiting.place, waiting.estimated_wait_ms
    return QueuePlace(
        job_id=place.job_id,
        position=place.position,
        estimated_wait_s=None if wait_ms is None else wait_ms / 1000,
        expected_s=None if place.expected_ms is None else place.expected_ms / 1000,
        priority=place.priority,
        created_ms=place.created_ms,
        price=price,
    )


def detail(job: Job, waiting: Waiting | None = None) -> JobDetail:
    """A job with its nodes, and its place while it waits."""
    nodes = {
        id: NodeStatus(
            state=node.state,
            display_id=node.display_id,
            parent_id=node.parent_id,
            value=node.value,
            total=node.total,
            started_ms=node.started_ms,
            finished_ms=node.finished_ms,
            duration_s=node.duration_s,
            cached=node.cached,
            shared=node.shared,
            text=node.text,
        )
        for id, node in job.nodes.items()
    }
    place = None if waiting is None else queue_place(waiting)
    return JobDetail(**_common(job), nodes=nodes, targets=list(job.outputs_to_execute), queue=place)


def _common(job: Job) -> dict[str, Any]:
    error = None
    if job.error is not None:
        known = job.error
        details = {name: value for name, value in known.details.items() if name not in PRIVATE_DETAILS}
        error = JobProblem(code=known.code, message=known.message, node_id=known.node_id, node_type=known.node_type, details=details)
    return {
        "id": job.id,
        "state": job.state.value,
        "progress": job.progress,
        "current_step": job.current_step,
        "number": job.number,
        "priority": job.priority,
        "created_ms": job.created_ms,
        "started_ms": job.started_ms,
        "finished_ms": job.finished_ms,
        "attempts": job.attempts,
        "set_aside": job.set_aside,
        "error": error,
        "preview": first_file(job),
        "links": links(job.id),
    }
