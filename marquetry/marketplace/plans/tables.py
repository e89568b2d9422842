"""Tables of plans: who has which, and what is used of what is counted by the month."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, String, Table

from marquetry.marketplace.schema import metadata

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("owner", String(128), nullable=False),
    Column("plan", String(100), nullable=False),  # family:name
    Column("status", String(16), nullable=False),  # trialing, active, past_due or canceled
    Column("interval", String(8), nullable=False),  # month or year
    Column("currency", String(3), nullable=False),
    Column("price_minor", BigInteger, nullable=False),
    Column("period_start_ms", BigInteger, nullable=False),
    Column("period_end_ms", BigInteger, nullable=False),
    Column("cancel_at_period_end", Boolean, nullable=False),
    Column("next_plan", String(100)),  # what it becomes at the end of the period
    Column("provider", String(32)),
    Column("provider_subscription_id", String(256)),
    Column("granted_until_ms", BigInteger, nullable=False),  # months that begin before it had their grant
    Column("max_concurrency", Integer),
    Column("retention_days", Integer),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)
Index("ix_subscriptions_owner", subscriptions.c.owner, subscriptions.c.status)
Index("ix_subscriptions_provider", subscriptions.c.provider, subscriptions.c.provider_subscription_id)
Index("ix_subscriptions_due", subscriptions.c.status, subscriptions.c.granted_until_ms)

quota_use = Table(
    "quota_use",
    metadata,
    Column("owner", String(128), primary_key=True),
    Column("quota", String(32), primary_key=True),  # images, inpaints, trainings or api_calls
    Column("period_start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("used", BigInteger, nullable=False),
    CheckConstraint("used >= 0", name="used"),
)

trial_grants = Table(
    "trial_grants",
    metadata,
    Column("owner", String(128), primary_key=True),
    Column("campaign", String(100), nullable=False),
    Column("amount_microcredits", BigInteger, nullable=False),
    Column("granted_ms", BigInteger, nullable=False),
)
