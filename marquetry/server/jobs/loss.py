"""Loss: how a job ends that lost its lease, and begins no more."""

from __future__ import annotations

from marquetry.engine.events import JobFinished
from marquetry.server.jobs.job import JobState
from marquetry.server.jobs.live import ended, now_ms


def end_of_loss(job_id: str, state: JobState, reason: str) -> JobFinished:
    """The last event of a job that ends because it lost its lease."""
    return _loss(job_id, state, reason)[0]


def record_of_loss(job_id: str, state: JobState, reason: str) -> bytes:
    """The record of a job that ends because it lost its lease."""
    return _loss(job_id, state, reason)[1]


def _loss(job_id: str, state: JobState, reason: str) -> tuple[JobFinished, bytes]:
    if state is JobState.CANCELLED:
        return ended(job_id, state, "cancelled", "the job was cancelled", now_ms())
    message = f"the job was begun several times and its worker was lost each time; it is set aside. The last time: {reason}"
    return ended(job_id, state, "set_aside", message, now_ms())
