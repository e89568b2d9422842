"""Batches, schedules and webhooks start and stop with the server."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from marquetry.server import keys
from marquetry.server.automation.service import AUTOMATION, Automation


def install(application: web.Application) -> None:
    """Where handlers find it."""
    settings = application[keys.SETTINGS].automation
    application[AUTOMATION] = Automation(application[keys.JOBS], application[keys.CHECK], settings)


async def run(application: web.Application) -> AsyncIterator[None]:
    """While the server does."""
    await application[AUTOMATION].start()
    yield
    await application[AUTOMATION].stop()
