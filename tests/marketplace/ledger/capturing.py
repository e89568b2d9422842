"""A process to be killed: captures for many callers at once through the one writer, and says which were acknowledged.

python -m tests.marketplace.ledger.capturing DATABASE_URL RUN
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys

from marquetry.marketplace.ledger import Capture, Hold, Share, place_hold
from marquetry.server.database.database import Database, one_by_one
from marquetry.server.ledger.writer import CaptureWriter

CALLERS = 20


async def capture_for_ever(url: str, run: str) -> None:
    database = await Database.open(url)
    hold = one_by_one(_hold)
    await database.write(hold, f"run {run}")
    writer = CaptureWriter(database)
    counter = itertools.count()

    async def call() -> None:
        for place in counter:
            node = f"{run}-{place}"
            await writer.capture(Capture(f"run {run}", node, "node", 1000, (Share("cam", "lora", 750),)))
            os.write(1, f"{node}\n".encode())  # at once: what is in a buffer would die with the process

    await asyncio.gather(*(call() for _ in range(CALLERS)))


def _hold(connection: object, run_id: str) -> Hold:
    return place_hold(connection, owner="hot", run_id=run_id, amount_microcredits=10**11, now_ms=1)  # type: ignore[arg-type]


if __name__ == "__main__":
    asyncio.run(capture_for_ever(sys.argv[1], sys.argv[2]))
