"""Engines: how this process reaches its database. SQLite is set up for one writer and many readers, without waiting for the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marquetry.server.database.errors import UnknownDatabase

if TYPE_CHECKING:
    from sqlalchemy import Engine

BUSY_TIMEOUT_MS = 10_000
DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
PAGE_CACHE_KIB = 2 * 1024  # of each connection; more made nothing faster: the pages are in the system's cache too
CHECKPOINT_PAGES = 4000


def make_engine(url: str, *, write: bool, connections: int = 1) -> Engine:
    """An engine for `url`, whatever driver it names. A writing one takes SQLite's write lock at the start of each transaction.

    Raises UnknownDatabase.
    """
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import ArgumentError
    from sqlalchemy.pool import QueuePool

    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UnknownDatabase("the database URL can't be read; examples: sqlite:////data/marquetry.db, postgresql://host/name") from error
    backend = parsed.drivername.partition("+")[0]
    if backend not in DRIVERS:
        raise UnknownDatabase(f"'{backend}' is not a supported database; use sqlite or postgresql")
    parsed = parsed.set(drivername=DRIVERS[backend])
    if backend == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise UnknownDatabase("the queue of record needs a database file; a database in memory would forget it")
        arguments: dict[str, Any] = {"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000}
        engine = create_engine(parsed, poolclass=QueuePool, pool_size=connections, max_overflow=0, connect_args=arguments)
        _set_up_sqlite(engine, write)
        return engine
    try:
        return create_engine(parsed, pool_size=connections, max_overflow=0, pool_pre_ping=not write)
    except ModuleNotFoundError as error:
        raise UnknownDatabase("PostgreSQL needs the package psycopg: pip install 'marquetry[postgresql]'") from error


def _set_up_sqlite(engine: Engine, write: bool) -> None:
    from sqlalchemy import event

    begin = "BEGIN IMMEDIATE" if write else "BEGIN"

    def on_connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's own begin and commit are the only ones
        for setting in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "foreign_keys=ON",
            f"cache_size=-{PAGE_CACHE_KIB}",
            "temp_store=MEMORY",
            f"wal_autocheckpoint={CHECKPOINT_PAGES}",
            *([] if write else ["query_only=ON"]),
        ):
            connection.execute(f"PRAGMA {setting}")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", lambda connection: connection.connection.dbapi_connection.execute(begin))
