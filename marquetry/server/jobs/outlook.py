"""Outlook: how long the queue is, where somebody's jobs stand in it, and how long they will wait by what nodes took lately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from marquetry.server.database.database import Database
from marquetry.server.jobs.live import now_ms
from marquetry.server.jobs.places import SHOWN, Backlog, Place, backlog, places_of
from marquetry.server.jobs.queue import RUNNING, columns
from marquetry.server.jobs.times import NodeTimes


@dataclass(frozen=True, slots=True)
class Waiting:
    """A waiting job: its place, and the wait that is left; None while nothing like it was measured."""

    place: Place
    estimated_wait_ms: int | None


@dataclass(frozen=True, slots=True)
class Overview:
    """The queue as one owner sees it: all that waits, and the first of their own jobs of `mine_waiting`."""

    backlog: Backlog
    mine: tuple[Waiting, ...]
    mine_waiting: int


class Outlook:
    """Reads the queue. `workers`: how many jobs this server computes side by side at full speed."""

    def __init__(self, database: Database, times: NodeTimes, workers: int) -> None:
        self._database = database
        self._times = times
        self._workers = max(workers, 1)

    async def overview(self, owner: str | None, limit: int = SHOWN) -> Overview:
        """Everything of one owner, or of all."""
        now = now_ms()
        whole, mine, count, running = await self._database.read(_overview, owner, None, limit)
        waiting = tuple(Waiting(place, self._wait_ms(place, whole, running, now)) for place in mine)
        return Overview(whole, waiting, count)

    async def of_job(self, job_id: str, owner: str | None = None) -> Waiting | None:
        """One waiting job; None once it waits no more."""
        whole, mine, _, running = await self._database.read(_overview, owner, job_id, 1)
        return Waiting(mine[0], self._wait_ms(mine[0], whole, running, now_ms())) if mine else None

    def _wait_ms(self, place: Place, whole: Backlog, running: Sequence[tuple[int | None, int]], now: int) -> int | None:
        typical = self._times.typical_ms()
        if typical is None and (place.ahead_unknown or any(expected is None for expected, _ in running)):
            return None
        assumed = typical or 0
        left_ms = sum(max(0, (assumed if expected is None else expected) - (now - started)) for expected, started in running)
        lanes = self._workers * max(1, whole.holders)
        return (place.ahead_ms + place.ahead_unknown * assumed + left_ms) // lanes


def _overview(
    connection: Connection, owner: str | None, job_id: str | None, limit: int
) -> tuple[Backlog, list[Place], int, list[tuple[int | None, int]]]:
    mine, count = places_of(connection, owner, job_id, limit)
    rows = connection.execute(select(columns.expected_ms, columns.started_ms).where(columns.state == RUNNING))
    return backlog(connection), mine, count, [(row.expected_ms, row.started_ms or 0) for row in rows]
