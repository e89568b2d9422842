"""Payments: orders, providers' events, money in and back, debts, invoices, accounts for payouts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _orders_and_events()
    _money()
    _people_and_invoices()
    _duties()


def _orders_and_events() -> None:
    op.create_table(
        "payment_orders",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("item", sa.String(100), nullable=False),
        sa.Column("interval", sa.String(8), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("microcredits", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("session_id", sa.String(256), nullable=False),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("provider_subscription_id", sa.String(256), nullable=False),
        sa.Column("synced_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_payment_orders_ck_payment_orders_amount")),
        sa.PrimaryKeyConstraint("id", name="pk_payment_orders"),
        sa.UniqueConstraint("key", name="uq_payment_orders_key"),
    )
    op.create_index("ix_payment_orders_owner", "payment_orders", ["owner", "created_ms"])
    op.create_index("ix_payment_orders_session", "payment_orders", ["provider", "session_id"])
    op.create_index("ix_payment_orders_state", "payment_orders", ["state", "created_ms"])
    op.create_index("ix_payment_orders_subscription", "payment_orders", ["provider", "provider_subscription_id"])
    op.create_table(
        "payment_events",
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("id", sa.String(256), nullable=False),
        sa.Column("type", sa.String(100), nullable=False),
        sa.Column("reference", sa.String(256), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("event_ms", sa.BigInteger(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "id", name="pk_payment_events"),
    )
    op.create_index("ix_payment_events_waiting", "payment_events", ["outcome", "provider", "reference"])


def _money() -> None:
    op.create_table(
        "payments",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("order_id", sa.String(64), nullable=False),
        sa.Column("subscription_id", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("provider_payment_id", sa.String(256), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("description", sa.String(500), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("microcredits", sa.BigInteger(), nullable=False),
        sa.Column("purse", sa.String(8), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.Column("dispute", sa.String(8), nullable=False),
        sa.Column("invoice", sa.String(40), nullable=False),
        sa.Column("paid_ms", sa.BigInteger(), nullable=False),
        sa.Column("event_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("refunded_minor >= 0 AND refunded_minor <= amount_minor", name=op.f("ck_payments_ck_payments_refunded")),
        sa.PrimaryKeyConstraint("id", name="pk_payments"),
        sa.UniqueConstraint("provider", "provider_payment_id", name="uq_payments_provider_provider_payment_id"),
    )
    op.create_index("ix_payments_owner", "payments", ["owner", "paid_ms"])
    op.create_index("ix_payments_paid_ms", "payments", ["paid_ms"])
    op.create_index("ix_payments_subscription", "payments", ["subscription_id", "event_ms"])
    op.create_table(
        "payment_refunds",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("payment_id", sa.String(64), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("microcredits", sa.BigInteger(), nullable=False),
        sa.Column("taken_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("provider_refund_id", sa.String(256), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("made_by", sa.String(128), nullable=False),
        sa.Column("credit_note", sa.String(40), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_payment_refunds"),
        sa.UniqueConstraint("key", name="uq_payment_refunds_key"),
    )
    op.create_index("ix_payment_refunds_owner", "payment_refunds", ["owner", "created_ms"])
    op.create_index("ix_payment_refunds_payment", "payment_refunds", ["payment_id", "created_ms"])
    op.create_index("ix_payment_refunds_state", "payment_refunds", ["state", "created_ms"])
    op.create_table(
        "payment_disputes",
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("id", sa.String(256), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("payment_id", sa.String(64), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("microcredits", sa.BigInteger(), nullable=False),
        sa.Column("taken_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("provider", "id", name="pk_payment_disputes"),
    )
    op.create_index("ix_payment_disputes_owner", "payment_disputes", ["owner", "created_ms"])
    op.create_index("ix_payment_disputes_payment", "payment_disputes", ["payment_id"])
    op.create_table(
        "credit_debts",
        sa.Column("id", sa.String(400), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("microcredits", sa.BigInteger(), nullable=False),
        sa.Column("settled_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "settled_microcredits >= 0 AND settled_microcredits <= microcredits", name=op.f("ck_credit_debts_ck_credit_debts_settled")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_credit_debts"),
    )
    op.create_index("ix_credit_debts_owner", "credit_debts", ["owner", "state"])
    op.create_index("ix_credit_debts_state", "credit_debts", ["state", "created_ms"])


def _people_and_invoices() -> None:
    op.create_table(
        "payment_customers",
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("customer_id", sa.String(256), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "provider", name="pk_payment_customers"),
    )
    op.create_table(
        "billing_details",
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("address", sa.String(1000), nullable=False),
        sa.Column("country", sa.String(2), nullable=False),
        sa.Column("tax_id", sa.String(64), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_billing_details"),
    )
    op.create_table(
        "invoice_numbers",
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("year", name="pk_invoice_numbers"),
    )
    op.create_table(
        "invoices",
        sa.Column("number", sa.String(40), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("payment_id", sa.String(64), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("issued_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_invoices"),
        sa.UniqueConstraint("year", "place", name="uq_invoices_year_place"),
    )
    op.create_index("ix_invoices_owner", "invoices", ["owner", "issued_ms"])


def _duties() -> None:
    op.create_table(
        "payment_recoveries",
        sa.Column("subscription_id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("reference", sa.String(256), nullable=False),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("next_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", name="pk_payment_recoveries"),
    )
    op.create_index("ix_payment_recoveries_next_ms", "payment_recoveries", ["next_ms"])
    op.create_table(
        "payment_duties",
        sa.Column("id", sa.String(400), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("reference", sa.String(256), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_ms", sa.BigInteger(), nullable=False),
        sa.Column("done_ms", sa.BigInteger(), nullable=True),
        sa.Column("fault", sa.String(500), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_payment_duties"),
    )
    op.create_index("ix_payment_duties_next", "payment_duties", ["done_ms", "next_ms"])
    op.create_table(
        "payout_accounts",
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("account_id", sa.String(256), nullable=False),
        sa.Column("payouts_enabled", sa.Boolean(), nullable=False),
        sa.Column("details_submitted", sa.Boolean(), nullable=False),
        sa.Column("synced_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "provider", name="pk_payout_accounts"),
    )
    op.create_index("ix_payout_accounts_account", "payout_accounts", ["provider", "account_id"])


def downgrade() -> None:
    for table in (
        "payout_accounts", "payment_duties", "payment_recoveries", "invoices", "invoice_numbers", "billing_details", "payment_customers",
        "credit_debts", "payment_disputes", "payment_refunds", "payments", "payment_events", "payment_orders",
    ):  # fmt: skip
        op.drop_table(table)
