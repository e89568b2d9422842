"""Listings, versions, reviews and what belongs to them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _listings()
    _trade()
    _people()
    _promotion()
    _search()
    op.add_column("job_graphs", sa.Column("published", sa.LargeBinary()))


def _search() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE TABLE listing_search (seq BIGINT PRIMARY KEY, document TSVECTOR NOT NULL)")
        op.execute("CREATE INDEX ix_listing_search_document ON listing_search USING GIN (document)")
    else:
        op.execute("CREATE VIRTUAL TABLE listing_search USING fts5(title, words, body, tokenize = 'unicode61')")


def _listings() -> None:
    op.create_table(
        "creators",
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("handle", sa.String(40), nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("about", sa.String(2000), nullable=False),
        sa.Column("founding", sa.Boolean(), nullable=False),
        sa.Column("followers", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_creators"),
        sa.UniqueConstraint("handle", name="uq_creators_handle"),
    )

    op.create_table(
        "listings",
        sa.Column("seq", SEQUENCE, nullable=False, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("handle", sa.String(40), nullable=False),
        sa.Column("slug", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("split_type", sa.String(32), nullable=False),
        sa.Column("title", sa.String(120), nullable=False),
        sa.Column("summary", sa.String(300), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("category", sa.String(40), nullable=False),
        sa.Column("licence", sa.String(100), nullable=False),
        sa.Column("licence_text", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("base_models", sa.Text(), nullable=False),
        sa.Column("trigger_words", sa.Text(), nullable=False),
        sa.Column("previews", sa.Text(), nullable=False),
        sa.Column("pricing", sa.String(16), nullable=False),
        sa.Column("price_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("period_days", sa.Integer(), nullable=False),
        sa.Column("downloadable", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("state_reason", sa.String(500), nullable=False),
        sa.Column("newest_id", sa.String(64)),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("published_ms", sa.BigInteger()),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("sales", sa.BigInteger(), nullable=False),
        sa.Column("views", sa.BigInteger(), nullable=False),
        sa.Column("favourites", sa.Integer(), nullable=False),
        sa.Column("reviews", sa.Integer(), nullable=False),
        sa.Column("stars", sa.Integer(), nullable=False),
        sa.Column("trending", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_listings"),
        sa.UniqueConstraint("handle", "slug", name="uq_listings_handle_slug"),
        sa.UniqueConstraint("id", name="uq_listings_id"),
    )
    op.create_index("ix_listings_kind_price_microcredits", "listings", ["state", "kind", "price_microcredits", "seq"])
    op.create_index("ix_listings_kind_published_ms", "listings", ["state", "kind", "published_ms", "seq"])
    op.create_index("ix_listings_kind_trending", "listings", ["state", "kind", "trending", "seq"])
    op.create_index("ix_listings_kind_uses", "listings", ["state", "kind", "uses", "seq"])
    op.create_index("ix_listings_owner", "listings", ["owner", "seq"])
    op.create_index("ix_listings_price_microcredits", "listings", ["state", "price_microcredits", "seq"])
    op.create_index("ix_listings_published_ms", "listings", ["state", "published_ms", "seq"])
    op.create_index("ix_listings_trending", "listings", ["state", "trending", "seq"])
    op.create_index("ix_listings_uses", "listings", ["state", "uses", "seq"])
    op.create_table(
        "listing_versions",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("listing_id", sa.String(64), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("rank", sa.String(120), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("changelog", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("definition", sa.LargeBinary()),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("requires", sa.Text(), nullable=False),
        sa.Column("note", sa.String(500), nullable=False),
        sa.Column("reviewed_by", sa.String(128), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("published_ms", sa.BigInteger()),
        sa.Column("withdrawn_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_listing_versions"),
        sa.ForeignKeyConstraint(["listing_id"], ["listings.id"], name="fk_listing_versions_listing_id_listings", ondelete="CASCADE"),
        sa.UniqueConstraint("listing_id", "version", name="uq_listing_versions_listing_id_version"),
    )
    op.create_index("ix_listing_versions_rank", "listing_versions", ["listing_id", "state", "rank"])
    op.create_index("ix_listing_versions_state", "listing_versions", ["state", "created_ms"])
    op.create_table(
        "listing_files",
        sa.Column("version_id", sa.String(64), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("name", sa.String(500), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("resources", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "place", name="pk_listing_files"),
        sa.ForeignKeyConstraint(
            ["version_id"], ["listing_versions.id"], name="fk_listing_files_version_id_listing_versions", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_listing_files_name", "listing_files", ["kind", "name"])
    op.create_index("ix_listing_files_sha256", "listing_files", ["sha256"])
    op.create_table(
        "listing_resources",
        sa.Column("resource", sa.String(128), nullable=False),
        sa.Column("listing_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("resource", "listing_id", name="pk_listing_resources"),
        sa.ForeignKeyConstraint(["listing_id"], ["listings.id"], name="fk_listing_resources_listing_id_listings", ondelete="CASCADE"),
    )
    op.create_index("ix_listing_resources_listing_id", "listing_resources", ["listing_id"])
    op.create_table(
        "listing_tags",
        sa.Column("tag", sa.String(60), nullable=False),
        sa.Column("listing_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("tag", "listing_id", name="pk_listing_tags"),
        sa.ForeignKeyConstraint(["listing_id"], ["listings.id"], name="fk_listing_tags_listing_id_listings", ondelete="CASCADE"),
    )
    op.create_index("ix_listing_tags_listing_id", "listing_tags", ["listing_id"])


def _trade() -> None:
    op.create_table(
        "listing_entitlements",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("listing_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("starts_ms", sa.BigInteger(), nullable=False),
        sa.Column("ends_ms", sa.BigInteger()),
        sa.Column("revoked_ms", sa.BigInteger()),
        sa.Column("sale_id", sa.String(64), nullable=False),
        sa.Column("pinned", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_listing_entitlements"),
        sa.ForeignKeyConstraint(["listing_id"], ["listings.id"], name="fk_listing_entitlements_listing_id_listings", ondelete="CASCADE"),
    )
    op.create_index("ix_listing_entitlements_listing_id", "listing_entitlements", ["listing_id"])
    op.create_index("ix_listing_entitlements_owner", "listing_entitlements", ["owner", "listing_id"])
    op.create_table(
        "listing_sales",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("listing_id", sa.String(64), nullable=False),
        sa.Column("buyer", sa.String(128), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("list_price_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("price_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("share_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("coupon_id", sa.String(64)),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_listing_sales"),
        sa.ForeignKeyConstraint(["listing_id"], ["listings.id"], name="fk_listing_sales_listing_id_listings", ondelete="CASCADE"),
        sa.UniqueConstraint("buyer", "key", name="uq_listing_sales_buyer_key"),
    )
    op.create_index("ix_listing_sales_coupon_id", "listing_sales", ["coupon_id", "buyer"])
    op.create_index("ix_listing_sales_listing_id", "listing_sales", ["listing_id", "time_ms"])
    op.create_table(
        "listing_users",
        sa.Column("listing_id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("last_day", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("listing_id", "owner", name="pk_listing_users"),
        sa.ForeignKeyConstraint(["listing_id"], ["listings.id"], name="fk_listing_users_listing_id_listings", ondelete="CASCADE"),
    )

    op.create_table(
        "listing_days",
        sa.Column("listing_id", sa.String(64), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("views", sa.BigInteger(), nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("people", sa.BigInteger(), nullable=False),
        sa.Column("newcomers", sa.BigInteger(), nullable=False),
        sa.Column("sales", sa.BigInteger(), nullable=False),
        sa.Column("earned_microcredits", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("listing_id", "day", name="pk_listing_days"),
        sa.ForeignKeyConstraint(["listing_id"], ["listings.id"], name="fk_listing_days_listing_id_listings", ondelete="CASCADE"),
    )

    op.create_table(
        "listing_runs",
        sa.Column("run_id", sa.String(128), nullable=False),
        sa.Column("listing_id", sa.String(64), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "listing_id", name="pk_listing_runs"),
        sa.ForeignKeyConstraint(["listing_id"], ["listings.id"], name="fk_listing_runs_listing_id_listings", ondelete="CASCADE"),
    )
    op.create_index("ix_listing_runs_time_ms", "listing_runs", ["time_ms"])


def _people() -> None:
    op.create_table(
        "listing_reviews",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("listing_id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("author", sa.String(120), nullable=False),
        sa.Column("stars", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("replied_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_listing_reviews"),
        sa.ForeignKeyConstraint(["listing_id"], ["listings.id"], name="fk_listing_reviews_listing_id_listings", ondelete="CASCADE"),
        sa.UniqueConstraint("listing_id", "owner", name="uq_listing_reviews_listing_id_owner"),
    )
    op.create_index("ix_listing_reviews_listing_id", "listing_reviews", ["listing_id", "created_ms"])
    op.create_table(
        "listing_favourites",
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("listing_id", sa.String(64), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "listing_id", name="pk_listing_favourites"),
        sa.ForeignKeyConstraint(["listing_id"], ["listings.id"], name="fk_listing_favourites_listing_id_listings", ondelete="CASCADE"),
    )
    op.create_index("ix_listing_favourites_listing_id", "listing_favourites", ["listing_id"])
    op.create_table(
        "creator_follows",
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("handle", sa.String(40), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "handle", name="pk_creator_follows"),
        sa.ForeignKeyConstraint(["handle"], ["creators.handle"], name="fk_creator_follows_handle_creators", ondelete="CASCADE"),
    )
    op.create_index("ix_creator_follows_handle", "creator_follows", ["handle", "created_ms"])
    op.create_table(
        "listing_collections",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("title", sa.String(120), nullable=False),
        sa.Column("description", sa.String(2000), nullable=False),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_listing_collections"),
    )
    op.create_index("ix_listing_collections_owner", "listing_collections", ["owner", "created_ms"])
    op.create_index("ix_listing_collections_public", "listing_collections", ["public", "updated_ms"])
    op.create_table(
        "listing_collection_items",
        sa.Column("collection_id", sa.String(64), nullable=False),
        sa.Column("listing_id", sa.String(64), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("collection_id", "listing_id", name="pk_listing_collection_items"),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["listing_collections.id"],
            name="fk_listing_collection_items_collection_id_listing_collections",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["listing_id"], ["listings.id"], name="fk_listing_collection_items_listing_id_listings", ondelete="CASCADE"
        ),
    )

    op.create_table(
        "listing_reports",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("listing_id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("text", sa.String(2000), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("resolution", sa.String(500), nullable=False),
        sa.Column("resolved_by", sa.String(128), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("resolved_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_listing_reports"),
        sa.ForeignKeyConstraint(["listing_id"], ["listings.id"], name="fk_listing_reports_listing_id_listings", ondelete="CASCADE"),
        sa.UniqueConstraint("listing_id", "owner", name="uq_listing_reports_listing_id_owner"),
    )
    op.create_index("ix_listing_reports_state", "listing_reports", ["state", "created_ms"])


def _promotion() -> None:
    op.create_table(
        "listing_coupons",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("code", sa.String(40), nullable=False),
        sa.Column("listing_id", sa.String(64)),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("amount_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("starts_ms", sa.BigInteger(), nullable=False),
        sa.Column("ends_ms", sa.BigInteger()),
        sa.Column("max_uses", sa.Integer()),
        sa.Column("max_per_person", sa.Integer(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_listing_coupons"),
        sa.ForeignKeyConstraint(["listing_id"], ["listings.id"], name="fk_listing_coupons_listing_id_listings", ondelete="CASCADE"),
        sa.UniqueConstraint("owner", "code", name="uq_listing_coupons_owner_code"),
    )

    op.create_table(
        "featured_slots",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("listing_id", sa.String(64), nullable=False),
        sa.Column("slot", sa.String(40), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("starts_ms", sa.BigInteger(), nullable=False),
        sa.Column("ends_ms", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_featured_slots"),
        sa.ForeignKeyConstraint(["listing_id"], ["listings.id"], name="fk_featured_slots_listing_id_listings", ondelete="CASCADE"),
    )
    op.create_index("ix_featured_slots_slot", "featured_slots", ["slot", "ends_ms"])
    op.create_table(
        "creator_payouts",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("period", sa.String(7), nullable=False),
        sa.Column("amount_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("transfer", sa.String(200), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("starts_ms", sa.BigInteger(), nullable=False),
        sa.Column("ends_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_creator_payouts"),
        sa.UniqueConstraint("owner", "period", name="uq_creator_payouts_owner_period"),
    )
    op.create_index("ix_creator_payouts_state", "creator_payouts", ["state", "created_ms"])
