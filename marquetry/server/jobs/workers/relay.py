"""Relay: carries events from the threads of lanes into an event loop, in order, waking it once for many."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from marquetry.engine.events import AnyEvent


class Relay:
    """`deliver` is called in the loop with what has gathered since the last call."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[list[AnyEvent]], None]) -> None:
        self._loop = loop
        self._deliver = deliver
        self._events: deque[AnyEvent] = deque()
        self._woken = False

    def add(self, event: AnyEvent) -> None:
        """Take an event, from any thread. After the loop has closed it is dropped."""
        self._events.append(event)
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:
                self._events.clear()

    def _drain(self) -> None:
        self._woken = False  # before reading: what comes from here on wakes the loop again
        events: list[AnyEvent] = []
        while self._events:
            events.append(self._events.popleft())
        if events:
            self._deliver(events)
