"""Callbacks: what outside flows report of a job that they work on. Functions take a connection inside a transaction and never commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, delete, func, select

from marquetry.marketplace.accounts.upsert import insert_missing
from marquetry.server.automation.errors import TooMany
from marquetry.server.automation.tables import callbacks

MAX_EXECUTIONS = 20  # that report of one job


@dataclass(frozen=True, slots=True)
class Callback:
    """The last report of one execution; the same again changes nothing."""

    job_id: str
    execution_id: str
    owner: str
    status: str
    progress: int
    assets: list[dict[str, Any]]
    updated_ms: int


def keep_callback(connection: Connection, report: Callback) -> None:
    """Keep a report in place of the execution's last one. Raises TooMany."""
    others = (
        select(func.count())
        .select_from(callbacks)
        .where(callbacks.c.job_id == report.job_id, callbacks.c.execution_id != report.execution_id)
    )
    if connection.execute(others).scalar_one() >= MAX_EXECUTIONS:
        raise TooMany(f"{MAX_EXECUTIONS} executions report of this job already")
    mine = (callbacks.c.job_id == report.job_id, callbacks.c.execution_id == report.execution_id)
    connection.execute(delete(callbacks).where(*mine))
    values = {name: getattr(report, name) for name in Callback.__dataclass_fields__}
    insert_missing(connection, callbacks, **values | {"assets": orjson.dumps(report.assets)})


def callbacks_of(connection: Connection, job_id: str) -> list[Callback]:
    """All reports of a job, the newest last."""
    rows = connection.execute(select(callbacks).where(callbacks.c.job_id == job_id).order_by(callbacks.c.updated_ms))
    return [
        Callback(row.job_id, row.execution_id, row.owner, row.status, row.progress, orjson.loads(row.assets), row.updated_ms)
        for row in rows
    ]
