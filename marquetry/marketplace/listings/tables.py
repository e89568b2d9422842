"""Tables of listings and of what belongs to them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint

from marquetry.marketplace.schema import Sequence, metadata

ID = 64
OWNER = 128
HANDLE = 40
SLUG = 80
TITLE = 120
TAG = 40
HASH = 64
RESOURCE = 128


def listing_column(*, primary_key: bool = False) -> Column[str]:
    return Column("listing_id", String(ID), ForeignKey("listings.id", ondelete="CASCADE"), nullable=False, primary_key=primary_key)


creators = Table(
    "creators",
    metadata,
    Column("owner", String(OWNER), primary_key=True),
    Column("handle", String(HANDLE), nullable=False, unique=True),
    Column("name", String(TITLE), nullable=False),
    Column("about", String(2000), nullable=False),
    Column("founding", Boolean, nullable=False),
    Column("followers", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

listings = Table(
    "listings",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", String(ID), nullable=False, unique=True),
    Column("owner", String(OWNER), nullable=False),
    Column("handle", String(HANDLE), nullable=False),  # the creator's
    Column("slug", String(SLUG), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("split_type", String(32), nullable=False),  # what decides how earnings are divided
    Column("title", String(TITLE), nullable=False),
    Column("summary", String(300), nullable=False),
    Column("description", Text, nullable=False),
    Column("category", String(TAG), nullable=False),
    Column("licence", String(100), nullable=False),  # an SPDX identifier, or "custom"
    Column("licence_text", Text, nullable=False),
    Column("tags", Text, nullable=False),  # JSON list, sorted; the rows of listing_tags are found by
    Column("base_models", Text, nullable=False),  # JSON list
    Column("trigger_words", Text, nullable=False),  # JSON list
    Column("previews", Text, nullable=False),  # JSON list of files
    Column("pricing", String(16), nullable=False),  # free, one_time, per_use, subscription
    Column("price_microcredits", BigInteger, nullable=False),
    Column("period_days", Integer, nullable=False),  # of a subscription
    Column("downloadable", Boolean, nullable=False),
    Column("state", String(16), nullable=False),  # draft, published, withdrawn, taken_down
    Column("state_reason", String(500), nullable=False),
    Column("newest_id", String(ID)),  # the newest published version
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("published_ms", BigInteger),
    Column("uses", BigInteger, nullable=False),
    Column("sales", BigInteger, nullable=False),
    Column("views", BigInteger, nullable=False),
    Column("favourites", Integer, nullable=False),
    Column("reviews", Integer, nullable=False),
    Column("stars", Integer, nullable=False),  # of all reviews together
    Column("trending", BigInteger, nullable=False),  # see `trending`
    UniqueConstraint("handle", "slug"),
)
Index("ix_listings_owner", listings.c.owner, listings.c.seq)
for _name in ("trending", "published_ms", "uses", "price_microcredits"):
    Index(f"ix_listings_{_name}", listings.c.state, listings.c[_name], listings.c.seq)
    Index(f"ix_listings_kind_{_name}", listings.c.state, listings.c.kind, listings.c[_name], listings.c.seq)

listing_versions = Table(
    "listing_versions",
    metadata,
    Column("id", String(ID), primary_key=True),
    listing_column(),
    Column("version", String(64), nullable=False),
    Column("rank", String(120), nullable=False),  # sorts as versions do
    Column("state", String(16), nullable=False),  # draft, review, published, withdrawn
    Column("changelog", Text, nullable=False),
    Column("content_hash", String(HASH), nullable=False),
    Column("definition", LargeBinary),  # JSON of a graph with its interface
    Column("content", Text, nullable=False),  # JSON of what the kind holds beside that
    Column("requires", Text, nullable=False),  # JSON list of what it needs, and where that is
    Column("note", String(500), nullable=False),  # of who reviewed it
    Column("reviewed_by", String(OWNER), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("published_ms", BigInteger),
    Column("withdrawn_ms", BigInteger),
    UniqueConstraint("listing_id", "version"),
)
Index("ix_listing_versions_rank", listing_versions.c.listing_id, listing_versions.c.state, listing_versions.c.rank)
Index("ix_listing_versions_state", listing_versions.c.state, listing_versions.c.created_ms)

listing_files = Table(
    "listing_files",
    metadata,
    Column("version_id", String(ID), ForeignKey("listing_versions.id", ondelete="CASCADE"), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("kind", String(40), nullable=False),  # the folder of models, or `files`
    Column("name", String(500), nullable=False),  # as jobs name it
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(HASH), nullable=False),
    Column("resources", Text, nullable=False),  # JSON list of further names that usage has for its content
)
Index("ix_listing_files_name", listing_files.c.kind, listing_files.c.name)
Index("ix_listing_files_sha256", listing_files.c.sha256)

listing_resources = Table(  # by which uses are known: hashes of graphs, tokens and hashes of files
    "listing_resources",
    metadata,
    Column("resource", String(RESOURCE), primary_key=True),
    listing_column(primary_key=True),
)
Index("ix_listing_resources_listing_id", listing_resources.c.listing_id)

listing_tags = Table(
    "listing_tags",
    metadata,
    Column("tag", String(60), primary_key=True),  # base models with `base:` before them
    listing_column(primary_key=True),
)
Index("ix_listing_tags_listing_id", listing_tags.c.listing_id)

listing_entitlements = Table(
    "listing_entitlements",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("owner", String(OWNER), nullable=False),
    listing_column(),
    Column("mode", String(16), nullable=False),  # one_time, subscription, given
    Column("starts_ms", BigInteger, nullable=False),
    Column("ends_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("sale_id", String(ID), nullable=False),
    Column("pinned", String(64), nullable=False),  # a version that the holder stays with; empty: the newest
)
Index("ix_listing_entitlements_owner", listing_entitlements.c.owner, listing_entitlements.c.listing_id)
Index("ix_listing_entitlements_listing_id", listing_entitlements.c.listing_id)

listing_sales = Table(
    "listing_sales",
    metadata,
    Column("id", String(ID), primary_key=True),
    listing_column(),
    Column("buyer", String(OWNER), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("list_price_microcredits", BigInteger, nullable=False),
    Column("price_microcredits", BigInteger, nullable=False),
    Column("share_microcredits", BigInteger, nullable=False),  # the creator's
    Column("coupon_id", String(ID)),
    Column("key", String(128), nullable=False),  # the buyer's, for sending it again
    Column("time_ms", BigInteger, nullable=False),
    UniqueConstraint("buyer", "key"),
)
Index("ix_listing_sales_listing_id", listing_sales.c.listing_id, listing_sales.c.time_ms)
Index("ix_listing_sales_coupon_id", listing_sales.c.coupon_id, listing_sales.c.buyer)

listing_users = Table(  # who ran it: may review it, and counts in its audience
    "listing_users",
    metadata,
    listing_column(primary_key=True),
    Column("owner", String(OWNER), primary_key=True),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("uses", BigInteger, nullable=False),
    Column("last_day", Integer, nullable=False),
)

listing_days = Table(
    "listing_days",
    metadata,
    listing_column(primary_key=True),
    Column("day", Integer, primary_key=True),  # days since the epoch
    Column("views", BigInteger, nullable=False),
    Column("uses", BigInteger, nullable=False),
    Column("people", BigInteger, nullable=False),
    Column("newcomers", BigInteger, nullable=False),
    Column("sales", BigInteger, nullable=False),
    Column("earned_microcredits", BigInteger, nullable=False),
)

listing_runs = Table(  # counted once per run
    "listing_runs",
    metadata,
    Column("run_id", String(128), primary_key=True),
    listing_column(primary_key=True),
    Column("time_ms", BigInteger, nullable=False),
)
Index("ix_listing_runs_time_ms", listing_runs.c.time_ms)
