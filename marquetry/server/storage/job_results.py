"""Results: what jobs save becomes files of their owners once they have ended. The table of jobs is read on from a mark, so that a crash
between a job's end and its files' rows only delays them; recording the same result again changes nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from marquetry.engine.errors import EngineError, UnsafePath
from marquetry.server.database.database import one_by_one
from marquetry.server.database.tables import jobs
from marquetry.server.jobs.live import now_ms
from marquetry.server.jobs.view import decode_record
from marquetry.server.storage.errors import FileMissing
from marquetry.server.storage.file import StoredFile
from marquetry.server.storage.inspection import describe
from marquetry.server.storage.local_copies import Copy, note_copy
from marquetry.server.storage.marks import Mark, read_mark, write_mark
from marquetry.server.storage.storage import Incoming, Storage
from marquetry.server.storage.thumbnails import Thumbnails, has_thumbnail

logger = logging.getLogger(__name__)
LOOK_S = 1.0
PATIENCE_S = 60.0  # between tries while the store can't be reached
OVERLAP_MS = 2_000  # jobs of several servers do not end in the order in which that is written
START_OVERLAP_MS = 600_000  # nor while the database was away; what was recorded already is found again and left alone
PAGE = 500
MAX_FILES = 10_000  # of one job
ATTEMPTS = 5
write_mark_op = one_by_one(write_mark)


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that has ended, and what it shows."""

    seq: int
    id: str
    owner: str
    finished_ms: int


@dataclass(frozen=True, slots=True)
class Saved:
    """A file that a node says it saved in the output folder."""

    node_id: str
    kind: str
    path: str


def ended_since(connection: Connection, after: tuple[int, int], limit: int) -> list[Ended]:
    """Jobs that ended after (time, number), in that order."""
    time_ms, seq = after
    found = select(jobs.c.seq, jobs.c.id, jobs.c.owner, jobs.c.finished_ms).where(
        (jobs.c.finished_ms > time_ms) | ((jobs.c.finished_ms == time_ms) & (jobs.c.seq > seq)), jobs.c.finished_ms.is_not(None)
    )
    return [Ended(*row) for row in connection.execute(found.order_by(jobs.c.finished_ms, jobs.c.seq).limit(limit))]


def saved_by(connection: Connection, ids: list[str]) -> dict[str, list[Saved]]:
    """What these jobs saved, by their ids; those that saved nothing are left out."""
    found: dict[str, list[Saved]] = {}
    for id, record in connection.execute(select(jobs.c.id, jobs.c.record).where(jobs.c.id.in_(ids), jobs.c.record.is_not(None))):
        if b"filename" in record and (saved := list(_saved(decode_record(record).outputs))):
            found[id] = saved[:MAX_FILES]
    return found


class JobResults:
    """Records on one machine what was saved there."""

    def __init__(self, storage: Storage, thumbnails: Thumbnails) -> None:
        self._storage = storage
        self._thumbnails = thumbnails
        self._mark = f"results@{storage.host}"
        self._seen: dict[str, int] = {}
        self._tries: dict[str, int] = {}
        self._from_ms: int | None = None
        self._kept_ms = 0
        self._caught_up = False  # once, since this process began
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Record for ever."""
        wait_s = LOOK_S
        while True:
            try:
                await self.catch_up()
                wait_s = LOOK_S
            except Exception:  # the store or the database may be away for a while
                logger.exception("results could not be recorded; trying again")
                wait_s = min(2 * wait_s, PATIENCE_S)
            await asyncio.sleep(wait_s)

    async def catch_up(self) -> int:
        """Record what ended up to now; how many files that were."""
        async with self._lock:
            if self._from_ms is None:
                known = await self._storage.database.read(read_mark, self._mark)
                self._from_ms = now_ms() if known is None else int(known)
                if known is None:
                    await self._keep_mark()
            count, place = 0, (self._from_ms - (OVERLAP_MS if self._caught_up else START_OVERLAP_MS), 0)
            while page := await self._storage.database.read(ended_since, place, PAGE):
                count += await self._record_page([job for job in page if job.id not in self._seen])
                place = (page[-1].finished_ms, page[-1].seq)
                self._from_ms = max(self._from_ms, page[-1].finished_ms)
            self._seen = {id: time_ms for id, time_ms in self._seen.items() if time_ms >= self._from_ms - 2 * OVERLAP_MS}
            self._caught_up = True
            if count or self._from_ms > self._kept_ms + PATIENCE_S * 1000:
                await self._keep_mark()
            return count

    async def _keep_mark(self) -> None:
        assert self._from_ms is not None
        await self._storage.database.write(write_mark_op, Mark(self._mark, str(self._from_ms), now_ms()))
        self._kept_ms = self._from_ms

    async def _record_page(self, page: list[Ended]) -> int:
        if not page:
            return 0
        saved = await self._storage.database.read(saved_by, [job.id for job in page])
        count = 0
        for job in page:
            for entry in saved.get(job.id, ()):
                count += await self._record(job, entry) is not None
            self._seen[job.id] = job.finished_ms
        return count

    async def _record(self, job: Ended, saved: Saved) -> StoredFile | None:
        place = await self._storage.run(self._place, job.owner, saved.path)
        if place is None:
            return None
        try:
            facts = await self._storage.run(describe, place)
        except (OSError, EngineError) as error:
            logger.warning("'%s' of job %s can't be recorded: %s", saved.path, job.id, error)
            return None
        purpose, name = "output", saved.path.rpartition("/")[2]
        try:
            file = await self._storage.keep(
                Incoming(place, job.owner, name, purpose, facts, now_ms(), share=True, bounded=False,
                         job_id=job.id, node_id=saved.node_id, folder="output", path=saved.path)
            )  # fmt: skip
        except Exception:
            tries = self._tries[job.id] = self._tries.get(job.id, 0) + 1
            if tries < ATTEMPTS:
                raise
            logger.exception("'%s' of job %s could not be recorded in %d tries; it stays in the output folder", saved.path, job.id, tries)
            return None
        self._tries.pop(job.id, None)
        if self._storage.store.path(file.blob) is None:
            await self._storage.database.write(note_copy, Copy(self._storage.host, file.id, file.size_bytes, now_ms()))
        if has_thumbnail(file):
            with suppress(EngineError, FileMissing, OSError):
                await self._thumbnails.of(file)
        return file

    def _place(self, owner: str, path: str) -> Path | None:
        folders = self._storage.folders.of(owner)
        try:
            place = folders.inside(folders.output, path)
        except UnsafePath:
            return None
        return place if place.is_file() else None


def _saved(outputs: dict[str, dict[str, Any]]) -> Iterator[Saved]:
    for node_id, shown in outputs.items():
        for kind, values in shown.items():
            for value in values if isinstance(values, list) else ():
                if isinstance(value, dict) and isinstance(value.get("filename"), str) and (value.get("type") or "output") == "output":
                    subfolder = str(value.get("subfolder") or "").replace("\\", "/").strip("/")
                    yield Saved(node_id, kind, f"{subfolder}/{value['filename']}" if subfolder else value["filename"])
