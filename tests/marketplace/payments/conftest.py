"""A migrated database of each kind: one whose transactions are rolled back, and its engine for tests that commit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine

from marquetry.marketplace.payments.receipts import Rules
from marquetry.marketplace.plans.catalogue import shipped_plans
from marquetry.server.database.connect import make_engine
from marquetry.server.database.migrate import migrate
from tests.server.jobs import postgresql


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if request.param == "sqlite":
        yield from _migrated(f"sqlite:///{tmp_path_factory.mktemp('payments')}/payments.db")
        return
    for server in postgresql.serve():
        for url in postgresql.scratch_database(server):
            yield from _migrated(url)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as opened, opened.begin() as transaction:
        yield opened
        transaction.rollback()


@pytest.fixture
def rules() -> Rules:
    return Rules(shipped_plans())


def _migrated(url: str) -> Iterator[Engine]:
    engine = make_engine(url, write=True, connections=8)
    with engine.begin() as connection:
        migrate(connection)
    yield engine
    engine.dispose()
