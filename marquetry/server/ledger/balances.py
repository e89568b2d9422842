"""Balances: who waits for a change of somebody's credits hears of it once it is committed. Many changes at about one moment are one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from aiohttp import web


class Balances:
    """Bells of owners. It belongs to one event loop. What another server changed rings none: who waits looks now and then."""

    def __init__(self) -> None:
        self._bells: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def bell(self, owner: str) -> Iterator[asyncio.Event]:
        """An event that is set by each change of the owner's credits."""
        event = asyncio.Event()
        self._bells.setdefault(owner, set()).add(event)
        try:
            yield event
        finally:
            self._bells[owner].discard(event)
            if not self._bells[owner]:
                del self._bells[owner]

    def ring(self, owners: Iterable[str]) -> None:
        """The credits of these changed."""
        for owner in owners:
            for event in self._bells.get(owner, ()):
                event.set()


BALANCES = web.AppKey("balances", Balances)
