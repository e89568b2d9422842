"""Closure: the published graphs that some node types stand for, with those that they use themselves, as who runs them may use them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import select

from marquetry.marketplace.listings.entitlements import is_entitled, require_entitled
from marquetry.marketplace.listings.names import PREFIX, Name, parse
from marquetry.marketplace.listings.tables import listing_entitlements as held
from marquetry.marketplace.listings.tables import listing_versions, listings

if TYPE_CHECKING:
    from sqlalchemy import Connection

MAX_GRAPHS = 100


@dataclass(frozen=True, slots=True)
class PublishedGraph:
    """`definition` is JSON, see `definition`. `listing` is the id of the listing."""

    listing: str
    version: str
    title: str
    summary: str
    content_hash: str
    definition: bytes


@dataclass(slots=True)
class Closure:
    """`graphs` by pinned node type; `names`: which of them names without a version stand for."""

    graphs: dict[str, PublishedGraph] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def closure(connection: Connection, type_ids: Iterable[str], owner: str, now_ms: int, *, enforce: bool = True) -> Closure:
    """What these node types stand for; unknown ones are left out. `enforce`: raises NotEntitled for what has to be bought first."""
    found = Closure()
    pending = [(type_id, False) for type_id in type_ids]
    while pending:
        type_id, nested = pending.pop()
        if type_id in found.graphs or type_id in found.names or len(found.graphs) >= MAX_GRAPHS:
            continue
        name = parse(type_id)
        row = None if name is None else usable_version(connection, name, owner, now_ms, nested=nested)
        if row is None or name is None or row.definition is None:
            continue
        if enforce:
            require_entitled(connection, row, owner, now_ms)
        pinned = name.at(row.version).type_id
        found.graphs[pinned] = PublishedGraph(row.listing_id, row.version, row.title, row.summary, row.content_hash, bytes(row.definition))
        if pinned != type_id:
            found.names[type_id] = pinned
        pending += [(inner, True) for inner in types_inside(orjson.loads(row.definition)["graph"])]
    return found


def usable_version(connection: Connection, name: Name, owner: str, now_ms: int, *, nested: bool = False) -> Any:
    """The row of a version, with its listing's columns, if `owner` may know of it: published, or withdrawn and theirs by purchase, or their
    own. Inside another graph a withdrawn version goes on. Without a version in the name, the one that the holder stays with, or the newest."""
    at, of = listing_versions.c, listings.c
    statement = (
        select(
            at.id, at.version, at.state, at.definition, at.content_hash, at.listing_id, of.title, of.summary, of.owner, of.kind, of.pricing,
            of.price_microcredits, of.handle, of.slug, of.state.label("listing_state"), of.newest_id, of.downloadable,
        )
        .join_from(listings, listing_versions, at.listing_id == of.id)
        .where(of.handle == name.handle, of.slug == name.slug)
    )  # fmt: skip
    if name.version:
        row = connection.execute(statement.where(at.version == name.version)).first()
    else:
        row = connection.execute(statement.where(at.id == of.newest_id)).first()
        pinned = None if row is None else pinned_version(connection, row.listing_id, owner, now_ms)
        if pinned:
            row = connection.execute(statement.where(at.version == pinned)).first() or row
    if row is None or row.listing_state == "taken_down":
        return None
    if row.owner == owner:
        return row
    if row.state == "published" and row.listing_state == "published":
        return row
    if "withdrawn" in (row.state, row.listing_state) and row.state in ("published", "withdrawn"):
        return row if nested or is_entitled(connection, row.listing_id, owner, now_ms) else None
    return None


def pinned_version(connection: Connection, listing_id: str, owner: str, now_ms: int) -> str:
    """The version that the holder of an entitlement stays with; empty: the newest."""
    mine = (held.c.owner == owner, held.c.listing_id == listing_id, held.c.revoked_ms.is_(None))
    row = connection.execute(select(held.c.pinned).where(*mine, held.c.pinned != "")).first()
    return "" if row is None else str(row.pinned)


def types_inside(graph: Mapping[str, Any]) -> list[str]:
    """The published graphs that an API graph uses."""
    types = (node.get("class_type", "") for node in graph.values())
    return list(dict.fromkeys(type_id for type_id in types if type_id.startswith(PREFIX)))
