"""Standings: how sessions and keys stand, remembered for a few seconds so that most requests ask no database.

Within this process a change is seen at once, in others after `LASTING_S`; routes that move money or give power always look anew.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from marquetry.marketplace.accounts import api_keys, sessions
from marquetry.marketplace.accounts.api_keys import KeyHolder
from marquetry.marketplace.accounts.opaque import hashed
from marquetry.marketplace.accounts.sessions import Standing

if TYPE_CHECKING:
    from marquetry.server.accounts.service import Accounts

Value = TypeVar("Value")
LASTING_S = 5.0
MOST = 20_000
TOUCH_MS = 60_000  # how exactly it is kept when a key was last used


class Standings:
    """What `admission` asks for each request."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._sessions: OrderedDict[str, tuple[float, Standing | None]] = OrderedDict()
        self._holders: OrderedDict[str, tuple[float, KeyHolder | None]] = OrderedDict()
        self._touched: dict[str, int] = {}
        self._untold: dict[str, int] = {}
        self._changes = 0

    async def session(self, session_id: str, *, fresh: bool = False) -> Standing | None:
        """How a session stands."""
        return await self._remembered(self._sessions, session_id, fresh, lambda: self._accounts.read(sessions.standing, session_id))

    async def holder(self, key: str, *, fresh: bool = False) -> KeyHolder | None:
        """Whom a key calls for."""
        return await self._remembered(self._holders, hashed(key), fresh, lambda: self._accounts.read(api_keys.holder_of, key))

    def forget(self) -> None:
        """Something changed: look everything up again."""
        self._changes += 1
        self._sessions.clear()
        self._holders.clear()

    def touch(self, key_id: str, now_ms: int) -> None:
        """A key was used; written down once a minute."""
        if now_ms - self._touched.get(key_id, 0) >= TOUCH_MS:
            if len(self._touched) >= MOST:
                self._touched.clear()
            self._touched[key_id] = self._untold[key_id] = now_ms
            self._accounts.background.begin(self.flush())

    async def flush(self) -> None:
        """Write down which keys were used."""
        untold, self._untold = self._untold, {}
        if untold:
            await self._accounts.write(api_keys.touch_keys, tuple(untold.items()))

    async def _remembered(
        self, known: OrderedDict[str, tuple[float, Value]], place: str, fresh: bool, look_up: Callable[[], Awaitable[Value]]
    ) -> Value:
        now_s = time.monotonic()
        found = known.get(place)
        if found is not None and not fresh and now_s - found[0] < LASTING_S:
            return found[1]
        changes = self._changes
        value = await look_up()
        if changes == self._changes:  # else it may be older than what changed meanwhile
            known[place] = (now_s, value)
            if len(known) > MOST:
                known.popitem(last=False)
        return value
