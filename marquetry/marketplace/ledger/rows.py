"""Many rows in one statement, on both databases: PostgreSQL is given them as one JSON text, SQLite one by one, which costs it no round trip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Text, bindparam, column, func, insert, select

if TYPE_CHECKING:
    from sqlalchemy import Column, ColumnElement, Connection, Table


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert all rows; each has every column of the table."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(_from_json(table), {"rows": orjson.dumps(rows).decode()})
    else:
        connection.execute(insert(table), rows)


def among(connection: Connection, wanted: Column[Any], values: Iterable[str]) -> ColumnElement[bool]:
    """Whether a text is one of many: one parameter, however many there are."""
    elements = func.json_array_elements_text if connection.dialect.name == "postgresql" else func.json_each
    argument = bindparam(None, orjson.dumps(list(values)).decode(), Text)
    if connection.dialect.name == "postgresql":
        from sqlalchemy import JSON, cast, type_coerce

        argument = cast(type_coerce(argument, Text), JSON)  # type: ignore[assignment]
    return wanted.in_(select(elements(argument).table_valued("value").c.value))


@cache
def _from_json(table: Table) -> Any:
    columns = list(table.columns)
    shape = [column(entry.name, entry.type) for entry in columns]
    from sqlalchemy import JSON, cast

    source = func.json_to_recordset(cast(bindparam("rows", type_=Text), JSON)).table_valued(*shape).render_derived(with_types=True)
    return insert(table).from_select([entry.name for entry in columns], select(*source.columns))
