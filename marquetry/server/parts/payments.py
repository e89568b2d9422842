"""Payments: with a provider's keys, late payments, refunds and debts are looked after, and creators can be paid through it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from marquetry.server.accounts.key import ACCOUNTS
from marquetry.server.keys import SETTINGS
from marquetry.server.payments.key import TILL, Till
from marquetry.server.published.paying import TRANSFERS

logger = logging.getLogger(__name__)
ROUND_S = 60.0


def install(application: web.Application) -> None:
    application[TILL] = Till(application)
    if TRANSFERS in application:
        _offer_transfers(application)


async def run(application: web.Application) -> AsyncIterator[None]:
    """Rounds, where somebody can pay."""
    if not application[SETTINGS].payments.providers:
        yield
        await application[TILL].close()
        return
    _offer_transfers(application)
    going = asyncio.create_task(_go(application))
    yield
    going.cancel()
    with suppress(asyncio.CancelledError):
        await going
    await application[TILL].close()


def _offer_transfers(application: web.Application) -> None:
    """Early, so that the first round of payouts finds it; whichever part comes first."""
    if not application[SETTINGS].payments.providers:
        return
    from marquetry.server.payments.transfers import ConnectTransfers

    desk = application[TILL].open().desk
    if not desk.missing(ConnectTransfers.method):
        application[TRANSFERS][ConnectTransfers.method] = ConnectTransfers(desk)


async def _go(application: web.Application) -> None:
    from marquetry.server.payments.rounds import go_round

    while True:
        await asyncio.sleep(ROUND_S)
        try:
            await go_round(application[TILL].open(), application.get(ACCOUNTS))
        except Exception:  # the database or a provider may be away; the next round tries again
            logger.exception("the round of payments failed")
