"""Metering: with the market on, jobs cost credits, and plans give theirs when their months begin."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import web

from marquetry.server import keys
from marquetry.server.database.database import one_by_one
from marquetry.server.database.writer import Operation
from marquetry.server.jobs.live import now_ms
from marquetry.server.market.keys import MARKET

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marquetry.server.market.market import Market

logger = logging.getLogger(__name__)
KEEP_S = 60.0
BEATS_A_ROUND = 5  # rounds of keeping holds between two looks at plans
BATCH = 500


def install(application: web.Application) -> None:
    """Put the market into the application and beside the queue, if it is on."""
    settings = application[keys.SETTINGS]
    if not settings.market.enabled:
        return
    from marquetry.marketplace.listings.royalty import ListingRoyalties
    from marquetry.marketplace.listings.uses import note_uses
    from marquetry.server.market.accounting import MarketAccounting
    from marquetry.server.market.consumers import Foreseer
    from marquetry.server.market.market import Market, limits_of
    from marquetry.server.market.standing import PlanStanding

    checking = application[keys.CHECK]
    foreseer = Foreseer(checking.registry, application[keys.FOLDERS], limits_of(settings.market), checking.limits.nodes)
    market = Market(settings.market, application[keys.DATABASE], foreseer)
    market.royalties, market.note_uses = ListingRoyalties, note_uses
    application[MARKET] = market
    application[keys.JOBS].accounting = MarketAccounting(market, application[keys.DATABASE])
    application[keys.JOBS].standing = PlanStanding(market)


async def run(application: web.Application) -> AsyncIterator[None]:
    """Keep the holds of jobs that live, and look after plans."""
    if MARKET not in application:
        yield
        return
    keeping = asyncio.create_task(_keep(application))
    yield
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping


async def _keep(application: web.Application) -> None:
    from marquetry.server.market.accounting import MarketAccounting

    database, accounting = application[keys.DATABASE], application[keys.JOBS].accounting
    assert isinstance(accounting, MarketAccounting)
    keep, tend = accounting.keep, tending(application[MARKET])
    rounds = 0
    while True:
        try:
            await database.write(keep, now_ms())
            if rounds % BEATS_A_ROUND == 0:
                await database.write(tend, now_ms())
        except Exception:  # the database may be away for a while; holds last longer than one round
            logger.exception("the round of the market failed")
        rounds += 1
        await asyncio.sleep(KEEP_S)


def tending(market: Market) -> Operation[int, int]:
    """An operation: plans whose period is over end or go on, those whose month has begun give their credits."""

    def tend(connection: Connection, time_ms: int) -> int:
        from marquetry.marketplace import ledger
        from marquetry.marketplace.plans.grants import grant_due
        from marquetry.marketplace.plans.subscriptions import end_due

        changed = end_due(connection, market.plans, time_ms, BATCH) + grant_due(connection, market.plans, time_ms, limit=BATCH)
        return changed + ledger.expire_grants(connection, time_ms)

    return one_by_one(tend)
