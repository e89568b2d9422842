"""Together: several jobs and what belongs to them, written in one transaction: all of it, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from marquetry.server.jobs.queue import NewJob, insert_jobs


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """`beside` is called first, so that it can still refuse; it must not commit, and may be called twice, with what it did undone between."""

    news: tuple[NewJob, ...]
    beside: Callable[[Connection], None]


def insert_together(connection: Connection, groups: Sequence[Together]) -> list[Exception | None]:
    """Raises what refuses a group; the writer then tries the others without it."""
    for group in groups:
        group.beside(connection)
        refused = next((entry for entry in insert_jobs(connection, group.news) if isinstance(entry, Exception)), None)
        if refused is not None:
            raise refused
    return [None] * len(groups)
