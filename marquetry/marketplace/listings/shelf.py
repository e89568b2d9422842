"""Shelf: the published graphs that a person's editor lists: their own, what they hold or marked, then what is wanted most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from marquetry.marketplace.listings.closure import MAX_GRAPHS
from marquetry.marketplace.listings.entitlements import library
from marquetry.marketplace.listings.names import Name
from marquetry.marketplace.listings.social_tables import listing_favourites as favourites
from marquetry.marketplace.listings.tables import listing_versions, listings

if TYPE_CHECKING:
    from sqlalchemy import Connection

GRAPHS = ("workflow", "style", "character_template", "location_pack")


def names_for(connection: Connection, owner: str, most: int, now_ms: int) -> list[str]:
    """Node types without a version; at most as many as a closure takes."""
    of = listings.c
    runs = (of.kind.in_(GRAPHS), of.newest_id.is_not(None), listing_versions.c.definition.is_not(None))
    base = select(of.handle, of.slug).join_from(listings, listing_versions, listing_versions.c.id == of.newest_id).where(*runs)
    rows = list(connection.execute(base.where(of.owner == owner, of.state == "published").order_by(of.seq.desc()).limit(MAX_GRAPHS)).all())
    rows += [row for row in library(connection, owner, now_ms, MAX_GRAPHS) if row.kind in GRAPHS]
    marked = base.join(favourites, favourites.c.listing_id == of.id).where(favourites.c.owner == owner, of.state == "published")
    rows += connection.execute(marked.order_by(favourites.c.created_ms.desc()).limit(MAX_GRAPHS)).all()
    if most:
        wanted = base.where(of.state == "published", of.kind == "workflow").order_by(of.trending.desc(), of.seq.desc()).limit(most)
        rows += connection.execute(wanted).all()
    return list(dict.fromkeys(Name(row.handle, row.slug).type_id for row in rows))[:MAX_GRAPHS]
