"""Uses: who ran a listing, how often, and how much it is wanted lately; counted once for each run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from marquetry.marketplace.listings.tables import listing_days, listing_resources, listing_runs, listing_users, listings
from marquetry.marketplace.listings.trending import USE, raised

if TYPE_CHECKING:
    from sqlalchemy import Connection

DAY_MS = 24 * 3600 * 1000
COUNTS = ("views", "uses", "people", "newcomers", "sales", "earned_microcredits")


def note_uses(connection: Connection, *, run_id: str, resources: Iterable[str], owner: str, now_ms: int) -> list[str]:
    """A run of the owner's drew upon these resources; gives the listings of which that is a new use."""
    wanted = sorted(set(resources))[:1000]
    found = select(listing_resources.c.listing_id).where(listing_resources.c.resource.in_(wanted)).distinct()
    ids = set(connection.execute(found).scalars()) if wanted else set()
    counted = select(listing_runs.c.listing_id).where(listing_runs.c.run_id == run_id)
    new = sorted(ids - set(connection.execute(counted).scalars())) if ids else []
    for listing_id in new:
        connection.execute(insert(listing_runs).values(run_id=run_id, listing_id=listing_id, time_ms=now_ms))
        _note_use(connection, listing_id, owner, now_ms)
    return new


def note_view(connection: Connection, *, listing_id: str, now_ms: int) -> None:
    """Somebody looked at a listing."""
    connection.execute(update(listings).where(listings.c.id == listing_id).values(views=listings.c.views + 1))
    add_to_day(connection, listing_id, now_ms, views=1)


def want(connection: Connection, listing_id: str, log_weight: int, now_ms: int, **changes: Any) -> None:
    """Raise how much a listing is wanted; `changes` are further columns."""
    row = connection.execute(select(listings.c.trending).where(listings.c.id == listing_id).with_for_update()).first()
    if row is not None:
        values = {"trending": raised(row.trending, log_weight, now_ms), **changes}
        connection.execute(update(listings).where(listings.c.id == listing_id).values(**values))


def has_used(connection: Connection, listing_id: str, owner: str) -> bool:
    """Whether a person ran it."""
    mine = (listing_users.c.listing_id == listing_id, listing_users.c.owner == owner)
    return connection.execute(select(listing_users.c.owner).where(*mine)).first() is not None


def add_to_day(connection: Connection, listing_id: str, now_ms: int, **counts: int) -> None:
    """Add to the counts of a listing's day."""
    day = now_ms // DAY_MS
    here = (listing_days.c.listing_id == listing_id, listing_days.c.day == day)
    changed = update(listing_days).where(*here).values({name: listing_days.c[name] + count for name, count in counts.items()})
    if not connection.execute(changed).rowcount:
        row = dict.fromkeys(COUNTS, 0) | counts
        connection.execute(insert(listing_days).values(listing_id=listing_id, day=day, **row))


def _note_use(connection: Connection, listing_id: str, owner: str, now_ms: int) -> None:
    want(connection, listing_id, USE, now_ms, uses=listings.c.uses + 1)
    day = now_ms // DAY_MS
    mine = (listing_users.c.listing_id == listing_id, listing_users.c.owner == owner)
    known = connection.execute(select(listing_users.c.last_day).where(*mine)).first()
    if known is None:
        values = {"first_ms": now_ms, "last_ms": now_ms, "uses": 1, "last_day": day}
        connection.execute(insert(listing_users).values(listing_id=listing_id, owner=owner, **values))
    else:
        connection.execute(update(listing_users).where(*mine).values(last_ms=now_ms, last_day=day, uses=listing_users.c.uses + 1))
    is_new_today = known is None or known.last_day < day
    add_to_day(connection, listing_id, now_ms, uses=1, people=int(is_new_today), newcomers=int(known is None))
