"""Crew: the workers of this process, and which of them has room for another job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from marquetry.server.jobs.live import Live
from marquetry.server.jobs.workers.worker import Worker


class Crew:
    """Counts what each worker runs. A job that runs alone takes all room of its worker."""

    def __init__(self, workers: Sequence[Worker], jobs_per_worker: int) -> None:
        self.workers = list(workers)
        self._room = jobs_per_worker
        self._jobs: dict[Worker, set[Live]] = {worker: set() for worker in workers}
        self._affinities: dict[Worker, str] = {}

    @property
    def free(self) -> int:
        """How many more jobs can begin now."""
        return sum(self._room - len(jobs) for worker, jobs in self._jobs.items() if worker.ready and not _is_taken(jobs))

    @property
    def has_idle(self) -> bool:
        """Whether a worker runs nothing at all."""
        return any(worker.ready and not jobs for worker, jobs in self._jobs.items())

    @property
    def affinities(self) -> frozenset[str]:
        """The weights that were used last."""
        return frozenset(name for name in self._affinities.values() if name)

    def pick(self, *, alone: bool, affinity: str) -> Worker | None:
        """The worker for the next job: one that has its weights, else the one with most room."""
        able = [
            worker
            for worker, jobs in self._jobs.items()
            if worker.ready and not _is_taken(jobs) and (not jobs if alone else len(jobs) < self._room)
        ]
        if not able:
            return None
        return min(able, key=lambda worker: (bool(affinity) and self._affinities.get(worker) != affinity, len(self._jobs[worker])))

    def begin(self, live: Live) -> None:
        """A job begins on its worker."""
        self._jobs[live.worker].add(live)
        if live.leased.affinity:
            self._affinities[live.worker] = live.leased.affinity

    def end(self, live: Live) -> None:
        """A job is over on its worker."""
        self._jobs[live.worker].discard(live)

    def lose(self, worker: Worker) -> list[Live]:
        """All jobs of a worker that is gone."""
        lost, self._jobs[worker] = self._jobs[worker], set()
        self._affinities.pop(worker, None)
        return list(lost)


def _is_taken(jobs: Iterable[Live]) -> bool:
    return any(live.alone for live in jobs)
