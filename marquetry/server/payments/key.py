"""Where handlers find the payments. They are made when they are first asked for, so that a server that sells nothing does not load them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from marquetry.server.accounts.key import ACCOUNTS
from marquetry.server.keys import DATABASE, SETTINGS

if TYPE_CHECKING:
    from marquetry.server.payments.service import Payments


class Till:
    """Makes the payments of one application, once."""

    def __init__(self, application: web.Application) -> None:
        self._application = application
        self._made: Payments | None = None

    def open(self) -> Payments:
        if self._made is None:
            from marquetry.server.accounts.post import public_url_of
            from marquetry.server.payments.desk import Desk
            from marquetry.server.payments.service import Payments

            settings, accounts = self._application[SETTINGS], self._application.get(ACCOUNTS)
            clock = None if accounts is None else accounts.clock_ms
            self._made = Payments(Desk(settings, self._application[DATABASE], public_url_of(settings), clock))
        return self._made

    async def close(self) -> None:
        if self._made is not None:
            await self._made.desk.close()


TILL = web.AppKey("till", Till)


def payments_of(request: web.Request) -> Payments:
    return request.app[TILL].open()
