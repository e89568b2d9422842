"""PlanStanding: what plans say of the queue. Remembered for a moment, since it is asked at every submission."""

from __future__ import annotations

import time

from marquetry.server.jobs.live import now_ms
from marquetry.server.jobs.standing import LARGEST_WEIGHT, Standing
from marquetry.server.market.market import Market
from marquetry.server.people import NOBODY

REMEMBERED_S = 10.0
MAX_REMEMBERED = 10_000


class PlanStanding:
    """See `jobs.standing.QueueStanding`. Everybody is of one class; plans have weights in it, so that nobody starves."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._known: dict[str, tuple[float, Standing]] = {}

    async def of(self, owner: str) -> Standing:
        """The standing of an owner."""
        known = self._known.get(owner)
        if known is not None and time.monotonic() - known[0] < REMEMBERED_S:
            return known[1]
        current = await self._market.standing(owner or NOBODY, now_ms())
        has = current.plan.entitlements
        found = Standing(
            priority_class=0 if owner else None,
            weight=max(1, min(has.queue_weight, LARGEST_WEIGHT)),
            running_jobs=has.concurrency,
            batch_inputs=Standing().batch_inputs if has.batch_size is None else max(1, has.batch_size),
        )
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[owner] = (time.monotonic(), found)
        return found

    def forget(self, owner: str) -> None:
        """The owner has another plan now."""
        self._known.pop(owner, None)
