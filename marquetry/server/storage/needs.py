"""Needs: which files a job that waits or runs still reads. When in doubt, it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from sqlalchemy import Connection, select

from marquetry.server.database.tables import job_graphs, jobs
from marquetry.server.storage.file import StoredFile

LIVE = ("queued", "running")


def still_needed(connection: Connection, files: Iterable[StoredFile]) -> set[str]:
    """The ids of those files whose path, or id, stands in a literal of a live job of the same owner, or that a live job made."""
    needed: set[str] = set()
    texts: dict[str, list[str]] = {}
    for file in files:
        if file.owner not in texts:
            texts[file.owner] = list(_texts_of_live_jobs(connection, file.owner))
        names = [name for name in (file.path, file.id) if name]
        if any(name in text for text in texts[file.owner] for name in names):
            needed.add(file.id)
    return needed


def _texts_of_live_jobs(connection: Connection, owner: str) -> Iterator[str]:
    live = select(job_graphs.c.graph).join(jobs, jobs.c.id == job_graphs.c.job_id).where(jobs.c.owner == owner, jobs.c.state.in_(LIVE))
    seen: set[str] = set()
    for graph in connection.execute(live).scalars():
        for text in _texts(orjson.loads(graph)):
            if text not in seen:
                seen.add(text)
                yield text


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value.replace("\\", "/")
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
