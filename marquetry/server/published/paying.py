"""Paying creators: what is due is set aside once a month, and sent by the way that the operator has set up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import web

from marquetry.marketplace.errors import MarketError
from marquetry.marketplace.listings import payouts
from marquetry.marketplace.listings.errors import PayoutsNotConfigured
from marquetry.marketplace.listings.payouts import MANUAL, Payout, PayoutTransfer
from marquetry.server.database.database import one_by_one
from marquetry.server.jobs.live import now_ms
from marquetry.server.keys import DATABASE, SETTINGS

if TYPE_CHECKING:
    from sqlalchemy import Connection

logger = logging.getLogger(__name__)
TRANSFERS = web.AppKey("transfers", dict[str, PayoutTransfer])
ROUND_S = 3600.0


def _run(connection: Connection, work: Callable[[Connection], list[Payout]]) -> list[Payout]:
    return work(connection)


_operation = one_by_one(_run)


async def pay(application: web.Application) -> list[Payout]:
    """Set aside what is due, then send what is open; by hand, it waits for who transfers it. Gives what was set aside now.

    Raises PayoutsNotConfigured.
    """
    settings = application[SETTINGS].listings
    method = settings.payout_method
    if method != MANUAL and method not in application[TRANSFERS]:
        raise PayoutsNotConfigured(
            f"payouts by '{method}' are not set up; set MARQUETRY_LISTINGS__PAYOUT_METHOD=manual, or set that provider up"
        )
    begun = await application[DATABASE].write(
        _operation,
        lambda connection: payouts.begin_due(
            connection,
            minimum_microcredits=settings.payout_minimum_microcredits,
            method=method,
            now_ms=now_ms(),
        ),
    )
    if method != MANUAL:
        for payout in await application[DATABASE].read(payouts.open_payouts, method):
            await _send(application, application[TRANSFERS][method], payout)
    return begun


async def _send(application: web.Application, transfer: PayoutTransfer, payout: Payout) -> None:
    """One transfer. What is not known to have failed stays open and is sent again, as the same."""
    database = application[DATABASE]
    try:
        known = await transfer.transfer(payout)
    except MarketError as error:
        reason = error.message
        await database.write(
            _operation,
            lambda connection: [payouts.cancel(connection, payout_id=payout.id, reason=reason, now_ms=now_ms())],
        )
    except Exception:  # the provider may be away; the next round tries again
        logger.exception("the payout %s could not be sent", payout.id)
    else:
        await database.write(
            _operation,
            lambda connection: [payouts.settle(connection, payout_id=payout.id, transfer=known, now_ms=now_ms())],
        )


async def pay_monthly(application: web.Application) -> None:
    """Every hour: what is due is paid once a month, so that nothing depends on the server being up at one moment."""
    while True:
        try:
            await pay(application)
        except PayoutsNotConfigured as error:
            logger.warning("%s", error.message)
        except Exception:  # the database may be away for a while
            logger.exception("the round of payouts failed")
        await asyncio.sleep(ROUND_S)
