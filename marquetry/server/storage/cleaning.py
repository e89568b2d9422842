"""Cleaning: deletes what has expired and what belongs to nothing, in small steps that can stop anywhere and go on later.

Nothing that a job still needs is deleted. A dry run finds the same and touches nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sqlalchemy import Connection

from marquetry.server.database.database import one_by_one
from marquetry.server.storage import blobs, files
from marquetry.server.storage.blob_store import BLOBS, Found, blob_name, key_of_name
from marquetry.server.storage.job_archive import count_old, pack_old
from marquetry.server.storage.local_copies import trim as trim_copies
from marquetry.server.storage.marks import Mark, read_mark, write_mark
from marquetry.server.storage.needs import still_needed
from marquetry.server.storage.parts import PartUploads, expired_uploads
from marquetry.server.storage.plans import DAY_MS
from marquetry.server.storage.storage import Storage
from marquetry.server.storage.thumbnails import Thumbnails

logger = logging.getLogger(__name__)
STEP = 100
PAGE = 500
PAGES_AT_ONCE = 200
PAUSE_S = 0.02
ORPHANS = "orphans"
SCRATCH_SUFFIXES = (".scratch", ".part")


@dataclass
class Report:
    """What was deleted, or in a dry run would be: how many, and their bytes where that is known."""

    files: int = 0
    file_bytes: int = 0
    needed: int = 0  # expired, but a live job still needs them
    blobs: int = 0
    blob_bytes: int = 0
    orphans: int = 0
    orphan_bytes: int = 0
    uploads: int = 0
    jobs: int = 0
    thumbnails: int = 0
    thumbnail_bytes: int = 0
    local_copies: int = 0
    local_copy_bytes: int = 0
    failed: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For a person."""
        return [f"{name.replace('_', ' ')}: {value:,}" for name, value in asdict(self).items() if name != "failed"] + [
            f"failed: {reason}" for reason in self.failed
        ]


def _condemn(connection: Connection, wanted: tuple[int, tuple[str, ...]]) -> list[str]:
    return blobs.condemn_abandoned(connection, *wanted)


condemn = one_by_one(_condemn)
set_mark = one_by_one(write_mark)


class Cleaning:
    """One pass at a time. `pause_s` lies between steps, so that others get through."""

    def __init__(self, storage: Storage, thumbnails: Thumbnails, uploads: PartUploads, *, pause_s: float = PAUSE_S) -> None:
        self._storage = storage
        self._thumbnails = thumbnails
        self._uploads = uploads
        self._pause_s = pause_s

    async def run(self, now_ms: int, *, dry_run: bool = False) -> Report:
        """All of it. A part that fails is told in the report, and does not hold up the others."""
        report = Report()
        parts: tuple[Callable[[Report, int, bool], Awaitable[None]], ...] = (
            self._end_uploads, self._delete_expired, self._delete_abandoned, self._delete_orphans, self._pack_jobs, self._trim,
        )  # fmt: skip
        for part in parts:
            try:
                await part(report, now_ms, dry_run)
            except Exception as error:
                logger.exception("a part of the cleaning failed")
                report.failed.append(f"{part.__name__.strip('_').replace('_', ' ')}: {error}")
        return report

    async def delete_abandoned(self, now_ms: int) -> None:
        """Only the bytes that belong to no file any more."""
        await self._delete_abandoned(Report(), now_ms, False)

    def _before_ms(self, now_ms: int) -> int:
        return now_ms - int(self._storage.settings.orphan_minutes * 60_000)

    async def _end_uploads(self, report: Report, now_ms: int, dry_run: bool) -> None:
        while ids := await self._storage.database.read(expired_uploads, now_ms, STEP):
            report.uploads += len(ids)
            if dry_run:
                break
            for id in ids:
                await self._uploads.end(id)
        longest_ms = int(self._storage.settings.upload_hours * 3_600_000)
        before_ms = min(self._before_ms(now_ms), now_ms - longest_ms)
        report.uploads += await self._storage.run(_delete_scratch, self._storage.incoming, before_ms, dry_run)

    async def _delete_expired(self, report: Report, now_ms: int, dry_run: bool) -> None:
        after = ""
        while batch := await self._storage.database.read(files.expired_files, now_ms, STEP, after):
            after = batch[-1].id
            needed = await self._storage.database.read(still_needed, batch)
            chosen = [file for file in batch if file.id not in needed]
            report.needed += len(needed)
            report.files += len(chosen)
            report.file_bytes += sum(file.size_bytes for file in chosen)
            if not dry_run:
                await self._storage.remove([file.id for file in chosen], None)
            await asyncio.sleep(self._pause_s)

    async def _delete_abandoned(self, report: Report, now_ms: int, dry_run: bool) -> None:
        after, before_ms = "", self._before_ms(now_ms)
        while batch := await self._storage.database.read(blobs.abandoned, before_ms, STEP, after):
            after = batch[-1][0]
            keys = [key for key, _ in batch]
            if not dry_run:
                keys = await self._storage.database.write(condemn, (before_ms, tuple(keys)))
                await self._storage.delete_bytes(keys)
            report.blobs += len(keys)
            report.blob_bytes += sum(size for key, size in batch if key in set(keys))
            await asyncio.sleep(self._pause_s)

    async def _delete_orphans(self, report: Report, now_ms: int, dry_run: bool) -> None:
        """Bytes in the store that no row knows. Where one pass is not enough, the next goes on."""
        async for page in self._pages(now_ms, dry_run):
            old = [found for found in page if found.modified_ms < self._before_ms(now_ms)]
            unknown = await self._storage.database.read(blobs.unknown_keys, [key_of_name(found.name) for found in old])
            orphans = [found for found in old if key_of_name(found.name) in unknown or found.name != blob_name(key_of_name(found.name))]
            report.orphans += len(orphans)
            report.orphan_bytes += sum(found.size_bytes for found in orphans)
            if not dry_run:
                await self._storage.run(self._storage.store.delete, [found.name for found in orphans])
            await asyncio.sleep(self._pause_s)

    async def _pages(self, now_ms: int, dry_run: bool) -> AsyncIterator[list[Found]]:
        known = None if dry_run else await self._storage.database.read(read_mark, ORPHANS)
        after = known or ""
        for _ in range(PAGES_AT_ONCE):
            page = await self._storage.run(self._storage.store.listed, BLOBS, after, PAGE)
            if page:
                yield page
            after = page[-1].name if len(page) == PAGE else ""
            if not dry_run:
                await self._storage.database.write(set_mark, Mark(ORPHANS, after, now_ms))
            if not after:
                return

    async def _pack_jobs(self, report: Report, now_ms: int, dry_run: bool) -> None:
        settings = self._storage.settings
        if settings.finished_jobs == "keep":
            return
        before_ms = now_ms - settings.finished_job_days * DAY_MS
        if dry_run:
            report.jobs = await self._storage.database.read(count_old, before_ms)
            return
        while packed := await pack_old(self._storage, before_ms, now_ms, keep=settings.finished_jobs == "archive"):
            report.jobs += packed
            await asyncio.sleep(self._pause_s)

    async def _trim(self, report: Report, now_ms: int, dry_run: bool) -> None:
        settings = self._storage.settings
        report.thumbnails, report.thumbnail_bytes = await self._storage.run(
            self._thumbnails.trim, settings.thumbnail_cache_bytes, dry_run=dry_run
        )
        report.local_copies, report.local_copy_bytes = await trim_copies(self._storage, settings.local_results_bytes, dry_run=dry_run)


def _delete_scratch(folder: Path, before_ms: int, dry_run: bool) -> int:
    count = 0
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.suffix in SCRATCH_SUFFIXES and path.is_file() and path.stat().st_mtime_ns // 1_000_000 < before_ms:
            count += 1
            if not dry_run:
                path.unlink(missing_ok=True)
    return count
