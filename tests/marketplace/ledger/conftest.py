"""Migrated databases: one for all tests that roll back, copies for those that commit, since migrating takes longer than most tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, make_url, text

from marquetry.server.database.connect import make_engine
from marquetry.server.database.migrate import migrate
from tests.server.jobs import postgresql

POOL = 12


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all tables and nothing in them."""
    path = tmp_path_factory.mktemp("ledger") / "template.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_template() -> Iterator[str]:
    """The URL of a PostgreSQL database with all tables and nothing in them. Nobody may be connected to it when it is copied."""
    for server in postgresql.serve():
        for url in postgresql.scratch_database(server):
            _migrate(url)
            yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of its own for each test."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    with _copied(request.getfixturevalue("postgresql_template"), "copy") as copy:
        yield copy


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    made = make_engine(url, write=True, connections=POOL)
    yield made
    made.dispose()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A database in which nothing is ever committed."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("ledger") / "shared.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        made = make_engine(f"sqlite:///{path}", write=True)
        yield made
        made.dispose()
        return
    with _copied(request.getfixturevalue("postgresql_template"), "shared") as copy:
        made = make_engine(copy, write=True)
        yield made
        made.dispose()


@pytest.fixture
def connection(shared: Engine) -> Iterator[Connection]:
    """One transaction that is rolled back in the end."""
    with shared.connect() as opened:
        opened.begin()
        yield opened
        opened.rollback()


@contextmanager
def _copied(template_url: str, suffix: str) -> Iterator[str]:
    template = make_url(template_url)
    name = f"{template.database}_{suffix}"
    server = create_engine(template.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template.database}"))
    yield template.set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


def _migrate(url: str) -> None:
    engine = make_engine(url, write=True)
    with engine.begin() as connection:
        migrate(connection)
    engine.dispose()
