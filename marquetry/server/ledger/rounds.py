"""Rounds: holds that nobody renews end, grants end when their time is over, and every night the whole ledger is verified by a process apart."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from marquetry.server.jobs.live import now_ms

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marquetry.server.database.database import Database
    from marquetry.server.settings import Settings

logger = logging.getLogger(__name__)
EXPIRE_EVERY_S = 60.0
FIRST_EXPIRY_S = 300.0  # as long as a hold lasts: who has jobs under way can renew theirs after a restart
NIGHT_HOUR = 3  # UTC
BATCH = 500
NICENESS = 10
FAULTS_SHOWN = 50


def expire(connection: Connection, times_ms: Sequence[int]) -> list[int | Exception]:
    """An operation: ends what is due; gives how much that was."""
    from marquetry.marketplace.ledger import expire_grants, expire_holds

    return [expire_holds(connection, time_ms, BATCH) + expire_grants(connection, time_ms, BATCH) for time_ms in times_ms]


async def expire_now_and_then(database: Database, clock: Callable[[], int] = now_ms, first_s: float = FIRST_EXPIRY_S) -> None:
    """End what is due, for ever; at once again while there is more."""
    await asyncio.sleep(first_s)
    while True:
        found = 0
        try:
            found = await database.write(expire, clock())
        except Exception:  # the database may be away for a while; what is due stays due
            logger.exception("holds and grants could not be expired")
        await asyncio.sleep(0 if found >= BATCH else EXPIRE_EVERY_S)


async def verify_every_night(settings: Settings, check: Callable[[Settings], Coroutine[Any, Any, list[str]]] | None = None) -> None:
    """Verify the ledger each night and tell the log."""
    while True:
        await asyncio.sleep(seconds_until_night(datetime.now(UTC)))
        try:
            faults = await (check or verify_apart)(settings)
        except Exception:
            logger.exception("the ledger could not be verified")
            continue
        for fault in faults[:FAULTS_SHOWN]:
            logger.critical("ledger: %s", fault)
        if not faults:
            logger.info("ledger: verified, every promise is kept")


def seconds_until_night(now: datetime) -> float:
    """Until the next time that the clock strikes three, UTC."""
    night = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    return ((night if night > now else night + timedelta(days=1)) - now).total_seconds()


async def verify_apart(settings: Settings) -> list[str]:
    """The faults that `marquetry ledger verify` finds in a process of its own, which leaves the server its time and memory."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "marquetry",
        "ledger",
        "verify",
        "--data",
        str(settings.data),
        env={**os.environ, "MARQUETRY_DATABASE_URL": settings.database},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode == 0:
        return []
    return out.decode().splitlines() or err.decode().splitlines() or [f"verification ended with {process.returncode}"]
