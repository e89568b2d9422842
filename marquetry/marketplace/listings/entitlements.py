"""Entitlements: who bought, subscribed to or was given a listing, and what may be used without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select, update

from marquetry.marketplace.listings.errors import ListingMissing, NotEntitled
from marquetry.marketplace.listings.names import new_id
from marquetry.marketplace.listings.tables import listing_entitlements as held
from marquetry.marketplace.listings.tables import listing_versions, listings

if TYPE_CHECKING:
    from sqlalchemy import Connection

OPEN_PRICINGS = frozenset({"free", "per_use"})


def is_entitled(connection: Connection, listing_id: str, owner: str, now_ms: int) -> bool:
    """Whether a purchase or a subscription of the owner's is in force."""
    return listing_id in entitled(connection, [listing_id], owner, now_ms)


def entitled(connection: Connection, listing_ids: list[str], owner: str, now_ms: int) -> set[str]:
    """Those of the listings of which the owner holds an entitlement that is in force."""
    if not listing_ids or not owner:
        return set()
    running = or_(held.c.ends_ms.is_(None), held.c.ends_ms > now_ms)
    mine = (held.c.owner == owner, held.c.listing_id.in_(listing_ids), held.c.revoked_ms.is_(None), held.c.starts_ms <= now_ms, running)
    return set(connection.execute(select(held.c.listing_id).where(*mine)).scalars())


def require_entitled(connection: Connection, row: Any, owner: str, now_ms: int) -> None:
    """`row` has a listing's owner, pricing, price, handle, slug and its id as `listing_id`. Raises NotEntitled."""
    if row.pricing in OPEN_PRICINGS or row.owner == owner or is_entitled(connection, row.listing_id, owner, now_ms):
        return
    how = "subscribe to it" if row.pricing == "subscription" else "buy it"
    raise NotEntitled(
        f"'{row.title}' ({row.handle}/{row.slug}) is not yours to use yet; {how} first: POST /api/v1/marketplace/purchase",
        listing=row.listing_id,
        mode=row.pricing,
        price_microcredits=row.price_microcredits,
    )


def entitle(
    connection: Connection, listing_id: str, owner: str, mode: str, now_ms: int, *, ends_ms: int | None = None, sale_id: str = ""
) -> str:
    """Give an entitlement; a subscription that runs already goes on from its end."""
    id = new_id("ent")
    row = {"id": id, "owner": owner, "listing_id": listing_id, "mode": mode, "starts_ms": now_ms, "ends_ms": ends_ms, "revoked_ms": None}
    connection.execute(held.insert().values(**row, sale_id=sale_id, pinned=""))
    return id


def subscribed_until(connection: Connection, listing_id: str, owner: str, now_ms: int) -> int:
    """When the owner's subscription ends; now, where there is none."""
    mine = (held.c.owner == owner, held.c.listing_id == listing_id, held.c.revoked_ms.is_(None), held.c.ends_ms > now_ms)
    ends = connection.execute(select(held.c.ends_ms).where(*mine)).scalars().all()
    return max([now_ms, *(int(end) for end in ends if end is not None)])


def pin(connection: Connection, listing_id: str, owner: str, version: str, now_ms: int) -> None:
    """Let the holder's uses without a version stay with this one; empty: follow the newest. Raises ListingMissing."""
    if not is_entitled(connection, listing_id, owner, now_ms):
        raise ListingMissing(
            "there is no purchase or subscription of it that could stay with a version; name the version in the graph instead"
        )
    if version:
        known = (listing_versions.c.listing_id == listing_id, listing_versions.c.version == version)
        sound = listing_versions.c.state.in_(("published", "withdrawn"))
        if connection.execute(select(listing_versions.c.id).where(*known, sound)).first() is None:
            raise ListingMissing(f"there is no version {version[:64]} of it")
    mine = (held.c.owner == owner, held.c.listing_id == listing_id, held.c.revoked_ms.is_(None))
    connection.execute(update(held).where(*mine).values(pinned=version))


def library(connection: Connection, owner: str, now_ms: int, limit: int = 200) -> list[Any]:
    """The listings that the owner holds, newest first: with the entitlement's mode, end and pinned version."""
    running = or_(held.c.ends_ms.is_(None), held.c.ends_ms > now_ms)
    statement = (
        select(listings, held.c.mode, held.c.ends_ms, held.c.pinned, held.c.starts_ms)
        .join_from(held, listings, held.c.listing_id == listings.c.id)
        .where(held.c.owner == owner, held.c.revoked_ms.is_(None), running)
        .order_by(held.c.starts_ms.desc(), held.c.id)
        .limit(limit)
    )
    return list(connection.execute(statement).all())
