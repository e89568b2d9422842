"""Tables of metering: what runs were quoted, what their nodes were charged, which listings were used, and how runs ended."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from marquetry.marketplace.schema import Sequence, metadata

run_quotes = Table(
    "run_quotes",
    metadata,
    Column("run_id", String(128), primary_key=True),
    Column("owner", String(128), nullable=False),
    Column("plan", String(100), nullable=False),
    Column("maximum_microcredits", BigInteger, nullable=False),
    Column("quoted_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),  # when the run ended, and what was left went back
    Column("state", String(16), nullable=False),  # open, completed, failed or cancelled
    Column("charged_microcredits", BigInteger, nullable=False),  # final once it is closed
    Column("terms", LargeBinary, nullable=False),  # MessagePack, see `terms`
)
Index("ix_run_quotes_owner", run_quotes.c.owner, run_quotes.c.quoted_ms)
Index("ix_run_quotes_state", run_quotes.c.state)

node_executions = Table(
    "node_executions",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("run_id", String(128), nullable=False),
    Column("node_key", String(128), nullable=False),  # the node's id, or the digest of a long one
    Column("node_id", String(1024), nullable=False),
    Column("origin_id", String(1024), nullable=False),  # the submitted node that it was expanded from
    Column("owner", String(128), nullable=False),
    Column("plan", String(100), nullable=False),
    Column("operation", String(128), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("cached", Boolean, nullable=False),
    Column("covered", Integer, nullable=False),  # images that the plan's quota paid for
    Column("amount_microcredits", BigInteger, nullable=False),
    Column("royalties_microcredits", BigInteger, nullable=False),
    Column("cost_microcredits", BigInteger, nullable=False),
    Column("unbilled_microcredits", BigInteger, nullable=False),  # what it would have cost beyond the quote
    Column("duration_ms", BigInteger, nullable=False),
    Column("signature", String(64)),  # what it made, for its owner's later quotes
    Column("finished_ms", BigInteger, nullable=False),
    Column("lines", LargeBinary, nullable=False),  # MessagePack of a Charge
    UniqueConstraint("run_id", "node_key", name="uq_node_executions_run_id_node_key"),
)
Index("ix_node_executions_owner", node_executions.c.owner, node_executions.c.finished_ms)
Index("ix_node_executions_signature", node_executions.c.owner, node_executions.c.signature)
Index("ix_node_executions_plan", node_executions.c.plan, node_executions.c.finished_ms)

listing_uses = Table(
    "listing_uses",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("run_id", String(128), nullable=False),
    Column("node_key", String(128), nullable=False),
    Column("listing", String(256), nullable=False),
    Column("listing_type", String(64), nullable=False),
    Column("creator", String(128), nullable=False),
    Column("owner", String(128), nullable=False),  # who used it
    Column("mode", String(16), nullable=False),
    Column("amount_microcredits", BigInteger, nullable=False),
    Column("earned_microcredits", BigInteger, nullable=False),
    Column("split", String(64), nullable=False),
    Column("used_ms", BigInteger, nullable=False),
)
Index("ix_listing_uses_creator", listing_uses.c.creator, listing_uses.c.used_ms)
Index("ix_listing_uses_listing", listing_uses.c.listing, listing_uses.c.used_ms)
Index("ix_listing_uses_run", listing_uses.c.run_id)

usage_events = Table(
    "usage_events",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("owner", String(128), nullable=False),
    Column("event_type", String(64), nullable=False),  # generation.completed, generation.failed, generation.cancelled, balance.low
    Column("run_id", String(128)),
    Column("listing", String(256)),  # of the flow that was run, where it was one
    Column("microcredits", BigInteger, nullable=False),
    Column("details", LargeBinary),  # JSON
    Column("created_ms", BigInteger, nullable=False),
)
Index("ix_usage_events_owner", usage_events.c.owner, usage_events.c.created_ms)
