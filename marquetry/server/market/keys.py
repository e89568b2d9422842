"""Where handlers find the market, if it is on. Imports nothing of it: a server without one does without its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from marquetry.server.market.market import Market

MARKET: web.AppKey[Market] = web.AppKey("market")
