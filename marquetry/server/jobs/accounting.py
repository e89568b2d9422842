"""Accounting: what happens to rows of jobs, and to accounts of them in the same transaction. This one keeps none: jobs are free.

Whoever sells puts an accounting in `JobService.accounting` before the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from marquetry.engine.events import AnyEvent
from marquetry.server.database.writer import Operation
from marquetry.server.jobs.job import Submission
from marquetry.server.jobs.lease import Heartbeat, Held, Leased, LeaseRequest, Loss, Lost, lease_jobs, lose_leases, renew_leases
from marquetry.server.jobs.queue import Cancel, Cancelled, Finish, Inserted, NewJob, cancel_jobs, finish_jobs, insert_jobs
from marquetry.server.jobs.together import Together, insert_together


class Meter(Protocol):
    """Hears the events of one leased job."""

    def hear(self, events: Sequence[AnyEvent]) -> None:
        """Take events in, in their order, and have them written down soon; what comes with the end waits for `rest`."""
        ...

    def write(self) -> None:
        """Have all that was heard written down soon."""
        ...

    def rest(self) -> Any:
        """What is not known to be written down, for `Finish.report`."""
        ...


class Accounting:
    """The operations of the queue's writer, and what is agreed before a job is queued. This one keeps no accounts."""

    def __init__(self) -> None:
        self.insert: Operation[NewJob, Inserted] = insert_jobs
        self.insert_together: Operation[Together, None] = insert_together
        self.lease: Operation[LeaseRequest, list[Leased]] = lease_jobs
        self.renew: Operation[Heartbeat, list[Held]] = renew_leases
        self.lose: Operation[Loss, list[Lost]] = lose_leases
        self.cancel: Operation[Cancel, Cancelled] = cancel_jobs
        self.finish: Operation[Finish, bool] = finish_jobs

    async def agree(self, submissions: Sequence[Submission], ids: Sequence[str]) -> Sequence[Any]:
        """What each job is queued under, for `NewJob.terms`. Raises what refuses the submissions."""
        return [None] * len(submissions)

    def meter(self, leased: Leased) -> Meter | None:
        """Who hears the events of a job."""
        return None
