"""What tests look at behind the server."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from marquetry.marketplace import ledger
from marquetry.marketplace.plans import subscriptions
from marquetry.server.database.database import one_by_one
from marquetry.server.keys import DATABASE
from tests.server.payments.shop import Shop
from tests.server.people import Somebody


async def spend(at: Shop, owner: str, credits: int, key: str = "spent") -> None:
    """Credits that somebody uses."""

    def use(connection: Any, _: None) -> None:
        ledger.place_hold(connection, run_id=key, owner=owner, amount_microcredits=credits * 10**6, now_ms=1, ttl_ms=10**6)
        ledger.capture(connection, [ledger.Capture(key, "1", "usage", credits * 10**6)], now_ms=2)

    await at.peer.application[DATABASE].write(one_by_one(use), None)


async def verified(at: Shop) -> None:
    """Every promise of the ledger holds."""
    assert await at.peer.application[DATABASE].read(ledger.verify) == []


async def counted(at: Shop, table: Any) -> int:
    return int(
        await at.peer.application[DATABASE].read(
            lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one()
        )
    )


async def in_force(at: Shop, who: Somebody) -> Any:
    """The subscription that holds by the payments' clock."""
    return await at.payments.desk.read(subscriptions.in_force, who.id, at.payments.desk.clock_ms())


async def payment_of(who: Somebody) -> dict[str, Any]:
    found: dict[str, Any] = (await who.json("GET", "/api/billing/history"))["payments"][0]
    return found
