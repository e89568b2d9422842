"""Shares: how many jobs of one owner run at the same time, and that nobody waits for ever behind a higher class.

Functions take a connection inside a transaction and never commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, exists, func, select, text, update

from marquetry.server.database.tables import jobs
from marquetry.server.jobs.queue import QUEUED, RUNNING, AnyRow, columns
from marquetry.server.jobs.standing import Standing

LOCK = 0x71756575  # any number that nobody else takes
MAX_ROUNDS = 50
MAX_PROMOTED = 50


def within_limits(connection: Connection, line: Select[*tuple[Any, ...]], candidates: Sequence[AnyRow], count: int) -> list[AnyRow]:
    """The candidates that their owners' limits let run, filled up with those that come next in the line. One transaction at a time asks this."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    running = Counter[str](
        {
            row.owner: row.n
            for row in connection.execute(
                select(columns.owner, func.count().label("n")).where(columns.state == RUNNING).group_by(columns.owner)
            )
        }
    )
    kept: dict[str, AnyRow] = {}
    full: set[str] = set()
    rows = candidates
    for _ in range(MAX_ROUNDS):
        for row in rows:
            if row.id in kept:
                continue
            if row.max_running is not None and running[row.owner] >= row.max_running:
                full.add(row.owner)
            else:
                kept[row.id] = row
                running[row.owner] += 1
        if len(kept) >= count or len(rows) < count:
            break
        rows = connection.execute(line.where(columns.owner.not_in(full), columns.id.not_in(kept)), {"count": count}).all()
    return sorted(kept.values(), key=lambda row: (-row.priority, row.turn, row.seq))[:count]


def restand_jobs(connection: Connection, changes: Sequence[tuple[str, Standing]]) -> list[Exception | None]:
    """Let the waiting jobs of owners have the class and the limit of their new standing. Their turns so far stay."""
    for owner, standing in changes:
        values: dict[str, Any] = {"max_running": standing.running_jobs}
        if standing.priority_class is not None:
            values["priority"] = standing.priority_class
        connection.execute(update(jobs).where(columns.owner == owner, columns.state == QUEUED).values(**values))
    return [None] * len(changes)


def promote_waiting(connection: Connection, before_ms: Sequence[int]) -> list[int | Exception]:
    """Lift the oldest job of every owner who got nothing since that time into the highest class, one job each; how many were lifted."""
    return [_promote(connection, moment) for moment in before_ms]


def _promote(connection: Connection, before_ms: int) -> int:
    lowest, highest, first = connection.execute(
        select(func.min(columns.priority), func.max(columns.priority), func.min(columns.created_ms)).where(columns.state == QUEUED)
    ).one()
    if lowest is None or lowest == highest or first >= before_ms:
        return 0
    other = jobs.alias("other")
    served = exists().where(
        other.c.owner == columns.owner,
        (other.c.state == RUNNING) | ((other.c.state == QUEUED) & (other.c.priority >= highest)),
    )
    oldest = (
        select(func.min(columns.seq))
        .where(columns.state == QUEUED, columns.priority < highest, columns.created_ms < before_ms, ~served)
        .group_by(columns.owner)
        .order_by(func.min(columns.seq))
        .limit(MAX_PROMOTED)
    )
    chosen = list(connection.execute(oldest).scalars())
    if not chosen:
        return 0
    turn = connection.execute(select(func.min(columns.turn)).where(columns.state == QUEUED, columns.priority == highest)).scalar_one()
    connection.execute(update(jobs).where(columns.seq.in_(chosen), columns.state == QUEUED).values(priority=highest, turn=turn))
    return len(chosen)
