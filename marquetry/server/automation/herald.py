"""Herald: puts the ends of jobs in the post for who wants to know, and lets batches know. What a crash cut off is told after the next start."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, delete, exists, select

from marquetry.marketplace.accounts.upsert import insert_missing
from marquetry.server.api.results import files
from marquetry.server.automation.batches import FORGOTTEN, End, note_end, open_owners, unnoted_ends
from marquetry.server.automation.event import Event
from marquetry.server.automation.tables import automation_marks, webhooks
from marquetry.server.automation.webhooks import tidy_webhooks
from marquetry.server.database.database import Database, one_by_one
from marquetry.server.database.tables import jobs
from marquetry.server.jobs.archive import find_job
from marquetry.server.jobs.job import Job, JobState
from marquetry.server.jobs.live import now_ms

logger = logging.getLogger(__name__)
MARK = "ends_told"
LOOK_AGAIN_S = 60.0
OVERLAP_MS = 120_000  # ends may be written later than the time in them
PART = 200
KEPT_MS = 30 * 24 * 3600 * 1000  # how long messages that have ended can be looked at and sent again


class Herald:
    """`hear` is called with every end; `told` after messages were made."""

    def __init__(self, database: Database, told: Callable[[], None], *, clock: Callable[[], int] = now_ms) -> None:
        self._database = database
        self._told = told
        self._clock = clock
        self._owners: set[str] = set()  # who wants to know of ends
        self._waiting: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._caught_up_s = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.catch_up()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def expect(self, owner: str) -> None:
        """This owner wants to know from now on."""
        self._owners.add(owner)

    def hear(self, job_id: str, owner: str) -> None:
        """A job has ended."""
        if owner in self._owners:
            self._waiting[job_id] = None
            self._wake.set()

    async def catch_up(self) -> None:
        """Tell what was not told: what ended while nobody listened, here or in another server that is gone."""
        self._caught_up_s = time.monotonic()
        self._owners |= await self._database.read(_wanting_owners)
        now = self._clock()
        since = await self._database.read(_read_mark)
        after, more = (since if since is not None else now) - OVERLAP_MS, True
        while more:
            found = await self._database.read(_ended_since, after)
            for job_id, _ in found:
                await self.tell(job_id)
            more = len(found) == PART and found[-1][1] > after
            after = found[-1][1] if found else after
        for job_id in await self._database.read(unnoted_ends, PART):
            await self.tell(job_id)
        await self._database.write(_keep_mark, now)
        await self._database.write(_tidy, now - KEPT_MS)

    async def tell(self, job_id: str) -> None:
        """Tell of one end; again is no more."""
        job = await self._database.read(find_job, job_id)
        now = self._clock()
        if job is None:
            end = End(job_id, FORGOTTEN, None, now)
        elif job.state.is_final:
            end = End(job_id, job.state.value, error_of(job), job.finished_ms or now, event_of(job, now))
        else:
            return
        if await self._database.write(_note_end, end):
            self._told()

    async def _run(self) -> None:
        while True:
            try:
                with suppress(TimeoutError):  # not wait_for: before Python 3.12 it may swallow a cancellation
                    async with asyncio.timeout(LOOK_AGAIN_S):
                        await self._wake.wait()
                self._wake.clear()
                if time.monotonic() - self._caught_up_s >= LOOK_AGAIN_S:
                    await self.catch_up()
                while self._waiting:
                    await self.tell(next(iter(self._waiting)))
                    self._waiting.pop(next(iter(self._waiting)))
            except Exception:  # what could not be told now is told when it is looked for again
                logger.exception("ends of jobs could not be told")
                self._waiting.clear()
                await asyncio.sleep(1.0)


def event_of(job: Job, now: int) -> Event:
    """What is told of a job's end."""
    data: dict[str, Any] = {
        "job_id": job.id,
        "state": job.state.value,
        "created_ms": job.created_ms,
        "started_ms": job.started_ms,
        "finished_ms": job.finished_ms,
    }
    if job.state is JobState.COMPLETED:
        data["result"] = {"files": [file.model_dump(mode="json") for file in files(job)]}
    else:
        data["error"] = error_of(job)
    return Event(job.owner, f"generation.{job.state.value}", f"job {job.id}", data, job.finished_ms or now, job.id)


def error_of(job: Job) -> dict[str, Any] | None:
    """Why a job did not complete, without its inside."""
    if job.error is None:
        return None
    known = job.error
    return {"code": known.code, "message": known.message[:2000], "node_id": known.node_id, "node_type": known.node_type}


def _wanting_owners(connection: Connection) -> set[str]:
    return set(connection.execute(select(webhooks.c.owner).where(webhooks.c.enabled).distinct()).scalars()) | open_owners(connection)


def _ended_since(connection: Connection, since_ms: int) -> list[tuple[str, int]]:
    wanted = exists().where(webhooks.c.owner == jobs.c.owner, webhooks.c.enabled)
    order = (jobs.c.finished_ms, jobs.c.seq)
    found = select(jobs.c.id, jobs.c.finished_ms).where(jobs.c.finished_ms >= since_ms, wanted).order_by(*order).limit(PART)
    return [(row.id, row.finished_ms) for row in connection.execute(found)]


def _read_mark(connection: Connection) -> int | None:
    return connection.execute(select(automation_marks.c.value).where(automation_marks.c.name == MARK)).scalar()


def _write_mark(connection: Connection, value: int) -> None:
    connection.execute(delete(automation_marks).where(automation_marks.c.name == MARK))
    insert_missing(connection, automation_marks, name=MARK, value=value)


_note_end = one_by_one(note_end)
_keep_mark = one_by_one(_write_mark)
_tidy = one_by_one(tidy_webhooks)
