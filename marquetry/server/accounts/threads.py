"""Threads for hashing passwords: a few, and only so many may wait, since each hash takes memory and tens of milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from marquetry.marketplace.errors import TooManyRequests

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class SlowWork:
    """`width` at a time, `waiting` more in line."""

    def __init__(self, width: int = 2, waiting: int = 64) -> None:
        self._pool = ThreadPoolExecutor(width, thread_name_prefix="passwords")
        self._most = width + waiting
        self._count = 0

    async def run(self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        """Raises TooManyRequests when the line is full."""
        if self._count >= self._most:
            raise TooManyRequests("many people sign in at this moment; try again in a few seconds", retry_after_s=5)
        self._count += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: function(*args, **kwargs))
        finally:
            self._count -= 1

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
