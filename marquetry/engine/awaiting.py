"""Awaiting what a node pack's function gave, in code that does not await."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def settled(value: Any) -> Any:
    """The value, or the result of what can be awaited, also where this thread runs an event loop already."""
    if not inspect.isawaitable(value):
        return value
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_finish(value))
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _finish(value)).result()


def _finish(awaitable: Any) -> Coroutine[Any, Any, Any]:
    async def finish() -> Any:
        return await awaitable

    return finish()
