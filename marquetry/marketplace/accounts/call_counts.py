"""Calls of a month: counted for each owner, for plans that allow only so many."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, select, update

from marquetry.marketplace.accounts.tables import call_counts
from marquetry.marketplace.accounts.upsert import insert_missing

SECOND_MS = 1000


def month_of(now_ms: int) -> int:
    """As in 202607, by UTC."""
    moment = datetime.fromtimestamp(now_ms // SECOND_MS, UTC)
    return moment.year * 100 + moment.month


def until_next_month_s(now_ms: int) -> int:
    """Seconds until the counting begins anew."""
    moment = datetime.fromtimestamp(now_ms // SECOND_MS, UTC)
    next_month = datetime(moment.year + moment.month // 12, moment.month % 12 + 1, 1, tzinfo=UTC)
    return int(next_month.timestamp()) - now_ms // SECOND_MS


def add_calls(connection: Connection, calls: Mapping[str, int], month: int) -> dict[str, int]:
    """Count calls by owner. Gives how many each has made in the month now."""
    totals: dict[str, int] = {}
    for owner, count in calls.items():
        insert_missing(connection, call_counts, owner=owner, month=month, calls=0)
        mine = (call_counts.c.owner == owner, call_counts.c.month == month)
        connection.execute(update(call_counts).where(*mine).values(calls=call_counts.c.calls + count))
        totals[owner] = connection.execute(select(call_counts.c.calls).where(*mine)).scalar_one()
    return totals


def calls_of(connection: Connection, owner: str, month: int) -> int:
    mine = (call_counts.c.owner == owner, call_counts.c.month == month)
    return connection.execute(select(call_counts.c.calls).where(*mine)).scalar() or 0


def forget_old(connection: Connection, now_ms: int) -> None:
    """Keep two years."""
    connection.execute(delete(call_counts).where(call_counts.c.month < month_of(now_ms) - 200))
