"""Tables of what people say of listings and do with them beside buying."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from marquetry.marketplace.listings.tables import HANDLE, ID, OWNER, TITLE, listing_column
from marquetry.marketplace.schema import metadata

listing_reviews = Table(
    "listing_reviews",
    metadata,
    Column("id", String(ID), primary_key=True),
    listing_column(),
    Column("owner", String(OWNER), nullable=False),
    Column("author", String(TITLE), nullable=False),
    Column("stars", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("version", String(64), nullable=False),
    Column("reply", Text, nullable=False),
    Column("hidden", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("replied_ms", BigInteger),
    UniqueConstraint("listing_id", "owner"),
)
Index("ix_listing_reviews_listing_id", listing_reviews.c.listing_id, listing_reviews.c.created_ms)

listing_favourites = Table(
    "listing_favourites",
    metadata,
    Column("owner", String(OWNER), primary_key=True),
    listing_column(primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
)
Index("ix_listing_favourites_listing_id", listing_favourites.c.listing_id)

creator_follows = Table(
    "creator_follows",
    metadata,
    Column("owner", String(OWNER), primary_key=True),
    Column("handle", String(HANDLE), ForeignKey("creators.handle", ondelete="CASCADE"), primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
)
Index("ix_creator_follows_handle", creator_follows.c.handle, creator_follows.c.created_ms)

listing_collections = Table(
    "listing_collections",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("owner", String(OWNER), nullable=False),
    Column("title", String(TITLE), nullable=False),
    Column("description", String(2000), nullable=False),
    Column("public", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)
Index("ix_listing_collections_owner", listing_collections.c.owner, listing_collections.c.created_ms)
Index("ix_listing_collections_public", listing_collections.c.public, listing_collections.c.updated_ms)

listing_collection_items = Table(
    "listing_collection_items",
    metadata,
    Column("collection_id", String(ID), ForeignKey("listing_collections.id", ondelete="CASCADE"), primary_key=True),
    listing_column(primary_key=True),
    Column("place", Integer, nullable=False),
)

listing_reports = Table(
    "listing_reports",
    metadata,
    Column("id", String(ID), primary_key=True),
    listing_column(),
    Column("owner", String(OWNER), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("text", String(2000), nullable=False),
    Column("state", String(16), nullable=False),  # open, upheld, dismissed
    Column("resolution", String(500), nullable=False),
    Column("resolved_by", String(OWNER), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("resolved_ms", BigInteger),
    UniqueConstraint("listing_id", "owner"),
)
Index("ix_listing_reports_state", listing_reports.c.state, listing_reports.c.created_ms)

listing_coupons = Table(
    "listing_coupons",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("owner", String(OWNER), nullable=False),  # the creator, who bears it
    Column("code", String(40), nullable=False),
    Column("listing_id", String(ID), ForeignKey("listings.id", ondelete="CASCADE")),  # none: all of the creator's
    Column("percent", Integer, nullable=False),
    Column("amount_microcredits", BigInteger, nullable=False),
    Column("starts_ms", BigInteger, nullable=False),
    Column("ends_ms", BigInteger),
    Column("max_uses", Integer),
    Column("max_per_person", Integer, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("owner", "code"),
)

featured_slots = Table(
    "featured_slots",
    metadata,
    Column("id", String(ID), primary_key=True),
    listing_column(),
    Column("slot", String(40), nullable=False),
    Column("place", Integer, nullable=False),
    Column("starts_ms", BigInteger, nullable=False),
    Column("ends_ms", BigInteger, nullable=False),
    Column("made_by", String(OWNER), nullable=False),
)
Index("ix_featured_slots_slot", featured_slots.c.slot, featured_slots.c.ends_ms)

creator_payouts = Table(
    "creator_payouts",
    metadata,
    Column("id", String(ID), primary_key=True),  # the ledger's key
    Column("owner", String(OWNER), nullable=False),
    Column("period", String(7), nullable=False),  # 2026-01
    Column("amount_microcredits", BigInteger, nullable=False),
    Column("method", String(16), nullable=False),  # manual, or a provider's name
    Column("state", String(16), nullable=False),  # begun, settled, cancelled
    Column("transfer", String(200), nullable=False),  # how the transfer is known outside
    Column("reason", String(500), nullable=False),
    Column("starts_ms", BigInteger, nullable=False),  # what the statement is about
    Column("ends_ms", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
    UniqueConstraint("owner", "period"),
)
Index("ix_creator_payouts_state", creator_payouts.c.state, creator_payouts.c.created_ms)
