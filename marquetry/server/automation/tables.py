"""Tables of batches, schedules, webhooks and measured times. Times are milliseconds since the epoch, bytes are JSON as it was written once."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, String, Table

from marquetry.server.database.tables import Sequence, metadata

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("url", String(2048), nullable=False),
    Column("events", LargeBinary, nullable=False),  # list of names
    Column("description", String(256), nullable=False),
    Column("secret", String(128), nullable=False),
    Column("old_secret", String(128)),
    Column("old_until_ms", BigInteger),  # until then messages are signed with the old secret too
    Column("job_id", String(128)),  # the only job that it hears of
    Column("enabled", Boolean, nullable=False),
    Column("disabled_reason", String(500)),
    Column("dead_in_row", Integer, nullable=False),  # messages that were given up since one last arrived
    Column("created_ms", BigInteger, nullable=False),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("webhook_id", String(64), ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("owner", String(256), nullable=False),
    Column("type", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),  # pending, delivered, dead
    Column("attempts", Integer, nullable=False),  # since it was last sent anew
    Column("next_ms", BigInteger, nullable=False),
    Column("claimed_until_ms", BigInteger, nullable=False),
    Column("claim", String(32)),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("last_status", Integer),
    Column("last_error", String(500)),
)

webhook_tries = Table(
    "webhook_tries",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("delivery_id", String(64), ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("status", Integer),
    Column("error", String(500)),
)

automation_marks = Table(
    "automation_marks",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

batches = Table(
    "batches",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("name", String(256), nullable=False),
    Column("total", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
    Column("quote", LargeBinary),  # what it was said to cost, where there is a market
    Column("fingerprint", LargeBinary),
    Column("idempotency_key", String(256)),
)

batch_items = Table(
    "batch_items",
    metadata,
    Column("batch_id", String(64), ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("inputs", LargeBinary, nullable=False),
    Column("job_id", String(128)),  # none: its inputs could not be used
    Column("state", String(16)),  # the final one, once it is known
    Column("error", LargeBinary),
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("name", String(256), nullable=False),
    Column("graph", LargeBinary, nullable=False),
    Column("targets", LargeBinary),
    Column("cron", String(100)),  # none: it runs once
    Column("timezone", String(64), nullable=False),
    Column("during", String(32)),  # hours within which it runs: off_peak, or HH:MM-HH:MM
    Column("missed", String(8), nullable=False),  # run, skip
    Column("state", String(16), nullable=False),  # active, paused, done
    Column("due_ms", BigInteger),  # the next time that it names
    Column("next_ms", BigInteger),  # when that is run: the same, or later for its hours
    Column("created_ms", BigInteger, nullable=False),
    Column("runs", Integer, nullable=False),
    Column("last_error", String(500)),
)

schedule_runs = Table(
    "schedule_runs",
    metadata,
    Column("schedule_id", String(64), ForeignKey("schedules.id", ondelete="CASCADE"), primary_key=True),
    Column("due_ms", BigInteger, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # started, missed, failed
    Column("job_id", String(128)),
    Column("error", String(500)),
)

node_times = Table(
    "node_times",
    metadata,
    Column("node_type", String(256), primary_key=True),
    Column("model", String(512), primary_key=True),
    Column("samples", LargeBinary, nullable=False),  # the last durations in microseconds
    Column("updated_ms", BigInteger, nullable=False),
)

callbacks = Table(
    "callbacks",
    metadata,
    Column("job_id", String(128), primary_key=True),
    Column("execution_id", String(128), primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("status", String(32), nullable=False),
    Column("progress", Integer, nullable=False),
    Column("assets", LargeBinary, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)
