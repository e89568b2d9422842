"""The ledger's rounds, and the writer through which captures of many callers share commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from marquetry.server import keys
from marquetry.server.ledger.balances import BALANCES, Balances
from marquetry.server.ledger.rounds import expire_now_and_then, verify_every_night
from marquetry.server.ledger.writer import CaptureWriter

CAPTURES = web.AppKey("captures", CaptureWriter)


def install(application: web.Application) -> None:
    """Put the writer of captures where it is looked for, and the bells that commits ring."""
    application[BALANCES] = balances = Balances()
    application[keys.DATABASE].hear_changes(balances.ring)
    application[CAPTURES] = CaptureWriter(application[keys.DATABASE])


async def run(application: web.Application) -> AsyncIterator[None]:
    """Expire and verify while the server runs."""
    settings = application[keys.SETTINGS]
    rounds = [asyncio.create_task(expire_now_and_then(application[keys.DATABASE])), asyncio.create_task(verify_every_night(settings))]
    yield
    for task in rounds:
        task.cancel()
    for task in rounds:
        with suppress(asyncio.CancelledError):
            await task
