"""Crew: the workers of this process, and which of them has room for another job."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from marquetry.server.jobs.live import Live
from marquetry.server.jobs.workers.worker import Worker

QUICK_S = 0.05
QUICK_ENDS = 4  # after so many quick jobs in a row the next are expected to be quick too
PAUSE_S = 1.0  # and after such a pause no more


@dataclass(slots=True)
class _Load:
    """What one worker runs, and since when; and how many of its last jobs in a row were over quickly."""

    jobs: dict[Live, float] = field(default_factory=dict)
    quick: int = 0
    ended_s: float = 0.0

    @property
    def is_taken(self) -> bool:
        """Whether a job runs that must run alone."""
        return any(live.alone for live in self.jobs)


class Crew:
    """Counts what each worker runs. A job that runs alone takes all room of its worker.

    While jobs are over in no time, a worker holds up to `quick_jobs` of them, so that it never waits for the queue; nobody waits long
    behind those. Long jobs are given out `jobs_per_worker` at a time: what comes later may still go first, and interrupting ends few.
    """

    def __init__(self, workers: Sequence[Worker], jobs_per_worker: int, quick_jobs: int) -> None:
        self.workers = list(workers)
        self._room = jobs_per_worker
        self._quick_room = max(quick_jobs, jobs_per_worker)
        self._loads: dict[Worker, _Load] = {worker: _Load() for worker in workers}
        self._affinities: dict[Worker, str] = {}

    @property
    def free(self) -> int:
        """How many more jobs can begin now."""
        return sum(self._free(load) for worker, load in self._loads.items() if worker.ready)

    @property
    def has_idle(self) -> bool:
        """Whether a worker runs nothing at all."""
        return any(worker.ready and not load.jobs for worker, load in self._loads.items())

    @property
    def affinities(self) -> frozenset[str]:
        """The weights that were used last."""
        return frozenset(name for name in self._affinities.values() if name)

    def pick(self, *, alone: bool, affinity: str) -> Worker | None:
        """The worker for the next job: one that has its weights, else the one with most room."""
        able = [worker for worker, load in self._loads.items() if worker.ready and (not load.jobs if alone else self._free(load))]
        if not able:
            return None
        if len(able) == 1:
            return able[0]
        return min(able, key=lambda worker: (bool(affinity) and self._affinities.get(worker) != affinity, len(self._loads[worker].jobs)))

    def begin(self, live: Live) -> None:
        """A job begins on its worker."""
        self._loads[live.worker].jobs[live] = time.monotonic()
        if live.leased.affinity:
            self._affinities[live.worker] = live.leased.affinity

    def end(self, live: Live) -> None:
        """A job is over on its worker."""
        load = self._loads[live.worker]
        begun_s = load.jobs.pop(live, None)
        if begun_s is not None:
            load.ended_s = time.monotonic()
            load.quick = load.quick + 1 if load.ended_s - begun_s < QUICK_S else 0

    def lose(self, worker: Worker) -> list[Live]:
        """All jobs of a worker that is gone."""
        lost, self._loads[worker] = self._loads[worker], _Load()
        self._affinities.pop(worker, None)
        return list(lost.jobs)

    def _free(self, load: _Load) -> int:
        if load.is_taken:
            return 0
        quick = load.quick >= QUICK_ENDS and time.monotonic() - load.ended_s < PAUSE_S
        return max(0, (self._quick_room if quick else self._room) - len(load.jobs))
