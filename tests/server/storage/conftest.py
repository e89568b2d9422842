"""Stores and databases for the tests of storage: a real folder, a real S3 server (moto's), SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import Connection, delete

from marquetry.engine.folders import Folders
from marquetry.server.configuration.storage import S3Settings, StorageSettings
from marquetry.server.database.database import Database, one_by_one
from marquetry.server.database.tables import metadata
from marquetry.server.storage.blob_store import BlobStore
from marquetry.server.storage.cleaning import Cleaning
from marquetry.server.storage.file import StoredFile
from marquetry.server.storage.folder_store import FolderStore
from marquetry.server.storage.inspection import describe
from marquetry.server.storage.job_results import JobResults
from marquetry.server.storage.parts import PartUploads
from marquetry.server.storage.plans import StoragePlan
from marquetry.server.storage.s3_store import S3Store
from marquetry.server.storage.storage import Incoming, Storage
from marquetry.server.storage.thumbnails import Thumbnails
from tests.server.jobs import postgresql


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    yield from postgresql.serve()


@pytest.fixture(scope="session")
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """A database for all these tests; each begins with it empty."""
    yield from postgresql.scratch_database(postgresql_server)


PAIRS = [("folder", "sqlite"), ("s3", "postgresql")]
"""Both kinds of store, over both kinds of database; they don't know each other."""


@pytest.fixture(params=PAIRS, ids=["-".join(pair) for pair in PAIRS])
def kinds(request: pytest.FixtureRequest) -> tuple[str, str]:
    pair: tuple[str, str] = request.param
    return pair


@pytest.fixture
async def database(request: pytest.FixtureRequest, kinds: tuple[str, str], tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path}/files.db" if kinds[1] == "sqlite" else request.getfixturevalue("postgresql_url")
    opened = await Database.open(url)
    if kinds[1] == "postgresql":
        await opened.write(one_by_one(emptied), None)
    yield opened
    await opened.close()


def emptied(connection: Connection, _: None) -> None:
    for table in reversed(metadata.sorted_tables):
        connection.execute(delete(table))


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """An S3 server on loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_address: str) -> S3Settings:
    """Settings of a bucket of its own."""
    name = f"files-{uuid4().hex}"
    given: dict[str, Any] = {"access_key_id": "testing", "secret_access_key": "testing"}
    settings = S3Settings(bucket=name, prefix="marquetry/", region="us-east-1", endpoint_url=s3_address, **given)
    S3Store(settings)._client.create_bucket(Bucket=name)
    return settings


@pytest.fixture
def store(request: pytest.FixtureRequest, kinds: tuple[str, str], tmp_path: Path) -> BlobStore:
    return FolderStore(tmp_path / "store") if kinds[0] == "folder" else S3Store(request.getfixturevalue("bucket"))


@dataclass
class Plans:
    """Plans by owner, as a test wants them."""

    plans: dict[str, StoragePlan] = field(default_factory=dict)

    def plan(self, connection: Connection, owner: str) -> StoragePlan:
        return self.plans.get(owner, StoragePlan())


@dataclass
class Room:
    """Storage and what works on it, without a server."""

    storage: Storage
    thumbnails: Thumbnails
    uploads: PartUploads
    cleaning: Cleaning
    results: JobResults
    plans: Plans
    folder: Path

    async def keep(self, data: bytes, *, owner: str = "ada", name: str = "note.txt", now_ms: int = 1_000, **more: Any) -> StoredFile:
        """A file with these bytes, kept."""
        source = self.storage.scratch()
        source.write_bytes(data)
        try:
            facts = await self.storage.run(describe, source)
            given = Incoming(source, owner, name, "input", facts, now_ms)
            return await self.storage.keep(replace(given, **more))
        finally:
            source.unlink(missing_ok=True)

    def read(self, file: StoredFile) -> bytes:
        """The bytes, as the store has them."""
        return b"".join(self.storage.store.read(file.blob, 0, file.size_bytes))


def room_of(store: BlobStore, database: Database, folder: Path, **settings: Any) -> Room:
    plans = Plans()
    folders = Folders(folder / "data", apart=True)
    folders.create()
    storage = Storage(StorageSettings(**settings), database, store, folders, plans, folder / "incoming")
    thumbnails = Thumbnails(storage, folder / "thumbnails", 10_000_000)
    uploads = PartUploads(storage)
    cleaning = Cleaning(storage, thumbnails, uploads, pause_s=0)
    return Room(storage, thumbnails, uploads, cleaning, JobResults(storage, thumbnails), plans, folder)


@pytest.fixture
async def room(store: BlobStore, database: Database, tmp_path: Path) -> AsyncIterator[Room]:
    """On each kind of store, over each kind of database."""
    made = room_of(store, database, tmp_path)
    yield made
    await made.storage.close()
