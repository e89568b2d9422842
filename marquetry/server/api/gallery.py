"""The caller's history as a gallery: each job with the files that it made and small pictures of them."""

from __future__ import annotations

import asyncio

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.api import PREFIXES
from marquetry.server.api.file_models import FileInfo, info
from marquetry.server.api.models import Made, State
from marquetry.server.api.results import made
from marquetry.server.caller import OWNER_HEADER, owner_filter
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_query
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.job import JobState
from marquetry.server.keys import JOBS
from marquetry.server.storage.files import files_of_jobs
from marquetry.server.storage.room import STORAGE

routes = RouteTable("Files", PREFIXES)


class HistoryQuery(BaseModel):
    state: State | None = Field(default=None, description="only jobs in this state")
    limit: int = Field(default=50, ge=1, le=200)
    offset: int = Field(default=0, ge=0, le=1_000_000_000)


class HistoryEntry(BaseModel):
    """A job and what it made, as far as that is still kept."""

    job_id: str
    state: State
    created_ms: int
    finished_ms: int | None
    made: Made
    files: list[FileInfo]
    thumbnail_url: str | None = Field(description="a small picture of the first file that has one")


class History(BaseModel):
    """Jobs, newest first."""

    entries: list[HistoryEntry]
    total: int
    offset: int
    limit: int


@routes.get(
    "/user/history", "What the caller made", query=HistoryQuery, headers=OWNER_HEADER, answers={200: Answer("jobs with files", History)}
)
async def history(request: web.Request) -> web.Response:
    """Previews and files whose time is over are not among them; the job is, as long as its row is kept."""
    query, room, owner = read_query(request, HistoryQuery), request.app[STORAGE], owner_filter(request)
    await room.settle()
    states = None if query.state is None else (JobState(query.state),)
    jobs, total = await request.app[JOBS].jobs(owner=owner, states=states, limit=query.limit, offset=query.offset)
    files = await room.storage.database.read(files_of_jobs, [job.id for job in jobs], owner)

    def entries() -> list[HistoryEntry]:
        return [
            HistoryEntry(
                job_id=job.id,
                state=job.state.value,
                created_ms=job.created_ms,
                finished_ms=job.finished_ms,
                made=made(job),
                files=(shown := [info(file) for file in files[job.id]]),
                thumbnail_url=next((file.thumbnail_url for file in shown if file.thumbnail_url), None),
            )
            for job in jobs
        ]

    found = await asyncio.to_thread(entries)
    return json_answer(History(entries=found, total=total, offset=query.offset, limit=query.limit))
