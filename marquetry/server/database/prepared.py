"""Prepared: a statement that is compiled once and given to the driver as it is. For the few statements that every job needs: SQLAlchemy's
own way from a statement to its rows takes several times as long as the database does."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection, Dialect
    from sqlalchemy.sql.expression import ClauseElement


class _Compiled:
    """The text for one dialect. `defaults` are the values that stand in the statement itself; `order`: where values go by place."""

    __slots__ = ("defaults", "order", "text")

    def __init__(self, statement: ClauseElement, dialect: Dialect, names: Sequence[str] | None) -> None:
        compiled: Any = statement.compile(dialect=dialect, column_keys=None if names is None else list(names))
        self.text: str = compiled.string
        self.order: list[str] | None = compiled.positiontup
        self.defaults: dict[str, Any] = {name: value for name, value in compiled.params.items() if value is not None or self.order is None}

    def values(self, given: Mapping[str, Any]) -> Any:
        """What the driver is given."""
        values = {**self.defaults, **given} if self.defaults else given
        return values if self.order is None else [values.get(name) for name in self.order]


class Prepared:
    """`names` are the columns that an insert fills; other statements name their parameters themselves.

    A parameter that is not given is NULL. Values pass as they are: nothing here converts types, nor lists of values.
    """

    def __init__(self, statement: ClauseElement, names: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._names = names
        self._compiled: dict[str, _Compiled] = {}

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        """All rows, with their columns by name."""
        compiled = self._for(connection)
        cursor: Any = connection.connection.cursor()
        try:
            cursor.execute(compiled.text, compiled.values(values))
            return [self._row(found) for found in cursor.fetchall()]
        finally:
            cursor.close()

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Once for each of `rows`; gives how many rows of the table that touched in all."""
        compiled = self._for(connection)
        cursor: Any = connection.connection.cursor()
        try:
            if len(rows) == 1:
                cursor.execute(compiled.text, compiled.values(rows[0]))
            else:
                cursor.executemany(compiled.text, [compiled.values(row) for row in rows])
            return int(cursor.rowcount)
        finally:
            cursor.close()

    @cached_property
    def _row(self) -> Any:
        columns: Any = self._statement
        names = [column.name for column in columns.selected_columns]
        row: Any = namedtuple("Row", names)  # type: ignore[misc]  # its names are known when it runs
        return row._make

    def _for(self, connection: Connection) -> _Compiled:
        name = connection.dialect.name
        known = self._compiled.get(name)
        if known is None:
            known = self._compiled[name] = _Compiled(self._statement, connection.dialect, self._names)
        return known
