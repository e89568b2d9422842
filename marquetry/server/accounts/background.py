"""Background: work that no answer waits for, such as mails, so that no answer's time tells what there was to do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from marquetry.marketplace.errors import MarketError, TooManyRequests

logger = logging.getLogger(__name__)
MOST = 2_000


class Background:
    """Tasks of one server."""

    def __init__(self, most: int = MOST) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._most = most

    def begin(self, work: Coroutine[Any, Any, object]) -> None:
        """Do it some time. Raises TooManyRequests when too much waits already."""
        if len(self._tasks) >= self._most:
            work.close()
            raise TooManyRequests("too much is waiting to be done; try again in a minute", retry_after_s=60)
        task = asyncio.create_task(_guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Until all that was begun is done."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def close(self, patience_s: float = 5.0) -> None:
        """Wait a little, then give up what is not done."""
        if self._tasks:
            _, late = await asyncio.wait(tuple(self._tasks), timeout=patience_s)
            for task in late:
                task.cancel()


async def _guarded(work: Coroutine[Any, Any, object]) -> None:
    try:
        await work
    except MarketError as error:
        logger.error("work in the background failed: %s", error.message)
    except Exception:  # the boundary of a job that nobody waits for
        logger.exception("work in the background failed")
