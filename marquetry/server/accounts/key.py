"""Where handlers find the accounts of the application; there where they are switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from marquetry.marketplace.accounts.errors import AccountsOff

if TYPE_CHECKING:
    from marquetry.server.accounts.service import Accounts

ACCOUNTS: web.AppKey[Accounts] = web.AppKey("accounts")


def accounts_of(request: web.Request) -> Accounts:
    """Raises AccountsOff."""
    found = request.app.get(ACCOUNTS)
    if found is None:
        raise AccountsOff(
            "this server keeps no accounts; its operator switches them on with MARQUETRY_ACCOUNTS__ENABLED=true, or accounts: {enabled: true} in "
            "marquetry.yaml"
        )
    return found
