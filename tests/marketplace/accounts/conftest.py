"""A connection to a database of its own for each test, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from marquetry.marketplace.accounts import people
from marquetry.marketplace.accounts.people import NewPerson, Person
from marquetry.server.database.connect import make_engine
from marquetry.server.database.migrate import migrate
from tests.server.jobs import postgresql

NOW_MS = 1_790_000_000_000


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    yield from postgresql.serve()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One database for all tests of a kind: each test's transaction is taken back."""
    if request.param == "sqlite":
        path: Path = tmp_path_factory.mktemp("accounts") / "accounts.db"
        yield _migrated(f"sqlite:///{path}")
        return
    for url in postgresql.scratch_database(request.getfixturevalue("postgresql_server")):
        yield _migrated(url)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    engine = make_engine(database_url, write=True)
    with engine.connect() as opened:
        transaction = opened.begin()
        yield opened
        transaction.rollback()
    engine.dispose()


@pytest.fixture
def ann(connection: Connection) -> Person:
    return people.add_person(connection, NewPerson(email="ann@example.org", name="Ann", email_confirmed=True), NOW_MS)


@pytest.fixture
def bob(connection: Connection) -> Person:
    return people.add_person(connection, NewPerson(email="bob@example.org", name="Bob", email_confirmed=True), NOW_MS)


def _migrated(url: str) -> str:
    engine = make_engine(url, write=True)
    with engine.begin() as opened:
        migrate(opened)
    engine.dispose()
    return url
