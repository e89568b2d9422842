"""What people do with listings beside using them: favourites, collections, reports; and what the operator puts in front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from marquetry.marketplace.listings.errors import InvalidListing, ListingMissing
from marquetry.marketplace.listings.listing import find_listing, take_down
from marquetry.marketplace.listings.names import new_id
from marquetry.marketplace.listings.social_tables import featured_slots as slots
from marquetry.marketplace.listings.social_tables import listing_collection_items as entries
from marquetry.marketplace.listings.social_tables import listing_collections as collections
from marquetry.marketplace.listings.social_tables import listing_favourites as favourites
from marquetry.marketplace.listings.social_tables import listing_reports as reports
from marquetry.marketplace.listings.tables import listings
from marquetry.marketplace.listings.trending import FAVOURITE
from marquetry.marketplace.listings.uses import want

if TYPE_CHECKING:
    from sqlalchemy import Connection

REASONS = ("illegal", "stolen", "deceptive", "harmful", "broken", "spam", "other")
MAX_COLLECTIONS = 200
MAX_ENTRIES = 1000


def mark_favourite(connection: Connection, *, owner: str, listing_id: str, now_ms: int) -> None:
    """Raises ListingMissing."""
    row = find_listing(connection, listing_id, owner)
    mine = (favourites.c.owner == owner, favourites.c.listing_id == row.id)
    if connection.execute(select(favourites.c.owner).where(*mine)).first() is None:
        connection.execute(insert(favourites).values(owner=owner, listing_id=row.id, created_ms=now_ms))
        want(connection, row.id, FAVOURITE, now_ms, favourites=listings.c.favourites + 1)


def unmark_favourite(connection: Connection, *, owner: str, listing_id: str) -> None:
    """Nothing happens where it was none."""
    if connection.execute(delete(favourites).where(favourites.c.owner == owner, favourites.c.listing_id == listing_id)).rowcount:
        connection.execute(update(listings).where(listings.c.id == listing_id).values(favourites=listings.c.favourites - 1))


def favourites_of(connection: Connection, owner: str, limit: int = 500) -> list[str]:
    """Ids, newest first."""
    statement = select(favourites.c.listing_id).where(favourites.c.owner == owner).order_by(favourites.c.created_ms.desc())
    return list(connection.execute(statement.limit(limit)).scalars())


def make_collection(connection: Connection, *, owner: str, title: str, description: str, public: bool, now_ms: int) -> str:
    """Raises InvalidListing."""
    _checked(title, description)
    mine = select(func.count()).select_from(collections).where(collections.c.owner == owner)
    if connection.execute(mine).scalar_one() >= MAX_COLLECTIONS:
        raise InvalidListing(f"at most {MAX_COLLECTIONS} collections can be kept", field="title")
    id = new_id("col")
    row = {"id": id, "owner": owner, "title": title.strip(), "description": description, "public": public}
    connection.execute(insert(collections).values(**row, created_ms=now_ms, updated_ms=now_ms))
    return id


def change_collection(
    connection: Connection, *, owner: str, collection_id: str, title: str, description: str, public: bool, now_ms: int
) -> None:
    """Raises ListingMissing, InvalidListing."""
    _checked(title, description)
    own_collection(connection, collection_id, owner)
    values = {"title": title.strip(), "description": description, "public": public, "updated_ms": now_ms}
    connection.execute(update(collections).where(collections.c.id == collection_id).values(**values))


def delete_collection(connection: Connection, *, owner: str, collection_id: str) -> None:
    """Raises ListingMissing."""
    own_collection(connection, collection_id, owner)
    connection.execute(delete(entries).where(entries.c.collection_id == collection_id))
    connection.execute(delete(collections).where(collections.c.id == collection_id))


def fill_collection(connection: Connection, *, owner: str, collection_id: str, listing_ids: Sequence[str], now_ms: int) -> None:
    """Let it hold these listings in this order. Raises ListingMissing, InvalidListing."""
    own_collection(connection, collection_id, owner)
    ids = [find_listing(connection, listing_id, owner).id for listing_id in dict.fromkeys(listing_ids[: MAX_ENTRIES + 1])]
    if len(ids) > MAX_ENTRIES:
        raise InvalidListing(f"a collection holds at most {MAX_ENTRIES:,} listings", field="items")
    connection.execute(delete(entries).where(entries.c.collection_id == collection_id))
    rows = [{"collection_id": collection_id, "listing_id": id, "place": place} for place, id in enumerate(dict.fromkeys(ids))]
    if rows:
        connection.execute(insert(entries), rows)
    connection.execute(update(collections).where(collections.c.id == collection_id).values(updated_ms=now_ms))


def find_collection(connection: Connection, collection_id: str, viewer: str) -> tuple[Any, list[str]]:
    """A collection that is public or the viewer's, with the ids in it. Raises ListingMissing."""
    row = connection.execute(select(collections).where(collections.c.id == collection_id)).first()
    if row is None or not (row.public or row.owner == viewer):
        raise ListingMissing(f"there is no collection '{collection_id[:64]}'")
    held = select(entries.c.listing_id).where(entries.c.collection_id == collection_id).order_by(entries.c.place)
    return row, list(connection.execute(held).scalars())


def collections_of(connection: Connection, owner: str | None, limit: int = 200) -> list[Any]:
    """Somebody's collections; of nobody in particular, the public ones, newest first."""
    mine = collections.c.public.is_(True) if owner is None else collections.c.owner == owner
    return list(connection.execute(select(collections).where(mine).order_by(collections.c.updated_ms.desc()).limit(limit)).all())


def own_collection(connection: Connection, collection_id: str, owner: str) -> Any:
    """Raises ListingMissing."""
    row = connection.execute(select(collections).where(collections.c.id == collection_id, collections.c.owner == owner)).first()
    if row is None:
        raise ListingMissing(f"you have no collection '{collection_id[:64]}'")
    return row


def report(connection: Connection, *, owner: str, listing_id: str, reason: str, text: str, now_ms: int) -> str:
    """Tell moderators of a listing; once per person, the later report counts. Raises ListingMissing, InvalidListing."""
    if reason not in REASONS or len(text) > 2000:
        raise InvalidListing(f"a report has a reason ({', '.join(REASONS)}) and at most 2,000 characters", field="reason")
    row = find_listing(connection, listing_id, owner)
    mine = (reports.c.listing_id == row.id, reports.c.owner == owner)
    values = {
        "reason": reason,
        "text": text,
        "state": "open",
        "resolution": "",
        "resolved_by": "",
        "resolved_ms": None,
        "created_ms": now_ms,
    }
    known = connection.execute(select(reports.c.id).where(*mine)).scalar()
    if known is not None:
        connection.execute(update(reports).where(reports.c.id == known).values(**values))
        return str(known)
    id = new_id("rep")
    connection.execute(insert(reports).values(id=id, listing_id=row.id, owner=owner, **values))
    return id


def open_reports(connection: Connection, state: str = "open", limit: int = 200) -> list[Any]:
    """Reports, oldest first, with title and name of the listing."""
    statement = select(reports, listings.c.title, listings.c.handle, listings.c.slug, listings.c.state.label("listing_state")).join_from(
        reports, listings, reports.c.listing_id == listings.c.id
    )
    return list(connection.execute(statement.where(reports.c.state == state).order_by(reports.c.created_ms).limit(limit)).all())


def resolve(connection: Connection, *, report_id: str, uphold: bool, resolution: str, by: str, now_ms: int) -> None:
    """For moderators. Upheld: the listing is taken down. Raises ListingMissing."""
    row = connection.execute(select(reports).where(reports.c.id == report_id)).first()
    if row is None:
        raise ListingMissing(f"there is no report '{report_id[:64]}'")
    state = "upheld" if uphold else "dismissed"
    values = {"state": state, "resolution": resolution[:500], "resolved_by": by, "resolved_ms": now_ms}
    connection.execute(update(reports).where(reports.c.id == report_id).values(**values))
    if uphold:
        take_down(connection, listing_id=row.listing_id, reason=resolution or row.reason, now_ms=now_ms)


def feature(connection: Connection, *, listing_id: str, slot: str, place: int, starts_ms: int, ends_ms: int, by: str) -> str:
    """For the operator: put a listing in front for a time. Raises ListingMissing, InvalidListing."""
    if not 0 < len(slot) <= 40 or ends_ms <= starts_ms:
        raise InvalidListing("a slot has a name of 1 to 40 characters and ends after it begins", field="slot")
    row = find_listing(connection, listing_id, "")
    id = new_id("slot")
    connection.execute(
        insert(slots).values(id=id, listing_id=row.id, slot=slot, place=place, starts_ms=starts_ms, ends_ms=ends_ms, made_by=by)
    )
    return id


def unfeature(connection: Connection, *, slot_id: str) -> None:
    """Raises ListingMissing."""
    if not connection.execute(delete(slots).where(slots.c.id == slot_id)).rowcount:
        raise ListingMissing(f"there is no featured slot '{slot_id[:64]}'")


def featured(connection: Connection, slot: str, now_ms: int, limit: int = 50) -> list[str]:
    """The ids of what stands in a slot now, in its order."""
    now = (slots.c.slot == slot, slots.c.starts_ms <= now_ms, slots.c.ends_ms > now_ms)
    return list(connection.execute(select(slots.c.listing_id).where(*now).order_by(slots.c.place, slots.c.id).limit(limit)).scalars())


def _checked(title: str, description: str) -> None:
    if not 0 < len(title.strip()) <= 120 or len(description) > 2000:
        raise InvalidListing("a collection's title has 1 to 120 characters, its description at most 2,000", field="title")
