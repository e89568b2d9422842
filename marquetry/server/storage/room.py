"""What handlers find of storage in the application, under one key."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web

from marquetry.server.storage.cleaning import Cleaning
from marquetry.server.storage.job_results import JobResults
from marquetry.server.storage.links import Links
from marquetry.server.storage.parts import PartUploads
from marquetry.server.storage.storage import Storage
from marquetry.server.storage.thumbnails import Thumbnails

SETTLE_S = 2.0


@dataclass(frozen=True, slots=True)
class StorageRoom:
    """Storage, and what works on it."""

    storage: Storage
    thumbnails: Thumbnails
    links: Links
    uploads: PartUploads
    results: JobResults
    cleaning: Cleaning

    async def settle(self) -> None:
        """Wait until what has ended is recorded, within reason."""
        if self.storage.settings.record_results:
            await asyncio.wait((asyncio.ensure_future(self.results.catch_up()),), timeout=SETTLE_S)


STORAGE = web.AppKey("storage", StorageRoom)
