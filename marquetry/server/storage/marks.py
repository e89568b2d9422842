"""Marks: how far a task has come, so that it goes on from there after a restart."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from marquetry.server.storage.tables import storage_marks


@dataclass(frozen=True, slots=True)
class Mark:
    name: str
    value: str
    now_ms: int


def read_mark(connection: Connection, name: str) -> str | None:
    """The value of a mark, or None."""
    return connection.execute(select(storage_marks.c.value).where(storage_marks.c.name == name)).scalar()


def write_mark(connection: Connection, mark: Mark) -> None:
    """Set a mark."""
    values = {"value": mark.value, "updated_ms": mark.now_ms}
    if not connection.execute(update(storage_marks).where(storage_marks.c.name == mark.name).values(**values)).rowcount:
        connection.execute(insert(storage_marks).values(name=mark.name, **values))
