"""Listings as routes show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import select

from marquetry.marketplace.listings.creators import find_creator_of
from marquetry.marketplace.listings.entitlements import OPEN_PRICINGS, is_entitled
from marquetry.marketplace.listings.listing import find_listing
from marquetry.marketplace.listings.names import Name
from marquetry.marketplace.listings.social_tables import listing_favourites as favourites
from marquetry.marketplace.listings.tables import listing_versions, listings
from marquetry.marketplace.listings.versions import files_of, versions_of
from marquetry.server.published.private import PRIVATE

if TYPE_CHECKING:
    from sqlalchemy import Connection

PLAIN = (
    "id", "kind", "slug", "title", "summary", "category", "pricing", "price_microcredits", "period_days", "licence", "downloadable", "state",
    "uses", "sales", "favourites", "reviews", "published_ms", "updated_ms",
)  # fmt: skip
LISTS = ("tags", "base_models", "previews")


def item(row: Any, version: str | None = None) -> dict[str, Any]:
    """A listing in a list."""
    shown = {name: getattr(row, name) for name in PLAIN} | {name: orjson.loads(getattr(row, name)) for name in LISTS}
    stars = round(row.stars / row.reviews, 2) if row.reviews else None
    return shown | {"creator": row.handle, "stars": stars, "version": version}


def items(connection: Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Listings by their ids, in that order; those that are not public are left out."""
    statement = select(listings, listing_versions.c.version.label("newest")).join_from(
        listings, listing_versions, listing_versions.c.id == listings.c.newest_id, isouter=True
    )
    rows = {row.id: row for row in connection.execute(statement.where(listings.c.id.in_(ids), listings.c.state == "published"))}
    return [item(rows[id], rows[id].newest) for id in ids if id in rows]


def detail(connection: Connection, listing_id: str, viewer: str, now_ms: int, moderates: bool = False) -> dict[str, Any]:
    """A listing with everything that the viewer may know of it. Raises ListingMissing."""
    row = find_listing(connection, listing_id, viewer, moderates=moderates)
    mine = row.owner == viewer
    versions = versions_of(connection, row.id, public=not (mine or moderates))
    newest = next((version for version in versions if version.id == row.newest_id), versions[0] if versions and mine else None)
    creator = find_creator_of(connection, row.owner)
    marked = select(favourites.c.owner).where(favourites.c.owner == viewer, favourites.c.listing_id == row.id)
    return item(row, None if newest is None else newest.version) | {
        "description": row.description,
        "licence_text": row.licence_text,
        "trigger_words": orjson.loads(row.trigger_words),
        "state_reason": row.state_reason if mine or moderates else "",
        "versions": [version_view(version, mine) for version in versions],
        "content": {} if newest is None else orjson.loads(newest.content),
        "files": [] if newest is None else [_file(file, row, mine) for file in files_of(connection, newest.id)],
        "entitled": mine or row.pricing in OPEN_PRICINGS or is_entitled(connection, row.id, viewer, now_ms),
        "favourite": connection.execute(marked).first() is not None,
        "mine": mine,
        "creator_name": "" if creator is None else creator.name,
        "node_type": None if newest is None or not _has_graph(connection, newest.id) else Name(row.handle, row.slug).type_id,
    }


def version_view(row: Any, mine: bool) -> dict[str, Any]:
    """A version, without what it holds."""
    names = ("id", "version", "state", "changelog", "content_hash", "created_ms", "published_ms", "withdrawn_ms")
    shown = {name: getattr(row, name) for name in names} | {"requires": orjson.loads(row.requires)}
    return shown | {"note": row.note if mine else ""}


def _file(row: Any, listing: Any, mine: bool) -> dict[str, Any]:
    """A file; of private ones their place is told to who may use them, by another route."""
    shown = {"kind": row.kind, "name": row.name.rsplit("/", 1)[-1], "size_bytes": row.size_bytes}
    if mine or (listing.downloadable and not row.name.startswith(PRIVATE)):
        shown |= {"name": row.name, "sha256": row.sha256}
    return shown


def _has_graph(connection: Connection, version_id: str) -> bool:
    has = (listing_versions.c.id == version_id, listing_versions.c.definition.is_not(None))
    return connection.execute(select(listing_versions.c.id).where(*has)).first() is not None
