"""Quotas: what a plan allows by the month, and how much of it is used. Functions take a connection and never commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from marquetry.marketplace.plans.errors import QuotaTaken
from marquetry.marketplace.plans.tables import quota_use

if TYPE_CHECKING:
    from sqlalchemy import Connection

columns = quota_use.c


def used(connection: Connection, owner: str, period_start_ms: int) -> dict[str, int]:
    """What was used in a period, by quota."""
    statement = select(columns.quota, columns.used).where(columns.owner == owner, columns.period_start_ms == period_start_ms)
    return {row.quota: row.used for row in connection.execute(statement)}


def take(connection: Connection, owner: str, quota: str, period_start_ms: int, count: int, limit: int | None) -> None:
    """Use some of a quota, up to `limit` in all. Raises QuotaTaken before anything is written."""
    if count <= 0:
        return
    mine = (columns.owner == owner, columns.quota == quota, columns.period_start_ms == period_start_ms)
    known = connection.execute(select(columns.used).where(*mine).with_for_update()).scalar_one_or_none()
    if limit is not None and (known or 0) + count > limit:
        raise QuotaTaken(
            f"{known or 0} of {limit} {quota} of this month are used, and this needs {count}", quota=quota, used=known or 0, limit=limit
        )
    _add(connection, owner, quota, period_start_ms, count)


def give_back(connection: Connection, owner: str, quota: str, period_start_ms: int, count: int) -> None:
    """What was taken and not used."""
    mine = (columns.owner == owner, columns.quota == quota, columns.period_start_ms == period_start_ms, columns.used >= count)
    connection.execute(update(quota_use).where(*mine).values(used=columns.used - count))


def _add(connection: Connection, owner: str, quota: str, period_start_ms: int, count: int) -> None:
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    values = {"owner": owner, "quota": quota, "period_start_ms": period_start_ms, "used": count}
    statement = insert(quota_use).values(**values)
    places = [columns.owner, columns.quota, columns.period_start_ms]
    connection.execute(statement.on_conflict_do_update(index_elements=places, set_={"used": columns.used + count}))
