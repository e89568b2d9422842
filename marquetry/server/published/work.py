"""Work: functions of the market, run in the writer's transaction or by a reader, with the time of now."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from marquetry.server.database.database import one_by_one
from marquetry.server.keys import DATABASE

if TYPE_CHECKING:
    from sqlalchemy import Connection

Result = TypeVar("Result")


def _run(connection: Connection, work: Callable[[Connection], Any]) -> Any:
    return work(connection)


_operation = one_by_one(_run)


async def change(request: web.Request, function: Callable[..., Result], **given: Any) -> Result:
    """Call a function that writes; done once that is durable."""
    result: Result = await request.app[DATABASE].write(_operation, lambda connection: function(connection, **given))
    return result


async def look(request: web.Request, function: Callable[..., Result], *given: Any, **named: Any) -> Result:
    """Call a function that only reads."""
    return await request.app[DATABASE].read(function, *given, **named)
