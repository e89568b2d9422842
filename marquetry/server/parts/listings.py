"""Listings: published graphs become node types, for checks, jobs and editors."""

from __future__ import annotations

from aiohttp import web

from marquetry.marketplace.search.database import DatabaseSearch
from marquetry.server.keys import CHECK, DATABASE, OBJECT_INFO, SETTINGS
from marquetry.server.published.catalogue import CATALOGUE, Catalogue
from marquetry.server.published.search import SEARCH


def install(application: web.Application) -> None:
    settings = application[SETTINGS]
    catalogue = Catalogue(
        application[DATABASE], application[OBJECT_INFO], enforce=settings.market.enabled, most=settings.listings.described_nodes
    )
    application[CATALOGUE] = catalogue
    application[CHECK].find_published = catalogue.find
    application[SEARCH] = DatabaseSearch()
