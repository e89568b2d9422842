"""Statistics of creators: what was used, sold and earned, in all and by day, from the counts of days and from the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from marquetry.marketplace import ledger
from marquetry.marketplace.listings.tables import listing_days as days
from marquetry.marketplace.listings.tables import listing_sales as sales
from marquetry.marketplace.listings.tables import listing_users as users
from marquetry.marketplace.listings.tables import listings
from marquetry.marketplace.listings.uses import DAY_MS

if TYPE_CHECKING:
    from sqlalchemy import Connection

COUNTS = ("views", "uses", "people", "newcomers", "sales")


def creator_stats(connection: Connection, owner: str, now_ms: int, span_days: int) -> dict[str, Any]:
    """Of the last days: each listing, each day, and the audience; and what was earned in all."""
    first = now_ms // DAY_MS - span_days + 1
    earned = ledger.earnings(connection, owner)
    return {
        "listings": _by_listing(connection, owner, first),
        "days": _by_day(connection, owner, first),
        "people": _people(connection, owner, first * DAY_MS),
        "accrued_microcredits": earned.accrued,
        "payable_microcredits": earned.payable,
        "paid_out_microcredits": earned.paid_out,
    }


def earnings_of(connection: Connection, owner: str, limit: int) -> dict[str, Any]:
    """What somebody earned: in all, and the newest entries of it."""
    earned = ledger.earnings(connection, owner)
    entries = [entry for entry in ledger.entries(connection, owner, limit=limit) if entry.accrued or entry.payable]
    return {
        "accrued_microcredits": earned.accrued,
        "payable_microcredits": earned.payable,
        "paid_out_microcredits": earned.paid_out,
        "entries": [
            {
                "id": entry.id,
                "kind": entry.kind,
                "created_ms": entry.created_ms,
                "accrued_microcredits": entry.accrued,
                "payable_microcredits": entry.payable,
                "operation": entry.operation,
                "listings": list(entry.listings),
            }
            for entry in entries
        ],
    }


def _by_listing(connection: Connection, owner: str, first: int) -> list[dict[str, Any]]:
    of = listings.c
    sums = [func.coalesce(func.sum(days.c[name]), 0).label(name) for name in COUNTS]
    statement = (
        select(of.id, of.title, of.kind, of.slug, of.state, of.favourites, of.reviews, of.stars, of.uses.label("all_uses"), *sums)
        .join_from(listings, days, (days.c.listing_id == of.id) & (days.c.day >= first), isouter=True)
        .where(of.owner == owner)
        .group_by(*(of[name] for name in ("id", "title", "kind", "slug", "state", "favourites", "reviews", "stars", "uses", "seq")))
        .order_by(of.seq.desc())
        .limit(1000)
    )
    sold = select(sales.c.listing_id, func.sum(sales.c.share_microcredits)).join_from(sales, listings, sales.c.listing_id == of.id)
    shares = {
        row[0]: row[1]
        for row in connection.execute(sold.where(of.owner == owner, sales.c.time_ms >= first * DAY_MS).group_by(sales.c.listing_id))
    }
    return [
        {**{name: int(value) if name in COUNTS else value for name, value in row._mapping.items()},
         "earned_by_sales_microcredits": int(shares.get(row.id) or 0)}
        for row in connection.execute(statement)
    ]  # fmt: skip


def _by_day(connection: Connection, owner: str, first: int) -> list[dict[str, int]]:
    sums = [func.sum(days.c[name]).label(name) for name in COUNTS]
    statement = select(days.c.day, *sums).join_from(days, listings, days.c.listing_id == listings.c.id)
    rows = connection.execute(statement.where(listings.c.owner == owner, days.c.day >= first).group_by(days.c.day).order_by(days.c.day))
    return [{"day_ms": row.day * DAY_MS, **{name: int(getattr(row, name)) for name in COUNTS}} for row in rows]


def _people(connection: Connection, owner: str, since_ms: int) -> int:
    """How many different people used any of the listings since."""
    statement = select(func.count(func.distinct(users.c.owner))).join_from(users, listings, users.c.listing_id == listings.c.id)
    return int(connection.execute(statement.where(listings.c.owner == owner, users.c.last_ms >= since_ms)).scalar_one())
