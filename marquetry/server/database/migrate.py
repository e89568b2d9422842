"""Migrations: bring a database to the tables of this version. When it is there already, Alembic isn't even imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from marquetry.server.database.errors import NewerDatabase

if TYPE_CHECKING:
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = max(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
LOCK = 0x6D617271  # any number that nobody else takes


def migrate(connection: Connection) -> None:
    """Upgrade within the caller's transaction. Raises NewerDatabase when the tables are of a version not known here."""
    from sqlalchemy import func, inspect, select, table, text

    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
    known: str | None = None
    if inspect(connection).has_table("alembic_version"):
        known = connection.execute(select(text("version_num")).select_from(table("alembic_version"))).scalar()
    if known == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise NewerDatabase(f"the database is of version {known}, this program knows up to {HEAD}: {error}") from error
