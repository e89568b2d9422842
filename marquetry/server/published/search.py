"""Search: which engine finds listings on this server; one outside the database is told of them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import web

from marquetry.marketplace.search.database import DatabaseSearch
from marquetry.marketplace.search.query import Search
from marquetry.server.errors import SettingsError
from marquetry.server.keys import DATABASE, SETTINGS

if TYPE_CHECKING:
    from marquetry.marketplace.search.elasticsearch import Elasticsearch

logger = logging.getLogger(__name__)
SEARCH = web.AppKey[Search]("search")
ROUND_S = 5.0
ROUNDS_TO_ALL = 720  # what is used and wanted changes without a listing's own change, so that all are told again every hour


def install_search(application: web.Application) -> None:
    """The engine that settings ask for. Raises SettingsError."""
    settings = application[SETTINGS].listings
    if settings.search == "database":
        application[SEARCH] = DatabaseSearch()
        return
    if not settings.elasticsearch_url.startswith(("http://", "https://")):
        raise SettingsError("listings.elasticsearch_url must be the address of Elasticsearch, as http://localhost:9200")
    from marquetry.marketplace.search.elasticsearch import Elasticsearch

    key = "" if settings.elasticsearch_key is None else settings.elasticsearch_key.get_secret_value()
    application[SEARCH] = Elasticsearch(settings.elasticsearch_url, settings.elasticsearch_index, key)


async def tell_changes(application: web.Application, engine: Elasticsearch) -> None:
    """Tell an engine outside of what changed, as long as the application runs."""
    round, place = 0, (0, 0)
    while True:
        try:
            if round == 0:
                await asyncio.to_thread(engine.prepare)
            if round % ROUNDS_TO_ALL == 0:
                place = (0, 0)
            place = await tell(application, engine, place)
            round += 1
        except Exception as error:  # the engine may be away for a while
            logger.warning("listings could not be told to the search engine: %s", error)
        await asyncio.sleep(ROUND_S)


async def tell(application: web.Application, engine: Elasticsearch, place: tuple[int, int]) -> tuple[int, int]:
    """Tell of everything that changed behind a place; gives how far that went."""
    from marquetry.marketplace.search.elasticsearch import documents_after

    while documents := await application[DATABASE].read(documents_after, *place):
        await asyncio.to_thread(engine.push, documents)
        place = (documents[-1]["updated_ms"], documents[-1]["seq"])
    return place
