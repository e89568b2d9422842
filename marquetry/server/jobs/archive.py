"""Archive: jobs read from the database: one, a page, the queue, the history. Functions take a connection and only read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Select, func, select

from marquetry.server.database.tables import job_graphs, jobs
from marquetry.server.jobs.job import Job, JobState
from marquetry.server.jobs.queue import QUEUED, RUNNING, AnyRow, columns
from marquetry.server.jobs.view import decode_record

_job = select(
    columns.id,
    columns.owner,
    columns.client_id,
    columns.state,
    columns.number,
    columns.priority,
    columns.created_ms,
    columns.started_ms,
    columns.finished_ms,
    columns.attempts,
    columns.set_aside,
    columns.idempotency_key,
    columns.outputs,
    columns.record,
    job_graphs.c.graph,
    job_graphs.c.extra,
).join_from(jobs, job_graphs, job_graphs.c.job_id == columns.id)


def job_of_row(row: AnyRow) -> Job:
    """The value of a row."""
    record = decode_record(row.record)
    return Job(
        id=row.id,
        owner=row.owner,
        client_id=row.client_id,
        state=JobState(row.state),
        number=row.number,
        priority=row.priority,
        created_ms=row.created_ms,
        graph=row.graph,
        extra=row.extra,
        outputs_to_execute=tuple(orjson.loads(row.outputs)),
        started_ms=row.started_ms,
        finished_ms=row.finished_ms,
        outputs=record.outputs,
        nodes=record.nodes,
        messages=tuple(record.messages),
        error=record.error,
        progress=record.progress,
        current_step=record.current_step,
        attempts=row.attempts,
        set_aside=row.set_aside,
        idempotency_key=row.idempotency_key,
    )


def find_job(connection: Connection, job_id: str, owner: str | None = None) -> Job | None:
    """The job of that id; another owner's is not found."""
    statement = _owned(_job.where(columns.id == job_id), owner)
    row = connection.execute(statement).first()
    return None if row is None else job_of_row(row)


def list_jobs(
    connection: Connection, owner: str | None, states: Iterable[JobState] | None, limit: int, offset: int, newest_first: bool
) -> tuple[list[Job], int]:
    """A page of jobs by arrival, and how many there are in all."""
    conditions: list[ColumnElement[bool]] = []
    if owner is not None:
        conditions.append(columns.owner == owner)
    if states is not None:
        conditions.append(columns.state.in_([str(state) for state in states]))
    total = connection.execute(select(func.count()).select_from(jobs).where(*conditions)).scalar_one()
    order = columns.seq.desc() if newest_first else columns.seq
    rows = connection.execute(_job.where(*conditions).order_by(order).limit(limit).offset(offset)).all()
    return [job_of_row(row) for row in rows], total


def running_jobs(connection: Connection, owner: str | None) -> list[Job]:
    """What runs, in the order in which it began."""
    statement = _owned(_job.where(columns.state == RUNNING), owner)
    return [job_of_row(row) for row in connection.execute(statement.order_by(columns.started_ms, columns.seq)).all()]


def waiting_jobs(connection: Connection, owner: str | None) -> list[Job]:
    """What waits, by priority and number."""
    statement = _owned(_job.where(columns.state == QUEUED), owner)
    order = (columns.priority.desc(), columns.number, columns.seq)
    return [job_of_row(row) for row in connection.execute(statement.order_by(*order)).all()]


def waiting_ids(connection: Connection, owner: str | None, ids: Sequence[str] | None) -> list[str]:
    """The ids of what waits."""
    statement = select(columns.id).where(columns.state == QUEUED)
    if owner is not None:
        statement = statement.where(columns.owner == owner)
    if ids is not None:
        statement = statement.where(columns.id.in_(ids))
    return list(connection.execute(statement.order_by(columns.seq)).scalars())


def past_jobs(connection: Connection, max_items: int | None, offset: int | None, owner: str | None) -> list[Job]:
    """Jobs that ran and ended, oldest first. `offset` counts from the oldest; without it, `max_items` takes the newest."""
    statement = _owned(_job.where(columns.finished_ms.is_not(None), columns.started_ms.is_not(None)), owner)
    if offset is not None or max_items is None:
        ordered = statement.order_by(columns.finished_ms, columns.seq)
        if max_items is not None:
            ordered = ordered.limit(max_items)
        if offset:
            ordered = ordered.offset(offset) if max_items is not None else ordered.limit(2**62).offset(offset)
        return [job_of_row(row) for row in connection.execute(ordered).all()]
    newest = statement.order_by(columns.finished_ms.desc(), columns.seq.desc()).limit(max_items)
    return [job_of_row(row) for row in connection.execute(newest).all()][::-1]


def count_remaining(connection: Connection) -> tuple[int, int]:
    """How many jobs wait, and how many run."""
    waiting = select(func.count()).select_from(jobs).where(columns.state == QUEUED).scalar_subquery()
    running = select(func.count()).select_from(jobs).where(columns.state == RUNNING).scalar_subquery()
    row = connection.execute(select(waiting, running)).one()
    return int(row[0]), int(row[1])


def highest_number(connection: Connection) -> float:
    """The largest number of any job, however it was signed; 0 when there is none."""
    row = connection.execute(select(func.max(columns.number), func.min(columns.number))).one()
    return max(row[0] or 0.0, -(row[1] or 0.0))


def _owned(statement: Select[*tuple[Any, ...]], owner: str | None) -> Select[*tuple[Any, ...]]:
    return statement if owner is None else statement.where(columns.owner == owner)
