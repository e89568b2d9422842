"""Health: whether the server lives, whether it can take work, what it is, how it is."""

from __future__ import annotations

import asyncio
import platform
import time
from typing import Any

import msgspec
from aiohttp import web
from pydantic import BaseModel, Field

from marquetry import __version__
from marquetry.server.api import PREFIXES
from marquetry.server.http.access import PUBLIC, Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.service import JobService
from marquetry.server.keys import JOBS, SETTINGS, SOCKETS, STARTED_S

routes = RouteTable("Server", PREFIXES)
DATABASE_PATIENCE_S = 2.0


class Health(BaseModel):
    status: str = Field(description="ok: the server answers")


class Ready(BaseModel):
    ready: bool = Field(description="whether a job would run now")
    checks: dict[str, bool] = Field(description="each thing that must be well")


class Version(BaseModel):
    name: str
    version: str
    api: str
    python: str
    environment: str


class Stats(BaseModel):
    uptime_s: float
    queue_remaining: int
    sockets: int
    workers: list[dict[str, Any]] = Field(description="each worker: whether it is ready, what it runs, its memory, its devices")


@routes.get("/health", "Whether the server lives", access=PUBLIC, also=("/api/health",), answers={200: Answer("it does", Health)})
async def health(request: web.Request) -> web.Response:
    return json_answer(Health(status="ok"))


@routes.get(
    "/ready",
    "Whether the server can take work",
    access=PUBLIC,
    also=("/api/ready",),
    answers={200: Answer("it can", Ready), 503: Answer("it can't yet, or not now", Ready)},
)
async def ready(request: web.Request) -> web.Response:
    """Where this is 503, jobs may be submitted all the same: they wait."""
    jobs = request.app[JOBS]
    checks = {"worker": jobs.ready, "database": await _database_answers(jobs)}
    well = all(checks.values())
    return json_answer(Ready(ready=well, checks=checks), 200 if well else 503)


@routes.get("/version", "What this is", access=PUBLIC, answers={200: Answer("names and versions", Version)})
async def version(request: web.Request) -> web.Response:
    return json_answer(
        Version(
            name="Marquetry",
            version=__version__,
            api="v1",
            python=platform.python_version(),
            environment=request.app[SETTINGS].environment,
        )
    )


@routes.get("/stats", "How the server is", access=Access(permission="server.see"), answers={200: Answer("numbers", Stats)})
async def stats(request: web.Request) -> web.Response:
    application = request.app
    jobs = application[JOBS]
    return json_answer(
        Stats(
            uptime_s=round(time.monotonic() - application[STARTED_S], 3),
            queue_remaining=jobs.remaining(),
            sockets=len(application[SOCKETS]),
            workers=[msgspec.to_builtins(worker) for worker in await jobs.stats()],
        )
    )


async def _database_answers(jobs: JobService) -> bool:
    try:
        async with asyncio.timeout(DATABASE_PATIENCE_S):
            await jobs.find("")
    except Exception:  # whatever the database's driver raises: it does not answer
        return False
    return True
