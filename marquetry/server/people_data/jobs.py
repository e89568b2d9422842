"""Jobs: graphs, what they showed and how they ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from marquetry.server.storage.job_archive import documents

if TYPE_CHECKING:
    from sqlalchemy import Connection

PAGE = 100


class Jobs:
    """A `Room`. Jobs that are packed away are told and deleted by `people_work`, as they are not in the database."""

    name = "jobs"

    @property
    def tables(self) -> frozenset[str]:
        return frozenset({"jobs", "job_graphs", "job_archives"})

    def export(self, connection: Connection, owner: str) -> Iterator[tuple[str, Iterable[dict[str, Any]]]]:
        yield "jobs", _documents(connection, owner)

    def erase(self, connection: Connection, owner: str, now_ms: int) -> dict[str, str]:
        from sqlalchemy import delete

        from marquetry.server.database.tables import jobs
        from marquetry.server.storage.tables import job_archives

        gone = connection.execute(delete(jobs).where(jobs.c.owner == owner, jobs.c.finished_ms.is_not(None))).rowcount
        connection.execute(delete(job_archives).where(job_archives.c.owner == owner))
        return {"jobs": f"{gone} deleted"}


def _documents(connection: Connection, owner: str) -> Iterator[dict[str, Any]]:
    after = 0
    while page := documents(connection, owner, after, PAGE):
        yield from (job.document for job in page)
        after = page[-1].seq


ROOM = Jobs()
