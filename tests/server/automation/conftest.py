"""A database of each kind, a clock that tests move, and a receiver of webhooks on loopback."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import Table, create_engine, text

from marquetry.server.automation import tables
from marquetry.server.database.database import Database
from marquetry.server.database.tables import jobs
from tests.server.jobs import postgresql

PATIENCE_S = 30.0
OURS = (jobs.name, *(value.name for value in vars(tables).values() if isinstance(value, Table)))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    yield from postgresql.serve()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with all tables, to be copied: making them takes longer than most tests."""
    path = tmp_path_factory.mktemp("migrated") / "jobs.db"
    asyncio.run(_open_and_close(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_server: str) -> Iterator[str]:
    """The URL of such a database in PostgreSQL."""
    for url in postgresql.scratch_database(postgresql_server):
        asyncio.run(_open_and_close(url))
        yield url


async def _open_and_close(url: str) -> None:
    await (await Database.open(url)).close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        shutil.copyfile(request.getfixturevalue("migrated_file"), tmp_path / "jobs.db")
        yield f"sqlite:///{tmp_path}/jobs.db"
        return
    yield from _emptied(request.getfixturevalue("migrated_postgresql"))


@pytest.fixture
def shared_url(migrated_postgresql: str) -> Iterator[str]:
    """A database that several servers can use."""
    yield from _emptied(migrated_postgresql)


def _emptied(url: str) -> Iterator[str]:
    """The same database for each test: making one, and dropping it, takes seconds on a busy machine."""
    yield url
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {', '.join(OURS)} RESTART IDENTITY CASCADE"))
    finally:
        engine.dispose()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url)
    yield opened
    await opened.close()


class Clock:
    """Milliseconds since the epoch, as far as a test says."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def forward(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@dataclass
class Receiver:
    """Keeps what it is sent, as (path, headers, body). `status` is what it answers with; one that is held answers when it is let go."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((request.path, {name.lower(): value for name, value in request.headers.items()}, await request.read()))
        self.arrived.set()
        if request.path in self.held:
            await self.held[request.path].wait()
        return web.Response(status=self.status, headers=self.headers)

    async def until(self, count: int) -> None:
        """Wait until so many messages came."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.got) < count:
                self.arrived.clear()
                await self.arrived.wait()

    @property
    def types(self) -> list[Any]:
        import orjson

        return [orjson.loads(body)["type"] for _, _, body in self.got]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    application = web.Application()
    application.router.add_post("/{path:.*}", made.take)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    for held in made.held.values():
        held.set()
    await runner.cleanup()
