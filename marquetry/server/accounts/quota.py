"""Quota: calls of a month. Counted here and written down in small heaps; who is over what they may make is refused until the next month."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web

from marquetry.marketplace.accounts import call_counts
from marquetry.marketplace.accounts.caller import Caller
from marquetry.marketplace.accounts.errors import QuotaExceeded
from marquetry.marketplace.accounts.rates import Rate

if TYPE_CHECKING:
    from marquetry.server.accounts.service import Accounts

WRITTEN_EVERY_S = 2.0
MOST = 50_000
Allowance: TypeAlias = Callable[[Caller], Awaitable[int | None]]
PlanRate: TypeAlias = Callable[[Caller, str], Awaitable[Rate | None]]
ALLOWANCE: web.AppKey[Allowance] = web.AppKey("monthly_calls")
"""Where plans are: how many calls a caller may make in a month; None: as many as they like."""
PLAN_RATE: web.AppKey[PlanRate] = web.AppKey("plan_rate")
"""Where plans are: how often a caller may use routes of a class; None: as the settings say."""


class Calls:
    """Counts the calls of this server's callers; other servers' are added whenever these are written down."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._month = 0
        self._known: dict[str, int] = {}
        self._untold: dict[str, int] = {}
        self._written_s = 0.0

    async def count(self, owner: str, most: int | None) -> None:
        """Count a call. Raises QuotaExceeded when there were as many before."""
        now_ms = self._accounts.clock_ms()
        month = call_counts.month_of(now_ms)
        if month != self._month or len(self._known) > MOST:
            await self.write()
            self._month, self._known = month, {}
        if most is not None and owner not in self._known:
            self._known[owner] = await self._accounts.read(call_counts.calls_of, owner, month)
        made = self._known.get(owner, 0) + self._untold.get(owner, 0)
        if most is not None and made >= most:
            seconds = call_counts.until_next_month_s(now_ms)
            raise QuotaExceeded(f"the {most:,} calls of this month are used up; a larger plan has more", retry_after_s=seconds, limit=most)
        self._untold[owner] = self._untold.get(owner, 0) + 1
        if time.monotonic() - self._written_s > WRITTEN_EVERY_S:
            self._written_s = time.monotonic()
            self._accounts.background.begin(self.write())

    async def write(self) -> None:
        """Write down what was counted."""
        untold, self._untold = self._untold, {}
        if untold:
            self._known.update(await self._accounts.write(call_counts.add_calls, untold, self._month))
