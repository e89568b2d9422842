"""Schedules: graphs that run at their times. Functions take a connection inside a transaction and never commit.

A firing is taken by whoever moves the schedule on to its next time, in the transaction that puts the job in the queue: it happens once,
however many servers look at the same database, and whenever one of them dies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, delete, func, insert, select, update

from marquetry.server.automation.errors import AutomationError, NoSuchSchedule, TooMany
from marquetry.server.automation.event import Event
from marquetry.server.automation.tables import schedule_runs, schedules
from marquetry.server.automation.webhooks import tell
from marquetry.server.jobs.queue import AnyRow

ACTIVE, PAUSED, DONE = "active", "paused", "done"
STARTED, MISSED, FAILED = "started", "missed", "failed"
KEPT_MS = 90 * 24 * 3600 * 1000  # how long runs are remembered
columns = schedules.c


class AlreadyFired(AutomationError):
    """Another server has it, or somebody changed it meanwhile."""

    code = "conflict"


@dataclass(frozen=True, slots=True)
class Schedule:
    """`due_ms` is the next time that it names, `next_ms` when that is run: later where its hours are closed. Without `cron`, it runs once."""

    id: str
    owner: str
    name: str
    graph: bytes
    targets: tuple[str, ...] | None
    cron: str | None
    timezone: str
    during: str | None
    missed: str
    state: str
    due_ms: int | None
    next_ms: int | None
    created_ms: int
    runs: int = 0
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A firing and what became of it."""

    due_ms: int
    at_ms: int
    state: str
    job_id: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Firing:
    """A schedule at its time: what becomes of it, and when it is next."""

    schedule: Schedule
    now_ms: int
    next_due_ms: int | None
    next_ms: int | None
    state: str = STARTED
    job_id: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What is another now, by column."""

    id: str
    owner: str | None
    values: dict[str, Any]


def add_schedule(connection: Connection, wish: tuple[Schedule, int]) -> Schedule:
    """Keep a schedule, if its owner has fewer than so many. Raises TooMany."""
    new, limit = wish
    mine = select(func.count()).select_from(schedules).where(columns.owner == new.owner, columns.state != DONE)
    if connection.execute(mine).scalar_one() >= limit:
        raise TooMany(f"there are {limit} schedules already, as many as the plan allows; delete one first", limit=limit)
    values = {name: getattr(new, name) for name in Schedule.__dataclass_fields__}
    values["targets"] = None if new.targets is None else orjson.dumps(new.targets)
    connection.execute(insert(schedules).values(**values))
    return new


def find_schedule(connection: Connection, id: str, owner: str | None) -> Schedule:
    """One schedule. Raises NoSuchSchedule."""
    statement = select(schedules).where(columns.id == id)
    row = connection.execute(statement if owner is None else statement.where(columns.owner == owner)).first()
    if row is None:
        raise NoSuchSchedule(f"there is no schedule '{id[:100]}'")
    return _schedule(row)


def list_schedules(connection: Connection, owner: str | None) -> list[Schedule]:
    """An owner's schedules, oldest first."""
    statement = select(schedules).order_by(columns.created_ms, columns.id).limit(1000)
    return [_schedule(row) for row in connection.execute(statement if owner is None else statement.where(columns.owner == owner))]


def change_schedule(connection: Connection, change: Change) -> Schedule:
    """Change a schedule. Raises NoSuchSchedule."""
    find_schedule(connection, change.id, change.owner)
    connection.execute(update(schedules).where(columns.id == change.id).values(**change.values))
    return find_schedule(connection, change.id, change.owner)


def remove_schedule(connection: Connection, wish: tuple[str, str | None]) -> None:
    """Forget a schedule; the jobs that it made stay. Raises NoSuchSchedule."""
    find_schedule(connection, *wish)
    connection.execute(delete(schedules).where(columns.id == wish[0]))


def list_runs(connection: Connection, id: str, limit: int) -> list[Run]:
    """The last firings, newest first."""
    runs = schedule_runs.c
    rows = connection.execute(select(schedule_runs).where(runs.schedule_id == id).order_by(runs.due_ms.desc()).limit(limit))
    return [Run(row.due_ms, row.at_ms, row.state, row.job_id, row.error) for row in rows]


def due_schedules(connection: Connection, now_ms: int, limit: int) -> tuple[list[Schedule], int | None]:
    """What is due, and when the next is after those."""
    active = select(schedules).where(columns.state == ACTIVE)
    rows = connection.execute(active.where(columns.next_ms <= now_ms).order_by(columns.next_ms).limit(limit)).all()
    later = select(func.min(columns.next_ms)).where(columns.state == ACTIVE, columns.next_ms > now_ms)
    return [_schedule(row) for row in rows], connection.execute(later).scalar()


def fire(connection: Connection, firing: Firing) -> int:
    """Take a firing, write it down, tell of it, and move on. Gives how many messages that makes. Raises AlreadyFired."""
    old = firing.schedule
    moved = (
        update(schedules)
        .where(columns.id == old.id, columns.state == ACTIVE, columns.next_ms == old.next_ms)
        .values(
            due_ms=firing.next_due_ms,
            next_ms=firing.next_ms,
            state=ACTIVE if firing.next_ms is not None else DONE,
            runs=columns.runs + int(firing.state == STARTED),
            last_error=firing.error,
        )
    )
    if connection.execute(moved).rowcount != 1:
        raise AlreadyFired("this firing is taken")
    run = {"schedule_id": old.id, "due_ms": old.next_ms, "at_ms": firing.now_ms, "state": firing.state, "job_id": firing.job_id}
    connection.execute(insert(schedule_runs).values(**run, error=firing.error))
    past = (schedule_runs.c.schedule_id == old.id, schedule_runs.c.due_ms < firing.now_ms - KEPT_MS)
    connection.execute(delete(schedule_runs).where(*past))
    data = {"schedule_id": old.id, "name": old.name, "due_ms": old.next_ms, "job_id": firing.job_id, "error": firing.error}
    name = {STARTED: "schedule.fired", MISSED: "schedule.missed", FAILED: "schedule.failed"}[firing.state]
    return tell(connection, [Event(old.owner, name, f"schedule {old.id} {old.next_ms}", data, firing.now_ms)])


def _schedule(row: AnyRow) -> Schedule:
    targets = None if row.targets is None else tuple(orjson.loads(row.targets))
    return Schedule(
        row.id, row.owner, row.name, row.graph, targets, row.cron, row.timezone, row.during, row.missed, row.state, row.due_ms, row.next_ms,
        row.created_ms, row.runs, row.last_error,
    )  # fmt: skip
