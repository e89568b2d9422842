"""Plans that people have: how much they may keep, and how long, where the market is on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marquetry.marketplace.plans.subscriptions import standing
from marquetry.server.jobs.live import now_ms
from marquetry.server.storage.plans import StoragePlan, StoragePlans

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marquetry.server.market.market import Market


class SoldPlans:
    """What an owner's plan allows; where it says nothing of room, `otherwise` does."""

    def __init__(self, market: Market, otherwise: StoragePlans) -> None:
        self._market = market
        self._otherwise = otherwise

    def plan(self, connection: Connection, owner: str) -> StoragePlan:
        found = standing(connection, owner, now_ms(), self._market.plans, self._market.settings.default_plan)
        allowed, subscribed = found.plan.entitlements, found.subscription
        days = allowed.retention_days if subscribed is None or subscribed.retention_days is None else subscribed.retention_days
        if allowed.storage_bytes is None:
            return StoragePlan(self._otherwise.plan(connection, owner).quota_bytes, days)
        return StoragePlan(allowed.storage_bytes, days)
