"""Storage: what the rest of the server asks of files. Rows and bytes agree whatever breaks off in between; see `blobs` for how."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from marquetry.engine.errors import UnsafePath
from marquetry.engine.folders import Folders
from marquetry.server.configuration.storage import StorageSettings
from marquetry.server.database.database import Database, one_by_one
from marquetry.server.storage import blobs, files
from marquetry.server.storage.blob_store import BlobStore, blob_name
from marquetry.server.storage.errors import BlobGone, FileInUse, FileMissing
from marquetry.server.storage.file import Facts, StoredFile, new_file_id
from marquetry.server.storage.needs import still_needed
from marquetry.server.storage.plans import StoragePlans

if TYPE_CHECKING:
    from sqlalchemy import Connection

logger = logging.getLogger(__name__)
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
THREADS = 2  # that read, check and write files
ATTEMPTS = 5

claim_blob = one_by_one(blobs.claim_blob)
add_file = one_by_one(files.add_file)
delete_files = one_by_one(files.delete_files)


def _forget(connection: Connection, keys: tuple[str, ...]) -> int:
    return blobs.forget_blobs(connection, keys)


forget_blobs = one_by_one(_forget)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file on this machine that is to be kept. `share`: it stays where it is, and may share its bytes with what is kept.

    `bounded`: refused where the owner's plan has no room. Without `expires_ms` the plan says when it expires.
    """

    source: Path
    owner: str
    filename: str
    purpose: str
    facts: Facts
    created_ms: int
    share: bool = False
    bounded: bool = True
    expires_ms: int | None = None
    job_id: str | None = None
    node_id: str | None = None
    folder: str | None = None
    path: str | None = None


class Storage:
    """The files of everybody. `folders` are those of the installation; `plans` may be exchanged for what knows who bought what.

    `forgotten` are called with the hashes of bytes that are no longer kept, from a thread.
    """

    def __init__(
        self, settings: StorageSettings, database: Database, store: BlobStore, folders: Folders, plans: StoragePlans, incoming: Path
    ) -> None:
        self.settings = settings
        self.database = database
        self.store = store
        self.folders = folders
        self.plans = plans
        self.incoming = incoming
        self.host = socket.gethostname()[:255]
        self.forgotten: list[Callable[[str], None]] = []
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")

    async def run(self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        """Run what blocks in a thread of this room."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args, **kwargs))

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)

    def scratch(self) -> Path:
        """A name for a file that is gone soon. What is left of them after a crash, the cleaning deletes."""
        self.incoming.mkdir(parents=True, exist_ok=True)
        return self.incoming / f"{secrets.token_hex(12)}.scratch"

    async def keep(self, given: Incoming) -> StoredFile:
        """Keep a file's bytes and add its row. Raises StorageFull; the bytes that were written then are deleted by the cleaning."""
        for _ in range(ATTEMPTS):
            claim = blobs.Claim(given.owner, given.facts.sha256, given.facts.size_bytes, given.created_ms)
            claimed = await self.database.write(claim_blob, claim)
            if not (claimed.known and await self.run(self.store.size_bytes, blob_name(claimed.key)) == given.facts.size_bytes):
                await self.run(self.store.put, blob_name(claimed.key), given.source, share=given.share)
            try:
                return await self.database.write(add_file, files.NewFile(_row(given, claimed.key), self.plans, given.bounded))
            except BlobGone:
                logger.info("the same bytes as of '%s' were being deleted; keeping them anew", given.filename)
        raise BlobGone("the same bytes are deleted again and again; try later")

    async def find(self, id: str, owner: str | None) -> StoredFile:
        """The file of that id. Raises FileMissing, also when it is another owner's."""
        found = await self.database.read(files.find_file, id, owner)
        if found is None:
            raise FileMissing(f"there is no file '{id[:60]}'", file_id=id[:60])
        return found

    async def require_room(self, owner: str, size_bytes: int) -> None:
        """Raises StorageFull where a file of that size would not fit."""
        await self.database.read(files.require_room, owner, size_bytes, self.plans)

    async def delete(self, id: str, owner: str | None) -> StoredFile:
        """Delete a file: row, bytes that nobody else has, copies. Raises FileMissing, and FileInUse where a live job needs it."""
        file = await self.find(id, owner)
        if await self.database.read(still_needed, [file]):
            raise FileInUse(
                f"a job that waits or runs still needs '{file.filename}'; cancel it first, or delete the file later", file_id=id
            )
        await self.remove([file.id], owner)
        return file

    async def remove(self, ids: Iterable[str], owner: str | None) -> int:
        """Delete files without asking whether they are needed; how many there were."""
        deleted = await self.database.write(delete_files, files.Deletion(tuple(ids), owner))
        for file in deleted.files:
            await self._delete_copy(file)
        await self.delete_bytes(deleted.blob_keys)
        return len(deleted.files)

    async def delete_bytes(self, keys: Iterable[str]) -> int:
        """Delete the bytes of condemned blobs, then their rows; how many."""
        condemned = tuple(keys)
        if not condemned:
            return 0
        gone = await self.database.read(blobs.hashes_of, condemned)
        await self.run(self.store.delete, [blob_name(key) for key in condemned])
        await self.run(self._tell_forgotten, list(gone.values()))
        return await self.database.write(forget_blobs, condemned)

    def place(self, file: StoredFile) -> Path | None:
        """Where graphs and ComfyUI's clients find the file on this machine, whether it is there or not."""
        if file.folder is None or file.path is None:
            return None
        folders = self.folders.of(file.owner)
        try:
            return folders.inside(folders.directory(file.folder), file.path)
        except UnsafePath:
            return None

    def local(self, file: StoredFile) -> Path | None:
        """A file on this machine that has the bytes, if there is one."""
        path = self.store.path(file.blob)
        if path is not None:
            return path if path.is_file() else None
        copy = self.place(file)
        try:
            status = None if copy is None else copy.stat()
        except OSError:
            return None
        same = status is not None and status.st_size == file.size_bytes and status.st_mtime * 1000 < file.created_ms + 1
        return copy if same else None  # younger than the row: somebody saved another file under the name

    async def _delete_copy(self, file: StoredFile) -> None:
        path = self.place(file)
        if path is None or file.folder is None or file.path is None:
            return
        if await self.database.read(files.count_at, file.owner, file.folder, file.path) == 0:
            await self.run(path.unlink, missing_ok=True)

    def _tell_forgotten(self, hashes: Iterable[str]) -> None:
        for sha256 in hashes:
            for tell in self.forgotten:
                tell(sha256)


def _row(given: Incoming, key: str) -> StoredFile:
    facts = given.facts
    return StoredFile(
        id=new_file_id(),
        owner=given.owner,
        blob_key=key,
        sha256=facts.sha256,
        filename=given.filename,
        size_bytes=facts.size_bytes,
        media_type=facts.media_type,
        purpose=given.purpose,
        created_ms=given.created_ms,
        expires_ms=given.expires_ms,
        width=facts.width,
        height=facts.height,
        duration_ms=facts.duration_ms,
        job_id=given.job_id,
        node_id=given.node_id,
        folder=given.folder,
        path=given.path,
    )
