"""Where handlers find the market, if it is on."""

from __future__ import annotations

from aiohttp import web

from marquetry.server.market.market import Market

MARKET = web.AppKey("market", Market)
