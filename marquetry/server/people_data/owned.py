"""OwnedRows: tables whose rows carry their owner, exported and erased from a description. Tables are read as the database has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import orjson

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

SECRET = re.compile(r"(password|token|key|code|secret)_hash$|secret$|^(lease|claim)|^key$|^fingerprint$|_key$")
ROWS_AT_ONCE = 500
Way = Literal["delete", "keep", "blank"]


@dataclass(frozen=True, slots=True)
class Owned:
    """One table. `column` holds the owner's id, which tells nothing of a person once the account is gone.

    When somebody leaves, rows are deleted; or kept, because they are money's or are needed to run what others bought; or some columns of
    them are made `blank`.
    """

    table: str
    column: str = "owner"
    way: Way = "delete"
    blank: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Below:
    """A table whose rows hang on rows of an owned one, by a column that holds its key; they go with it."""

    table: str
    column: str
    above: str
    key: str = "id"


class OwnedRows:
    """A `Room`. Tables that a database does not have are passed over."""

    def __init__(self, name: str, *tables: Owned, below: Sequence[Below] = ()) -> None:
        self.name = name
        self._owned = tables
        self._below = tuple(below)

    @property
    def tables(self) -> frozenset[str]:
        return frozenset({*(entry.table for entry in self._owned), *(entry.table for entry in self._below)})

    def export(self, connection: Connection, owner: str) -> Iterator[tuple[str, Iterable[dict[str, Any]]]]:
        from sqlalchemy import select

        for entry in self._owned:
            table = _table(connection, entry.table)
            if table is not None:
                yield entry.table, _rows(connection, select(table).where(table.c[entry.column] == owner))
        columns = {entry.table: entry.column for entry in self._owned}
        for below in self._below:
            table, above = _table(connection, below.table), _table(connection, below.above)
            if table is not None and above is not None:
                mine = select(above.c[below.key]).where(above.c[columns[below.above]] == owner)
                yield below.table, _rows(connection, select(table).where(table.c[below.column].in_(mine)))

    def erase(self, connection: Connection, owner: str, now_ms: int) -> dict[str, str]:
        return {entry.table: told for entry in self._owned if (told := self._erased(connection, entry, owner))}

    def _erased(self, connection: Connection, entry: Owned, owner: str) -> str:
        from sqlalchemy import delete, func, select, update

        table = _table(connection, entry.table)
        if table is None:
            return ""
        mine = table.c[entry.column] == owner
        if entry.way == "delete":
            return f"{connection.execute(delete(table).where(mine)).rowcount} deleted"
        if entry.way == "blank":
            return f"{connection.execute(update(table).where(mine).values(**entry.blank)).rowcount} made blank"
        return f"{connection.execute(select(func.count()).select_from(table).where(mine)).scalar_one()} kept without a name"


def plain(value: Any) -> Any:
    """A value of a column as JSON has it."""
    if not isinstance(value, (bytes, memoryview)):
        return value
    data = bytes(value)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return f"<{len(data)} bytes>"


def _rows(connection: Connection, statement: Any) -> Iterator[dict[str, Any]]:
    for row in connection.execute(statement.execution_options(yield_per=ROWS_AT_ONCE)).mappings():
        yield {name: plain(value) for name, value in row.items() if not SECRET.search(name)}


def _table(connection: Connection, name: str) -> Table | None:
    from sqlalchemy import MetaData, Table
    from sqlalchemy.exc import NoSuchTableError

    try:
        return Table(name, MetaData(), autoload_with=connection, resolve_fks=False)
    except NoSuchTableError:
        return None
