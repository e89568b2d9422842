"""What can go wrong with jobs; every error has a stable `code` and a message for a person."""

from __future__ import annotations

from marquetry.server.errors import ServerError


class JobsError(ServerError):
    """Base of the errors of this room."""

    code = "jobs_error"


class QueueFull(JobsError):
    """The client has as many jobs waiting as it may have."""

    code = "queue_full"


class DuplicateJob(JobsError):
    """A job of that id exists already."""

    code = "duplicate_job"


class IdempotencyConflict(JobsError):
    """The idempotency key was used before, with another request."""

    code = "idempotency_conflict"


class JobTimeout(JobsError):
    """The job did not finish in the time that the caller wanted to wait."""

    code = "job_timeout"


class WorkerUnavailable(JobsError):
    """No worker can answer now; it starts, or it starts again after a crash."""

    code = "worker_unavailable"


class WorkerFailed(JobsError):
    """A worker could not be built, or could not answer; the message is its own."""

    code = "worker_failed"
