"""Insert a row unless there is one with its key, also while another process does the same."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table


def insert_missing(connection: Connection, table: Table, **values: Any) -> None:
    """Afterwards there is a row with these key values; one that was there is as it was."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        connection.execute(postgresql_insert(table).values(**values).on_conflict_do_nothing())
    else:
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        connection.execute(sqlite_insert(table).values(**values).on_conflict_do_nothing())
