"""Accounts, journal, holds and payouts."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SHARDS = 16
APPEND_ONLY = ("ledger_journal", "ledger_lines")


def upgrade() -> None:
    op.create_table(
        "ledger_chains",
        sa.Column("shard", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("accounts", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", name="pk_ledger_chains"),
    )
    op.create_table(
        "ledger_accounts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, autoincrement=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_accounts"),
        sa.UniqueConstraint("owner", "shard", "kind", name="uq_ledger_accounts_owner"),
        sa.CheckConstraint("balance >= 0 OR kind NOT IN ('paid', 'granted', 'held', 'payable')", name="ck_ledger_accounts_balance"),
    )
    op.create_table(
        "ledger_journal",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, autoincrement=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("request_hash", sa.String(32), nullable=False),
        sa.Column("run_id", sa.String(128), nullable=False),
        sa.Column("node_id", sa.String(512), nullable=False),
        sa.Column("operation", sa.String(128), nullable=False),
        sa.Column("reference", sa.String(256), nullable=False),
        sa.Column("description", sa.String(512), nullable=False),
        sa.Column("reverses", sa.BigInteger()),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_journal"),
        sa.UniqueConstraint("key", name="uq_ledger_journal_key"),
    )
    op.create_table(
        "ledger_lines",
        sa.Column("entry_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("place", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("grant_id", sa.BigInteger()),
        sa.Column("listing", sa.String(256), nullable=False),
        sa.Column("split", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "place", name="pk_ledger_lines"),
    )
    _holds_grants_payouts()
    _index("ix_ledger_journal_run_id", "ledger_journal", "run_id", "run_id <> ''")
    _index("ix_ledger_journal_reverses", "ledger_journal", "reverses", "reverses > 0")
    op.create_index("ix_ledger_lines_account_id", "ledger_lines", ["account_id", "entry_id"])
    _index("ix_ledger_holds_expires_ms", "ledger_holds", "expires_ms", "state = 'open'")
    _index("ix_ledger_holds_owner", "ledger_holds", "owner", "state = 'open'")
    _index("ix_ledger_grants_owner", "ledger_grants", "owner", "remaining > 0")
    _index("ix_ledger_grants_expires_ms", "ledger_grants", "expires_ms", "remaining > 0")
    op.create_index("ix_ledger_payouts_creator", "ledger_payouts", ["creator", "created_ms"])
    chains = sa.table("ledger_chains", *(sa.column(name) for name in ("shard", "place", "hash", "created_ms", "accounts")))
    op.bulk_insert(chains, [{"shard": shard, "place": 0, "hash": "0" * 64, "created_ms": 0, "accounts": 0} for shard in range(SHARDS)])
    for table in APPEND_ONLY:
        _forbid_changes(table)


def downgrade() -> None:
    for table in ("payouts", "grants", "holds", "lines", "journal", "accounts", "chains"):
        op.drop_table(f"ledger_{table}")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION ledger_is_append_only()")


def _holds_grants_payouts() -> None:
    op.create_table(
        "ledger_holds",
        sa.Column("run_id", sa.String(128), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("captured", sa.BigInteger(), nullable=False),
        sa.Column("released", sa.BigInteger(), nullable=False),
        sa.Column("sources", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_ledger_holds"),
        sa.CheckConstraint("captured >= 0 AND released >= 0 AND captured + released <= amount", name="ck_ledger_holds_amount"),
    )
    op.create_table(
        "ledger_grants",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, autoincrement=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_grants"),
        sa.CheckConstraint("remaining >= 0", name="ck_ledger_grants_remaining"),
    )
    op.create_table(
        "ledger_payouts",
        sa.Column("key", sa.String(256), nullable=False),
        sa.Column("creator", sa.String(128), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("parts", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("key", name="pk_ledger_payouts"),
    )


def _index(name: str, table: str, column: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, [column], sqlite_where=condition, postgresql_where=condition)


def _forbid_changes(table: str) -> None:
    message = f"{table} is append-only: correct an entry with another one"
    if op.get_bind().dialect.name == "sqlite":
        for event in ("UPDATE", "DELETE"):
            op.execute(f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} BEGIN SELECT RAISE(ABORT, '{message}'); END")
        replaces = "SELECT 1 FROM ledger_journal WHERE id = NEW.id OR key = NEW.key"
        if table == "ledger_lines":
            replaces = "SELECT 1 FROM ledger_lines WHERE entry_id = NEW.entry_id AND place = NEW.place"
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN EXISTS ({replaces}) BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only: correct an entry with another one', TG_TABLE_NAME; END $$"
    )
    op.execute(f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only()")
    op.execute(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()")
