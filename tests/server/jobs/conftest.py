"""Databases and services for the tests of jobs: real files, a real PostgreSQL, real child processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from marquetry.server.database.database import Database
from marquetry.server.jobs.service import JobService
from marquetry.server.jobs.workers.inline import InlineWorker
from marquetry.server.jobs.workers.process import ProcessWorker
from marquetry.server.jobs.workers.worker import Worker
from tests.server.jobs import postgresql, trivial


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server; skips where there is none, but in CI."""
    yield from postgresql.serve()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of its own for each test."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path}/jobs.db"
        return
    yield from postgresql.scratch_database(request.getfixturevalue("postgresql_server"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url)
    yield opened
    await opened.close()


@pytest.fixture(params=["inline", "process"])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Worker:
    """A worker of each kind with the engine of `trivial`."""
    return make_worker(request.param, tmp_path)


def make_worker(kind: str, data: Path, **options: Any) -> Worker:
    if kind == "inline":
        return InlineWorker(lambda: trivial.build_engine({"data": str(data), **options}))
    return ProcessWorker(trivial.FACTORY, {"data": str(data), **options})


Begin = Callable[..., Coroutine[Any, Any, JobService]]


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Begin]:
    """Starts services over a SQLite file; they are stopped in the end."""
    services: list[tuple[JobService, Database]] = []

    async def start(*workers: Worker, url: str = f"sqlite:///{tmp_path}/jobs.db", ready: bool = True, **settings: Any) -> JobService:
        opened = await Database.open(url)
        service = JobService(opened, workers, **settings)
        services.append((service, opened))
        await service.start()
        while ready and not all(worker.ready for worker in workers):
            await asyncio.sleep(0.01)
        return service

    yield start
    for service, opened in reversed(services):
        await service.stop()
        await opened.close()
