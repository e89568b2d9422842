"""Price books, plans, subscriptions and metering."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("plan", sa.String(100), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("interval", sa.String(8), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("period_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("period_end_ms", sa.BigInteger(), nullable=False),
        sa.Column("cancel_at_period_end", sa.Boolean(), nullable=False),
        sa.Column("next_plan", sa.String(100)),
        sa.Column("provider", sa.String(32)),
        sa.Column("provider_subscription_id", sa.String(256)),
        sa.Column("granted_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("max_concurrency", sa.Integer()),
        sa.Column("retention_days", sa.Integer()),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subscriptions"),
    )
    op.create_index("ix_subscriptions_due", "subscriptions", ["status", "granted_until_ms"])
    op.create_index("ix_subscriptions_owner", "subscriptions", ["owner", "status"])
    op.create_index("ix_subscriptions_provider", "subscriptions", ["provider", "provider_subscription_id"])
    op.create_table(
        "quota_use",
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("quota", sa.String(32), nullable=False),
        sa.Column("period_start_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "quota", "period_start_ms", name="pk_quota_use"),
        sa.CheckConstraint("used >= 0", name="ck_quota_use_used"),
    )
    op.create_table(
        "trial_grants",
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("campaign", sa.String(100), nullable=False),
        sa.Column("amount_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("granted_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_trial_grants"),
    )
    op.create_table(
        "run_quotes",
        sa.Column("run_id", sa.String(128), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("plan", sa.String(100), nullable=False),
        sa.Column("maximum_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("quoted_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_ms", sa.BigInteger()),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("charged_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("terms", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_run_quotes"),
    )
    op.create_index("ix_run_quotes_owner", "run_quotes", ["owner", "quoted_ms"])
    op.create_index("ix_run_quotes_state", "run_quotes", ["state"])
    op.create_table(
        "node_executions",
        sa.Column("seq", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("run_id", sa.String(128), nullable=False),
        sa.Column("node_key", sa.String(128), nullable=False),
        sa.Column("node_id", sa.String(1024), nullable=False),
        sa.Column("origin_id", sa.String(1024), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("plan", sa.String(100), nullable=False),
        sa.Column("operation", sa.String(128), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("cached", sa.Boolean(), nullable=False),
        sa.Column("covered", sa.Integer(), nullable=False),
        sa.Column("amount_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("royalties_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("cost_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("unbilled_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("signature", sa.String(64)),
        sa.Column("finished_ms", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_node_executions"),
        sa.UniqueConstraint("run_id", "node_key", name="uq_node_executions_run_id_node_key"),
    )
    op.create_index("ix_node_executions_owner", "node_executions", ["owner", "finished_ms"])
    op.create_index("ix_node_executions_plan", "node_executions", ["plan", "finished_ms"])
    op.create_index("ix_node_executions_signature", "node_executions", ["owner", "signature"])
    op.create_table(
        "listing_uses",
        sa.Column("seq", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("run_id", sa.String(128), nullable=False),
        sa.Column("node_key", sa.String(128), nullable=False),
        sa.Column("listing", sa.String(256), nullable=False),
        sa.Column("listing_type", sa.String(64), nullable=False),
        sa.Column("creator", sa.String(128), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("amount_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("earned_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("split", sa.String(64), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_listing_uses"),
    )
    op.create_index("ix_listing_uses_creator", "listing_uses", ["creator", "used_ms"])
    op.create_index("ix_listing_uses_listing", "listing_uses", ["listing", "used_ms"])
    op.create_index("ix_listing_uses_run", "listing_uses", ["run_id"])
    op.create_table(
        "usage_events",
        sa.Column("seq", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("event_type", sa.String(64), nullable=False),
        sa.Column("run_id", sa.String(128)),
        sa.Column("listing", sa.String(256)),
        sa.Column("microcredits", sa.BigInteger(), nullable=False),
        sa.Column("details", sa.LargeBinary()),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_usage_events"),
    )
    op.create_index("ix_usage_events_owner", "usage_events", ["owner", "created_ms"])


def downgrade() -> None:
    op.drop_table("usage_events")
    op.drop_table("listing_uses")
    op.drop_table("node_executions")
    op.drop_table("run_quotes")
    op.drop_table("trial_grants")
    op.drop_table("quota_use")
    op.drop_table("subscriptions")
