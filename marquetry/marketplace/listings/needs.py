"""Needs: what a graph can't do without, and which listings offer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select

from marquetry.marketplace.listings.names import Name, parse
from marquetry.marketplace.listings.tables import listing_resources, listing_versions, listings
from marquetry.marketplace.listings.values import Need

if TYPE_CHECKING:
    from sqlalchemy import Connection


def needs_of(connection: Connection, graphs: Sequence[str], files: Mapping[tuple[str, str], str], modules: Sequence[str]) -> list[Need]:
    """`graphs` are node types of published graphs; `files` tokens of content by kind and name, empty where the file is not here; `modules`
    the packs that nodes come from."""
    found = [Need("graph", type_id, _listing_of(connection, parse(type_id))) for type_id in graphs]
    for (kind, name), token in files.items():
        shown = name.rsplit("/", 1)[-1]
        found.append(Need("weights", f"{kind}/{shown}", _by_resource(connection, token) if token else "", available=bool(token)))
    found += [Need("pack", module, _pack(connection, module)) for module in modules if module]
    return found


def _listing_of(connection: Connection, name: Name | None) -> str:
    if name is None:
        return ""
    row = connection.execute(select(listings.c.id).where(listings.c.handle == name.handle, listings.c.slug == name.slug)).first()
    return "" if row is None else str(row.id)


def _by_resource(connection: Connection, token: str) -> str:
    statement = select(listings.c.id).join_from(listing_resources, listings, listing_resources.c.listing_id == listings.c.id)
    row = connection.execute(statement.where(listing_resources.c.resource == token).order_by(listings.c.seq)).first()
    return "" if row is None else str(row.id)


def _pack(connection: Connection, module: str) -> str:
    """The listing of a pack whose content names the module's folder."""
    folder = module.rsplit(".", 1)[-1].rsplit("/", 1)[-1]
    statement = select(listings.c.id).join_from(listings, listing_versions, listing_versions.c.id == listings.c.newest_id)
    row = connection.execute(statement.where(listings.c.kind == "pack", listings.c.slug == folder.lower().replace("_", "-"))).first()
    return "" if row is None else str(row.id)
