"""Storage starts with the server: results are recorded, expired files deleted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from marquetry.server import keys
from marquetry.server.jobs.live import now_ms
from marquetry.server.market.keys import MARKET
from marquetry.server.storage.cleaning import Cleaning
from marquetry.server.storage.job_results import JobResults
from marquetry.server.storage.links import Links, signing_secret
from marquetry.server.storage.parts import PartUploads
from marquetry.server.storage.plans import SettingsPlans
from marquetry.server.storage.room import STORAGE, StorageRoom
from marquetry.server.storage.storage import Storage
from marquetry.server.storage.stores import folder_of, incoming_of, store_of, thumbnails_of
from marquetry.server.storage.thumbnails import Thumbnails

logger = logging.getLogger(__name__)
FIRST_CLEANING_S = 60.0


def install(application: web.Application) -> None:
    """Where handlers find it."""
    settings = application[keys.SETTINGS]
    chosen = settings.storage
    storage = Storage(
        chosen, application[keys.DATABASE], store_of(settings), application[keys.FOLDERS], SettingsPlans(chosen), incoming_of(settings)
    )
    thumbnails = Thumbnails(storage, thumbnails_of(settings), settings.limits.image_pixels)
    uploads = PartUploads(storage)
    secret = None if chosen.signing_secret is None else chosen.signing_secret.get_secret_value()
    application[STORAGE] = StorageRoom(
        storage,
        thumbnails,
        Links(signing_secret(secret, folder_of(settings)), chosen.link_minutes),
        uploads,
        JobResults(storage, thumbnails),
        Cleaning(storage, thumbnails, uploads),
    )


async def run(application: web.Application) -> AsyncIterator[None]:
    """While the server does."""
    room = application[STORAGE]
    if MARKET in application:
        from marquetry.server.storage.sold_plans import SoldPlans

        room.storage.plans = SoldPlans(application[MARKET], room.storage.plans)
    tasks = [asyncio.create_task(_clean(room))]
    if room.storage.settings.record_results:
        tasks.append(asyncio.create_task(room.results.run()))
    yield
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await room.storage.close()


async def _clean(room: StorageRoom) -> None:
    await asyncio.sleep(FIRST_CLEANING_S)
    while True:
        report = await room.cleaning.run(now_ms())
        logger.info("cleaned: %s", ", ".join(report.lines()))
        await asyncio.sleep(room.storage.settings.cleaning_minutes * 60)
