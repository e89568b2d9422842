"""Listings: made as drafts, changed by their creators alone, found by everybody once published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import delete, insert, select, update

from marquetry.marketplace.listings.creators import require_creator
from marquetry.marketplace.listings.details import checked
from marquetry.marketplace.listings.errors import ListingMissing, NameTaken, NotTheirs, WrongState
from marquetry.marketplace.listings.kinds import kind_of
from marquetry.marketplace.listings.names import checked_slug, new_id
from marquetry.marketplace.listings.tables import listing_tags, listing_versions, listings
from marquetry.marketplace.listings.values import Details
from marquetry.marketplace.search.database import BASE
from marquetry.marketplace.search.index import index_listing, remove_from_index

if TYPE_CHECKING:
    from sqlalchemy import Connection

MAX_LISTINGS = 10_000


def create_listing(connection: Connection, *, owner: str, kind: str, slug: str, details: Details, now_ms: int) -> str:
    """A draft that nobody else sees; gives its id. Raises InvalidListing, CreatorMissing, NameTaken."""
    creator = require_creator(connection, owner)
    sort = kind_of(kind)
    sound = checked(details, sort)
    taken = select(listings.c.id).where(listings.c.handle == creator.handle, listings.c.slug == checked_slug(slug))
    if connection.execute(taken).first() is not None:
        raise NameTaken(f"you have a listing '{creator.handle}/{slug}' already")
    id = new_id("lst")
    counts = dict.fromkeys(("uses", "sales", "views", "favourites", "reviews", "stars", "trending"), 0)
    values = {
        "id": id,
        "owner": owner,
        "handle": creator.handle,
        "slug": slug,
        "kind": sort.id,
        "split_type": sort.split({}),
        **_row(sound),
    }
    connection.execute(
        insert(listings).values(
            **values, **counts, previews="[]", state="draft", state_reason="", created_ms=now_ms, updated_ms=now_ms
        )
    )  # fmt: skip
    _tag(connection, id, sound)
    index_listing(connection, id)
    return id


def change_listing(connection: Connection, *, owner: str, listing_id: str, details: Details, now_ms: int) -> None:
    """Raises ListingMissing, NotTheirs, InvalidListing."""
    row = own_listing(connection, listing_id, owner)
    sound = checked(details, kind_of(row.kind))
    connection.execute(update(listings).where(listings.c.id == listing_id).values(**_row(sound), updated_ms=now_ms))
    _tag(connection, listing_id, sound)
    index_listing(connection, listing_id)


def set_previews(connection: Connection, *, owner: str, listing_id: str, previews: Sequence[Mapping[str, Any]], now_ms: int) -> None:
    """Show these files as what it makes. Raises ListingMissing, NotTheirs."""
    own_listing(connection, listing_id, owner)
    text = orjson.dumps([dict(preview) for preview in previews]).decode()
    connection.execute(update(listings).where(listings.c.id == listing_id).values(previews=text, updated_ms=now_ms))


def delete_draft(connection: Connection, *, owner: str, listing_id: str) -> None:
    """A listing that was never published is gone without a trace. Raises ListingMissing, NotTheirs, WrongState."""
    row = own_listing(connection, listing_id, owner)
    if row.published_ms is not None:
        raise WrongState("a listing that was published stays, since others use it; withdraw it instead")
    connection.execute(delete(listing_tags).where(listing_tags.c.listing_id == listing_id))
    remove_from_index(connection, row.seq)
    connection.execute(delete(listings).where(listings.c.id == listing_id))


def find_listing(connection: Connection, listing_id: str, viewer: str, *, moderates: bool = False) -> Any:
    """The row, if the viewer may see it. `listing_id` may be `handle/slug`. Raises ListingMissing."""
    handle, slash, slug = listing_id.partition("/")
    wanted = (listings.c.handle == handle, listings.c.slug == slug) if slash else (listings.c.id == listing_id,)
    row = connection.execute(select(listings).where(*wanted)).first()
    if row is None or not (moderates or row.owner == viewer or row.state in ("published", "withdrawn")):
        raise ListingMissing(f"there is no listing '{listing_id[:130]}'")
    return row


def own_listing(connection: Connection, listing_id: str, owner: str) -> Any:
    """The row of a listing of the owner's. Raises ListingMissing, NotTheirs."""
    row = find_listing(connection, listing_id, owner)
    if row.owner != owner:
        raise NotTheirs("only its creator can change a listing")
    return row


def listings_of(connection: Connection, owner: str, limit: int = 500) -> list[Any]:
    """Everything of one creator's, drafts too, newest first."""
    return list(connection.execute(select(listings).where(listings.c.owner == owner).order_by(listings.c.seq.desc()).limit(limit)).all())


def withdraw_listing(connection: Connection, *, owner: str, listing_id: str, now_ms: int) -> None:
    """Nobody new gets it; who bought it, and graphs that hold it, go on. Raises ListingMissing, NotTheirs, WrongState."""
    row = own_listing(connection, listing_id, owner)
    if row.state != "published":
        raise WrongState(f"the listing is {row.state.replace('_', ' ')}; only a published one can be withdrawn")
    _state(connection, listing_id, "withdrawn", "", now_ms)


def restore_listing(connection: Connection, *, owner: str, listing_id: str, now_ms: int) -> None:
    """Publish what was withdrawn again. Raises ListingMissing, NotTheirs, WrongState."""
    row = own_listing(connection, listing_id, owner)
    live = (listing_versions.c.id == row.newest_id, listing_versions.c.state == "published")
    if row.state != "withdrawn" or connection.execute(select(listing_versions.c.id).where(*live)).first() is None:
        raise WrongState("only a withdrawn listing with a published version can be put back; publish a version")
    _state(connection, listing_id, "published", "", now_ms)


def take_down(connection: Connection, *, listing_id: str, reason: str, now_ms: int) -> None:
    """For moderators: nobody sees or runs it any more, its creator apart. Raises ListingMissing."""
    find_listing(connection, listing_id, "", moderates=True)
    _state(connection, listing_id, "taken_down", reason[:500], now_ms)


def put_back(connection: Connection, *, listing_id: str, now_ms: int) -> None:
    """For moderators: undo a take-down. Raises ListingMissing, WrongState."""
    row = find_listing(connection, listing_id, "", moderates=True)
    if row.state != "taken_down":
        raise WrongState("the listing was not taken down")
    _state(connection, listing_id, "published" if row.newest_id else "draft", "", now_ms)


def _state(connection: Connection, listing_id: str, state: str, reason: str, now_ms: int) -> None:
    connection.execute(update(listings).where(listings.c.id == listing_id).values(state=state, state_reason=reason, updated_ms=now_ms))
    index_listing(connection, listing_id)


def _row(details: Details) -> dict[str, Any]:
    lists = {name: orjson.dumps(list(getattr(details, name))).decode() for name in ("tags", "base_models", "trigger_words")}
    plain = ("title", "summary", "description", "category", "licence", "licence_text", "pricing", "price_microcredits", "period_days")
    return {**lists, **{name: getattr(details, name) for name in plain}, "downloadable": details.downloadable}


def _tag(connection: Connection, listing_id: str, details: Details) -> None:
    tags = [*details.tags, *(BASE + model for model in details.base_models)]
    connection.execute(delete(listing_tags).where(listing_tags.c.listing_id == listing_id))
    if tags:
        connection.execute(insert(listing_tags), [{"tag": tag, "listing_id": listing_id} for tag in tags])
