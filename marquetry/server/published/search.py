"""Search: which engine finds listings on this server."""

from __future__ import annotations

from aiohttp import web

from marquetry.marketplace.search.query import Search

SEARCH = web.AppKey[Search]("search")
