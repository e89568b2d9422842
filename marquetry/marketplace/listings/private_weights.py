"""Private weights: who may name which in a graph. Their creator, and who may use a listing that holds them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from marquetry.marketplace.listings.entitlements import require_entitled
from marquetry.marketplace.listings.errors import PrivateWeights
from marquetry.marketplace.listings.names import parse
from marquetry.marketplace.listings.tables import listing_files, listing_versions, listings

if TYPE_CHECKING:
    from sqlalchemy import Connection


def permit(connection: Connection, kind: str, name: str, *, owner: str, inside: str, now_ms: int, enforce: bool) -> None:
    """Raises PrivateWeights, NotEntitled. `inside` is the node type of the published graph that names them, whose creator may use their own."""
    rows = _holding(connection, kind, name)
    around = parse(inside)
    if any(row.owner == owner or (around is not None and row.handle == around.handle) for row in rows):
        return
    live = [row for row in rows if row.state in ("published", "withdrawn") and row.version_state in ("published", "withdrawn")]
    if not live:
        raise PrivateWeights("a graph names private weights that are not yours to use")
    if enforce:
        require_entitled(connection, live[0], owner, now_ms)


def names_of(connection: Connection, version_id: str) -> Iterable[tuple[str, str]]:
    """Kind and name of a version's files, for who may use them."""
    rows = connection.execute(select(listing_files.c.kind, listing_files.c.name).where(listing_files.c.version_id == version_id))
    return [(row.kind, row.name) for row in rows]


def _holding(connection: Connection, kind: str, name: str) -> list[Any]:
    of = listings.c
    statement = (
        select(of.id.label("listing_id"), of.owner, of.handle, of.slug, of.title, of.pricing, of.price_microcredits, of.state,
               listing_versions.c.state.label("version_state"))
        .join_from(listing_files, listing_versions, listing_versions.c.id == listing_files.c.version_id)
        .join(listings, of.id == listing_versions.c.listing_id)
        .where(listing_files.c.kind == kind, listing_files.c.name == name)
        .order_by(of.seq)
    )  # fmt: skip
    return list(connection.execute(statement).all())
