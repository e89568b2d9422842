"""Accounts, where the settings switch them on: then the gate lets in only who shows who they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from marquetry.server.accounts.key import ACCOUNTS
from marquetry.server.http.access import ADMISSION
from marquetry.server.http.origin import OriginGuard
from marquetry.server.keys import DATABASE, SETTINGS

logger = logging.getLogger(__name__)
TIDIED_EVERY_S = 3600.0


def install(application: web.Application) -> None:
    """Put the accounts and what lets requests in where they are looked for."""
    settings = application[SETTINGS]
    if not settings.accounts.enabled:
        return
    from marquetry.server.accounts.admission import Gatekeeper
    from marquetry.server.accounts.service import Accounts

    accounts = Accounts(settings, application[DATABASE])
    application[ACCOUNTS] = accounts
    gatekeeper = Gatekeeper(accounts, OriginGuard(settings.cors_origin, not settings.reachable_from_elsewhere))
    application[ADMISSION] = gatekeeper.admit
    accounts.before_closing.append(gatekeeper.calls.write)


async def run(application: web.Application) -> AsyncIterator[None]:
    """Forget what is old, now and then; finish mails in the end."""
    accounts = application.get(ACCOUNTS)
    if accounts is None:
        yield
        return
    tidying = asyncio.create_task(_tidy(application))
    yield
    tidying.cancel()
    with suppress(asyncio.CancelledError):
        await tidying
    await accounts.close()


async def _tidy(application: web.Application) -> None:
    while True:
        await asyncio.sleep(TIDIED_EVERY_S)
        try:
            await application[ACCOUNTS].tidy()
        except Exception:  # the database may be away for a while; old sessions can wait
            logger.exception("old sessions could not be forgotten")
