"""The database: migrations, the writer that commits for everybody, and readers."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.exc import DBAPIError

import marquetry.marketplace
from marquetry.marketplace.schema import metadata as market
from marquetry.server.database.connect import make_engine
from marquetry.server.database.database import Database
from marquetry.server.database.errors import DatabaseClosed, NewerDatabase, UnknownDatabase
from marquetry.server.database.migrate import HEAD
from marquetry.server.database.tables import jobs, metadata
from tests.server.jobs import postgresql


@pytest.fixture(scope="module")
def postgresql_server() -> Iterator[str]:
    yield from postgresql.serve()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path}/data/jobs.db"
        return
    yield from postgresql.scratch_database(request.getfixturevalue("postgresql_server"))


def row(id: str) -> dict[str, Any]:
    return {
        "id": id, "owner": "", "client_id": "", "client": "", "state": "queued", "priority": 0, "number": 0.0, "turn": 1, "affinity": "",
        "passed": 0, "created_ms": 1, "attempts": 0, "set_aside": False, "cancel_requested": False, "outputs": b"[]",
    }  # fmt: skip


def add(connection: Connection, ids: Sequence[str]) -> list[int | Exception]:
    """Adds jobs, and says how many shared the call."""
    connection.execute(insert(jobs), [row(id) for id in ids])
    return [len(ids)] * len(ids)


def ids_of(connection: Connection) -> list[str]:
    return list(connection.execute(select(jobs.c.id).order_by(jobs.c.seq)).scalars())


async def test_the_tables_are_those_of_the_migrations(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    for room in Path(marquetry.marketplace.__path__[0]).glob("*/*.py"):
        if room.stem.endswith(("tables", "indexes")):
            importlib.import_module(f"marquetry.marketplace.{room.parent.name}.{room.stem}")
    database = await Database.open(url)
    try:
        declared: Any = [metadata, market]
        words = {"include_object": lambda item, name, kind, reflected, other: not (kind == "table" and name.startswith("listing_search"))}
        assert await database.read(lambda connection: compare_metadata(MigrationContext.configure(connection, opts=words), declared)) == []
        config = Config()
        config.set_main_option("script_location", "marquetry:server/database/migrations")
        assert ScriptDirectory.from_config(config).get_current_head() == HEAD
    finally:
        await database.close()


async def test_what_is_asked_for_together_is_committed_together(url: str) -> None:
    database = await Database.open(url)
    shared = await asyncio.gather(*(database.write(add, f"job {place}") for place in range(100)))
    assert max(shared) > 10
    assert await database.read(ids_of) == [f"job {place}" for place in range(100)]
    await database.close()


async def test_one_that_fails_takes_nobody_with_it(url: str) -> None:
    database = await Database.open(url)
    await database.write(add, "job 3")
    results = await asyncio.gather(*(database.write(add, f"job {place}") for place in range(6)), return_exceptions=True)
    assert [isinstance(result, DBAPIError) for result in results] == [place == 3 for place in range(6)]
    assert sorted(await database.read(ids_of)) == [f"job {place}" for place in range(6)]
    await database.close()


async def test_an_answer_is_given_after_the_commit(url: str) -> None:
    database, other = await Database.open(url), await Database.open(url)
    for place in range(20):
        await database.write(add, f"job {place}")
        assert len(await other.read(ids_of)) == place + 1
    await other.close()
    await database.close()


async def test_what_was_asked_before_closing_is_done_and_nothing_after(url: str) -> None:
    database = await Database.open(url)
    last = database.write(add, "last")
    await database.close()
    assert await last == 1
    with pytest.raises(DatabaseClosed):
        await database.write(add, "later")


async def test_a_database_of_a_newer_version_is_refused(url: str) -> None:
    await (await Database.open(url)).close()
    engine = make_engine(url, write=True)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(NewerDatabase, match="9999"):
        await Database.open(url)


async def test_readers_of_sqlite_cant_write(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path}/jobs.db")
    with pytest.raises(DBAPIError, match="readonly"):
        await database.read(lambda connection: connection.execute(update(jobs).values(state="lost")))
    await database.close()


@pytest.mark.parametrize("wrong", ["mysql://host/name", "sqlite://", "sqlite:///:memory:", "not a url"])
async def test_databases_that_cant_hold_a_queue_are_refused(wrong: str) -> None:
    with pytest.raises(UnknownDatabase):
        await Database.open(wrong)


async def test_a_second_start_needs_no_migration_tool(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    await (await Database.open(url)).close()
    script = (
        "import asyncio, sys\nfrom marquetry.server.database.database import Database\n"
        f"asyncio.run(Database.open({url!r}))\nprint('alembic' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"
