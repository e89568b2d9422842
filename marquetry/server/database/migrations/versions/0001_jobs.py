"""Jobs, their graphs and the indexes of queue and history."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("client_id", sa.String(256), nullable=False),
        sa.Column("client", sa.String(256), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("number", sa.Double(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("affinity", sa.String(512), nullable=False),
        sa.Column("passed", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("started_ms", sa.BigInteger()),
        sa.Column("finished_ms", sa.BigInteger()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("set_aside", sa.Boolean(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("lease_token", sa.String(32)),
        sa.Column("lease_holder", sa.String(256)),
        sa.Column("lease_expires_ms", sa.BigInteger()),
        sa.Column("idempotency_key", sa.String(256)),
        sa.Column("fingerprint", sa.LargeBinary()),
        sa.Column("outputs", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("seq", name="pk_jobs"),
        sa.UniqueConstraint("id", name="uq_jobs_id"),
    )
    op.create_table(
        "job_graphs",
        sa.Column("job_id", sa.String(128), nullable=False),
        sa.Column("graph", sa.LargeBinary(), nullable=False),
        sa.Column("extra", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_job_graphs"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_graphs_job_id_jobs", ondelete="CASCADE"),
    )
    queued, running = "state = 'queued'", "state = 'running'"
    _index("ix_jobs_turn", [sa.text("priority DESC"), "turn", "seq"], queued)
    _index("ix_jobs_owner_number", ["owner", "priority", "number", "seq"], queued)
    _index("ix_jobs_owner_turn", ["owner", "priority", "turn"], queued)
    _index("ix_jobs_client", ["client"], queued)
    _index("ix_jobs_running", ["priority", "turn"], running)
    _index("ix_jobs_finished", ["finished_ms", "seq"], "finished_ms IS NOT NULL")
    _index("ix_jobs_idempotency", ["owner", "idempotency_key"], "idempotency_key IS NOT NULL", unique=True)
    op.create_index("ix_jobs_owner", "jobs", ["owner", "seq"])


def downgrade() -> None:
    op.drop_table("job_graphs")
    op.drop_table("jobs")


def _index(name: str, columns: list[str | sa.TextClause], where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, "jobs", columns, unique=unique, sqlite_where=condition, postgresql_where=condition)
