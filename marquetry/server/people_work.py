"""Work on requests of people: exports are written, accounts erased everywhere. What a crash breaks off is gone on with after the next start."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from marquetry.server.database.database import one_by_one
from marquetry.server.jobs.live import now_ms
from marquetry.server.jobs.service import JobService
from marquetry.server.people_data import rooms
from marquetry.server.people_export import write_export
from marquetry.server.storage.file import Facts
from marquetry.server.storage.files import FileFilter, list_files
from marquetry.server.storage.inspection import hash_of
from marquetry.server.storage.job_archive import archives_of
from marquetry.server.storage.parts import uploads_of
from marquetry.server.storage.people_requests import (
    DONE,
    EXPORT,
    FAILED,
    NOBODY,
    RUNNING,
    SWEEPING,
    PeopleRequest,
    Progress,
    add_request,
    note_progress,
    open_requests,
)  # fmt: skip
from marquetry.server.storage.plans import DAY_MS
from marquetry.server.storage.room import StorageRoom
from marquetry.server.storage.storage import Incoming

if TYPE_CHECKING:
    from sqlalchemy import Connection

logger = logging.getLogger(__name__)
LOOK_S = 60.0
STOP_S = 30.0  # how long running jobs of somebody who leaves have to stop
SWEEP_MS = 65 * 60 * 1000  # longer than any access token lives
PAGE = 200

PEOPLE_WORK: web.AppKey[PeopleWork] = web.AppKey("people_work")
begin = one_by_one(add_request)
note = one_by_one(note_progress)


def _erase(connection: Connection, wanted: tuple[int, str, int]) -> dict[str, str]:
    place, owner, time_ms = wanted
    room = rooms()[place]
    return {f"{room.name}/{table}": told for table, told in room.erase(connection, owner, time_ms).items()}


erase = one_by_one(_erase)


class PeopleWork:
    """One request after the other. `home` gives the folder of a person's own files, `forget` strikes them off ComfyUI's list of people; `database_url` is for long reads beside the others'."""

    def __init__(
        self,
        storage: Callable[[], StorageRoom],
        jobs: JobService,
        database_url: str,
        home: Callable[[str], Path | None],
        forget: Callable[[str], None],
    ) -> None:
        self._find_room = storage
        self._jobs = jobs
        self._url = database_url
        self._home = home
        self._forget = forget
        self._new = asyncio.Event()

    @property
    def _room(self) -> StorageRoom:
        return self._find_room()

    async def ask(self, request: PeopleRequest) -> PeopleRequest:
        """Take a request; it is durable when this returns."""
        taken = await self._room.storage.database.write(begin, request)
        self._new.set()
        return taken

    async def run(self) -> None:
        """Work for ever."""
        while True:
            self._new.clear()
            for request in await self._room.storage.database.read(open_requests):
                await self.work(request)
            try:
                await asyncio.wait_for(self._new.wait(), LOOK_S)
            except TimeoutError:
                continue

    async def work(self, request: PeopleRequest, time_ms: int | None = None) -> None:
        """One step of a request; what fails is told in it."""
        time_ms = now_ms() if time_ms is None else time_ms
        database = self._room.storage.database
        try:
            if request.state == SWEEPING:
                if time_ms >= request.created_ms + SWEEP_MS:
                    await self._erase(request, time_ms, last=True)
                return
            await database.write(note, Progress(request.id, RUNNING))
            await (self._export(request, time_ms) if request.kind == EXPORT else self._erase(request, time_ms, last=False))
        except Exception as error:
            logger.exception("the request %s of somebody could not be done", request.id)
            if request.kind == EXPORT:
                await database.write(note, Progress(request.id, FAILED, time_ms, error=f"{type(error).__name__}: {error}"[:500]))

    async def _export(self, request: PeopleRequest, time_ms: int) -> None:
        storage = self._room.storage
        await self._room.settle()
        into, scratch = storage.scratch(), storage.scratch()
        try:
            counts = await asyncio.to_thread(
                write_export, self._url, storage.store, request.owner, self._home(request.owner), into, scratch,
                with_files=bool(request.options.get("include_files")),
            )  # fmt: skip
            digest, size = await storage.run(hash_of, into)
            expires_ms = time_ms + storage.settings.export_days * DAY_MS
            facts = Facts(digest, size, "application/zip")
            file = await storage.keep(
                Incoming(into, request.owner, "my-data.zip", "export", facts, time_ms, bounded=False, expires_ms=expires_ms)
            )
        finally:
            into.unlink(missing_ok=True)
            scratch.unlink(missing_ok=True)
        await storage.database.write(note, Progress(request.id, DONE, time_ms, file.id, counts))

    async def _erase(self, request: PeopleRequest, time_ms: int, *, last: bool) -> None:
        owner, storage = request.owner, self._room.storage
        if not owner:
            raise ValueError("nobody's rows are not erased")
        report: dict[str, str] = dict(request.report or {})
        for place in range(len(rooms())):
            if rooms()[place].name == "files":
                await self._stop_jobs(owner)
                report["files/bytes"] = f"{await self._delete_files(owner)} files deleted"
            told = await storage.database.write(erase, (place, owner, time_ms))
            report |= {name: what for name, what in told.items() if not last or not what.startswith("0 ")}
        await self._room.cleaning.delete_abandoned(time_ms)
        await asyncio.to_thread(self._delete_folders, owner)
        state = Progress(request.id, DONE, time_ms, report=report, owner=NOBODY) if last else Progress(request.id, SWEEPING, report=report)
        await storage.database.write(note, state)

    async def _stop_jobs(self, owner: str) -> None:
        await self._jobs.clear_pending(owner)
        for job_id in await self._jobs.interrupt(owner):
            await self._jobs.wait(job_id, STOP_S)
        await self._room.settle()

    async def _delete_files(self, owner: str) -> int:
        storage, count = self._room.storage, 0
        while page := (await storage.database.read(list_files, FileFilter(owner), PAGE, 0))[0]:
            count += await storage.remove([file.id for file in page], owner)
        for id in await storage.database.read(uploads_of, owner):
            await self._room.uploads.end(id)
        archives = await storage.database.read(archives_of, owner)
        await storage.run(storage.store.delete, archives)
        return count

    def _delete_folders(self, owner: str) -> None:
        folders = self._room.storage.folders
        own = folders.of(owner)
        if own is not folders:
            for path in (own.input, own.output, own.temp):
                shutil.rmtree(path, ignore_errors=True)
        home = self._home(owner)
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)
        self._forget(owner)
