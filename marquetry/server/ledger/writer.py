"""CaptureWriter: captures of many callers share transactions. Each is acknowledged after the commit that holds it, never before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from marquetry.server.jobs.live import now_ms

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marquetry.marketplace.ledger import Capture, Captured
    from marquetry.server.database.database import Database


class CaptureWriter:
    """Captures go through the one writer of the database, which commits what waits at the moment, up to 1,024 at a time.

    One that is refused hinders none of the others.
    """

    def __init__(self, database: Database, clock: Callable[[], int] = now_ms) -> None:
        self._database = database
        self._clock = clock
        self._together = self._operation  # one object, so that captures of all callers share a batch

    def capture(self, capture: Capture) -> asyncio.Future[Captured]:
        """Charge a node. The future is done after the commit; it raises what `ledger.capture` raises. Call it in the event loop."""
        return self._database.write(self._together, capture)

    def _operation(self, connection: Connection, captures: Sequence[Capture]) -> Sequence[Captured | Exception]:
        from marquetry.marketplace.ledger import capture_each

        return capture_each(connection, captures, self._clock())
