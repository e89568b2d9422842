"""Exports of what is kept of people, and erasures, are worked on while the server runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from marquetry.server import keys
from marquetry.server.people import NOBODY
from marquetry.server.people_work import PEOPLE_WORK, PeopleWork
from marquetry.server.storage.room import STORAGE

logger = logging.getLogger(__name__)
RETRY_S = 30.0


def install(application: web.Application) -> None:
    """Where handlers find it. The rooms that it needs are looked up when it works."""
    users: Path = application[keys.FOLDERS].user

    def home(owner: str) -> Path | None:
        path = users / (owner or NOBODY)
        return path if path.parent == users else None

    application[PEOPLE_WORK] = PeopleWork(
        lambda: application[STORAGE], application[keys.JOBS], application[keys.SETTINGS].database, home, application[keys.PEOPLE].remove
    )


async def run(application: web.Application) -> AsyncIterator[None]:
    """While the server does."""
    task = asyncio.create_task(_work(application[PEOPLE_WORK]))
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _work(work: PeopleWork) -> None:
    while True:
        try:
            await work.run()
        except Exception:  # the database may be away for a while
            logger.exception("requests of people can't be worked on; trying again")
        await asyncio.sleep(RETRY_S)
