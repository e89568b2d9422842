"""Places: where waiting jobs stand in the order of the queue, and what stands before them. Functions take a connection and only read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from marquetry.server.database.tables import jobs
from marquetry.server.jobs.queue import QUEUED, RUNNING, AnyRow, columns

SHOWN = 50


@dataclass(frozen=True, slots=True)
class Place:
    """A waiting job. `position` 1 is next. `ahead_ms` sums what is expected of the jobs before it, but of `ahead_unknown` jobs nothing is."""

    job_id: str
    position: int
    ahead_ms: int
    ahead_unknown: int
    expected_ms: int | None
    priority: int
    created_ms: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """All that waits and runs, of everybody. `holders`: how many servers run jobs now."""

    waiting: int
    running: int
    holders: int


def backlog(connection: Connection) -> Backlog:
    """How much there is to do."""
    waiting = select(func.count()).select_from(jobs).where(columns.state == QUEUED).scalar_subquery()
    running = select(func.count(), func.count(columns.lease_holder.distinct())).where(columns.state == RUNNING)
    count, holders = connection.execute(running).one()
    return Backlog(int(connection.execute(select(waiting)).scalar_one()), int(count), int(holders))


def places_of(connection: Connection, owner: str | None, job_id: str | None = None, limit: int = SHOWN) -> tuple[list[Place], int]:
    """An owner's waiting jobs in the order in which they will run, at most `limit`, and how many there are; or only that job."""
    mine = [columns.state == QUEUED]
    if job_id is not None:
        row = connection.execute(select(columns.owner).where(columns.id == job_id, columns.state == QUEUED)).first()
        if row is None or owner not in (None, row.owner):
            return [], 0
        mine.append(columns.owner == row.owner)
    elif owner is not None:
        mine.append(columns.owner == owner)
    rows = connection.execute(
        select(
            columns.id, columns.seq, columns.owner, columns.priority, columns.number, columns.turn, columns.expected_ms, columns.created_ms
        ).where(*mine)
    ).all()
    slots = sorted(_slots(rows), key=lambda slot: _order(slot[1]))
    wanted = [slot for slot in slots if job_id in (None, slot[0].id)][:limit]
    return [_place(connection, row, slot) for row, slot in wanted], len(rows)


def _slots(rows: Sequence[AnyRow]) -> list[tuple[AnyRow, AnyRow]]:
    """Each job with the row whose turn it will take: an owner's jobs take the owner's turns in the order of their numbers."""
    groups: dict[tuple[str, int], list[AnyRow]] = {}
    for row in rows:
        groups.setdefault((row.owner, row.priority), []).append(row)
    return [
        pair
        for group in groups.values()
        for pair in zip(sorted(group, key=lambda row: (row.number, row.seq)), sorted(group, key=_order), strict=True)
    ]


def _order(row: AnyRow) -> tuple[Any, ...]:
    return -row.priority, row.turn, row.seq


def _place(connection: Connection, row: AnyRow, slot: AnyRow) -> Place:
    before: ColumnElement[bool] = or_(
        columns.priority > slot.priority,
        and_(
            columns.priority == slot.priority,
            or_(columns.turn < slot.turn, and_(columns.turn == slot.turn, columns.seq < slot.seq)),
        ),
    )
    ahead, known, total = connection.execute(
        select(func.count(), func.count(columns.expected_ms), func.sum(columns.expected_ms)).where(columns.state == QUEUED, before)
    ).one()
    return Place(row.id, ahead + 1, int(total or 0), ahead - known, row.expected_ms, row.priority, row.created_ms)
