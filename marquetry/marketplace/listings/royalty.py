"""Royalties: what a use of published graphs and weights owes to their creators; nothing by who bought them, subscribed to them or made them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select

from marquetry.marketplace.listings.entitlements import entitled
from marquetry.marketplace.listings.tables import listing_resources, listings
from marquetry.marketplace.pricing.royalties import Mode, RoyaltyLine

if TYPE_CHECKING:
    from sqlalchemy import Connection

LIVE = ("published", "withdrawn")


class ListingRoyalties:
    """The royalty book as a transaction sees it. What several listings hold is of the one that held it first."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lines(self, resources: Sequence[str], owner: str, now_ms: int) -> tuple[RoyaltyLine, ...]:
        """At most one line for each listing, in the order of the resources."""
        wanted = list(dict.fromkeys(resources))
        if not wanted:
            return ()
        of = listings.c
        statement = (
            select(listing_resources.c.resource, of.seq, of.id, of.owner, of.split_type, of.pricing, of.price_microcredits)
            .join_from(listing_resources, listings, listing_resources.c.listing_id == of.id)
            .where(listing_resources.c.resource.in_(wanted), of.state.in_(LIVE))
            .order_by(of.seq)
        )
        first = {row.resource: row for row in reversed(self._connection.execute(statement).all())}
        held = entitled(self._connection, [row.id for row in first.values()], owner, now_ms)
        found: dict[str, RoyaltyLine] = {}
        for resource in wanted:
            row = first.get(resource)
            if row is None or row.id in found:
                continue
            mode: Mode = "free" if row.pricing == "free" else "per_use"
            if row.owner == owner or row.id in held or row.pricing in ("one_time", "subscription"):
                mode = "owned"
            amount = row.price_microcredits if mode == "per_use" else 0
            found[row.id] = RoyaltyLine(row.id, row.owner, row.split_type, mode, amount, resource)
        return tuple(found.values())
