"""Batches, schedules and webhooks; the shares and the expected times of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("max_running", sa.Integer()))
    op.add_column("jobs", sa.Column("expected_ms", sa.BigInteger()))
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("events", sa.LargeBinary(), nullable=False),
        sa.Column("description", sa.String(256), nullable=False),
        sa.Column("secret", sa.String(128), nullable=False),
        sa.Column("old_secret", sa.String(128)),
        sa.Column("old_until_ms", sa.BigInteger()),
        sa.Column("job_id", sa.String(128)),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.String(500)),
        sa.Column("dead_in_row", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    _index("ix_webhooks_owner", "webhooks", ["owner", "created_ms"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("webhook_id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_ms", sa.BigInteger(), nullable=False),
        sa.Column("claimed_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("claim", sa.String(32)),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger()),
        sa.Column("last_status", sa.Integer()),
        sa.Column("last_error", sa.String(500)),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhooks.id"], name="fk_webhook_deliveries_webhook_id_webhooks", ondelete="CASCADE"),
    )
    _index("ix_webhook_deliveries_ended", "webhook_deliveries", ["ended_ms"])
    _index("ix_webhook_deliveries_owner", "webhook_deliveries", ["owner", "state", "created_ms"])
    _index("ix_webhook_deliveries_pending", "webhook_deliveries", ["next_ms"], where="state = 'pending'")
    _index("ix_webhook_deliveries_webhook", "webhook_deliveries", ["webhook_id", "created_ms"])
    op.create_table(
        "webhook_tries",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("delivery_id", sa.String(64), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("error", sa.String(500)),
        sa.PrimaryKeyConstraint("seq", name="pk_webhook_tries"),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["webhook_deliveries.id"], name="fk_webhook_tries_delivery_id_webhook_deliveries", ondelete="CASCADE"
        ),
    )
    _index("ix_webhook_tries_delivery", "webhook_tries", ["delivery_id", "seq"])
    op.create_table(
        "automation_marks",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_automation_marks"),
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_ms", sa.BigInteger()),
        sa.Column("quote", sa.LargeBinary()),
        sa.Column("fingerprint", sa.LargeBinary()),
        sa.Column("idempotency_key", sa.String(256)),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
    )
    _index("ix_batches_idempotency", "batches", ["owner", "idempotency_key"], where="idempotency_key IS NOT NULL", unique=True)
    _index("ix_batches_owner", "batches", ["owner", "created_ms"])
    op.create_table(
        "batch_items",
        sa.Column("batch_id", sa.String(64), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("inputs", sa.LargeBinary(), nullable=False),
        sa.Column("job_id", sa.String(128)),
        sa.Column("state", sa.String(16)),
        sa.Column("error", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("batch_id", "place", name="pk_batch_items"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="fk_batch_items_batch_id_batches", ondelete="CASCADE"),
    )
    _index("ix_batch_items_job", "batch_items", ["job_id"])
    op.create_table(
        "schedules",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("graph", sa.LargeBinary(), nullable=False),
        sa.Column("targets", sa.LargeBinary()),
        sa.Column("cron", sa.String(100)),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("during", sa.String(32)),
        sa.Column("missed", sa.String(8), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("due_ms", sa.BigInteger()),
        sa.Column("next_ms", sa.BigInteger()),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(500)),
        sa.PrimaryKeyConstraint("id", name="pk_schedules"),
    )
    _index("ix_schedules_next", "schedules", ["next_ms"], where="state = 'active'")
    _index("ix_schedules_owner", "schedules", ["owner", "created_ms"])
    op.create_table(
        "schedule_runs",
        sa.Column("schedule_id", sa.String(64), nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("job_id", sa.String(128)),
        sa.Column("error", sa.String(500)),
        sa.PrimaryKeyConstraint("schedule_id", "due_ms", name="pk_schedule_runs"),
        sa.ForeignKeyConstraint(["schedule_id"], ["schedules.id"], name="fk_schedule_runs_schedule_id_schedules", ondelete="CASCADE"),
    )
    op.create_table(
        "node_times",
        sa.Column("node_type", sa.String(256), nullable=False),
        sa.Column("model", sa.String(512), nullable=False),
        sa.Column("samples", sa.LargeBinary(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node_type", "model", name="pk_node_times"),
    )
    op.create_table(
        "callbacks",
        sa.Column("job_id", sa.String(128), nullable=False),
        sa.Column("execution_id", sa.String(128), nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("assets", sa.LargeBinary(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "execution_id", name="pk_callbacks"),
    )


def downgrade() -> None:
    for name in (
        "callbacks",
        "node_times",
        "schedule_runs",
        "schedules",
        "batch_items",
        "batches",
        "automation_marks",
        "webhook_tries",
        "webhook_deliveries",
        "webhooks",
    ):
        op.drop_table(name)
    op.drop_column("jobs", "expected_ms")
    op.drop_column("jobs", "max_running")


def _index(name: str, table: str, columns: list[str], where: str | None = None, unique: bool = False) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)
