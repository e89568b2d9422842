"""Listings: published graphs become node types, for checks, jobs and editors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from aiohttp import web

from marquetry.marketplace.search.database import DatabaseSearch
from marquetry.server.keys import CHECK, DATABASE, OBJECT_INFO, SETTINGS
from marquetry.server.market.keys import MARKET
from marquetry.server.published.catalogue import CATALOGUE, Catalogue
from marquetry.server.published.paying import TRANSFERS, pay_monthly
from marquetry.server.published.search import SEARCH, install_search, tell_changes


def install(application: web.Application) -> None:
    settings = application[SETTINGS]
    catalogue = Catalogue(
        application[DATABASE], application[OBJECT_INFO], enforce=settings.market.enabled, most=settings.listings.described_nodes
    )
    application[CATALOGUE] = catalogue
    application[CHECK].find_published = catalogue.find
    application[CHECK].permit = catalogue.permit
    install_search(application)
    application[TRANSFERS] = {}


async def run(application: web.Application) -> AsyncIterator[None]:
    """Where jobs cost credits, royalties are looked up among the listings, and uses are counted with the charges."""
    if MARKET in application:
        from marquetry.marketplace.listings.royalty import ListingRoyalties
        from marquetry.marketplace.listings.uses import note_uses

        application[MARKET].royalties = ListingRoyalties
        application[MARKET].note_uses = note_uses
    tasks = [asyncio.create_task(pay_monthly(application))] if MARKET in application else []
    engine: Any = application[SEARCH]
    if not isinstance(engine, DatabaseSearch):
        tasks.append(asyncio.create_task(tell_changes(application, engine)))
    yield
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
