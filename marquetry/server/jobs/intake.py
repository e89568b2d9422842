"""Intake: takes in what workers tell, a part at a time, so that nobody else waits while a large graph runs in a flash."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from marquetry.engine.events import AnyEvent

PART = 1024


class Intake:
    """`hear` is called with events that follow one another of one job; all come in the order in which they were told."""

    def __init__(self, loop: asyncio.AbstractEventLoop, hear: Callable[[str, Sequence[AnyEvent]], None]) -> None:
        self._loop = loop
        self._hear = hear
        self._waiting: deque[AnyEvent] = deque()

    def add(self, events: Sequence[AnyEvent]) -> None:
        """Take events in: at once when they are few."""
        if self._waiting:
            self._waiting.extend(events)
        elif len(events) <= PART:
            self._tell(events)
        else:
            self._waiting.extend(events)
            self._loop.call_soon(self._go_on)

    def flush(self) -> None:
        """Hear all that waits, now."""
        while self._waiting:
            self._tell(self._next())

    def _go_on(self) -> None:
        if self._waiting:
            part = self._next()
            if self._waiting:
                self._loop.call_soon(self._go_on)
            self._tell(part)

    def _next(self) -> list[AnyEvent]:
        return [self._waiting.popleft() for _ in range(min(PART, len(self._waiting)))]

    def _tell(self, events: Sequence[AnyEvent]) -> None:
        start = 0
        for end in range(1, len(events) + 1):
            if end == len(events) or events[end].job_id != events[start].job_id:
                self._hear(events[start].job_id, events[start:end])
                start = end
