"""Tables of payments. Money of currencies is in minor units (cents, paise), credits in micro-credits."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from marquetry.marketplace.schema import metadata

ID = 64
OWNER = 128
PROVIDER = 32
FOREIGN_ID = 256
URL = 2048

orders = Table(
    "payment_orders",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("owner", String(OWNER), nullable=False),
    Column("key", String(ID), nullable=False),  # digest of what makes the order happen once
    Column("kind", String(16), nullable=False),  # pack or subscription
    Column("item", String(100), nullable=False),  # id of the pack, or of the plan
    Column("interval", String(8), nullable=False),  # of subscriptions: month or year
    Column("provider", String(PROVIDER), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("microcredits", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # created, open, paid, expired or failed
    Column("session_id", String(FOREIGN_ID), nullable=False),
    Column("url", String(URL), nullable=False),
    Column("provider_subscription_id", String(FOREIGN_ID), nullable=False),
    Column("synced_ms", BigInteger, nullable=False),  # when the provider last said how the subscription stands, by its clock
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    UniqueConstraint("key"),
    CheckConstraint("amount_minor > 0", name="amount"),
)
Index("ix_payment_orders_owner", orders.c.owner, orders.c.created_ms)
Index("ix_payment_orders_session", orders.c.provider, orders.c.session_id)
Index("ix_payment_orders_subscription", orders.c.provider, orders.c.provider_subscription_id)
Index("ix_payment_orders_state", orders.c.state, orders.c.created_ms)

events = Table(
    "payment_events",
    metadata,
    Column("provider", String(PROVIDER), primary_key=True),
    Column("id", String(FOREIGN_ID), primary_key=True),
    Column("type", String(100), nullable=False),
    Column("reference", String(FOREIGN_ID), nullable=False),  # what an event that came too early waits for
    Column("outcome", String(16), nullable=False),  # applied, replayed, ignored, mismatch or waiting
    Column("content", LargeBinary, nullable=False),  # JSON of what was understood
    Column("event_ms", BigInteger, nullable=False),  # by the provider's clock
    Column("received_ms", BigInteger, nullable=False),
)
Index("ix_payment_events_waiting", events.c.outcome, events.c.provider, events.c.reference)

payments = Table(
    "payments",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("owner", String(OWNER), nullable=False),
    Column("order_id", String(ID), nullable=False),
    Column("subscription_id", String(ID), nullable=False),
    Column("provider", String(PROVIDER), nullable=False),
    Column("provider_payment_id", String(FOREIGN_ID), nullable=False),
    Column("kind", String(16), nullable=False),  # pack, period, change, manual or unexpected
    Column("description", String(500), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("microcredits", BigInteger, nullable=False),  # what was given for it
    Column("purse", String(8), nullable=False),  # paid or granted
    Column("refunded_minor", BigInteger, nullable=False),
    Column("dispute", String(8), nullable=False),  # open, won, lost or empty
    Column("invoice", String(40), nullable=False),
    Column("paid_ms", BigInteger, nullable=False),
    Column("event_ms", BigInteger, nullable=False),
    UniqueConstraint("provider", "provider_payment_id"),
    CheckConstraint("refunded_minor >= 0 AND refunded_minor <= amount_minor", name="refunded"),
)
Index("ix_payments_owner", payments.c.owner, payments.c.paid_ms)
Index("ix_payments_paid_ms", payments.c.paid_ms)
Index("ix_payments_subscription", payments.c.subscription_id, payments.c.event_ms)

refunds = Table(
    "payment_refunds",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("owner", String(OWNER), nullable=False),
    Column("payment_id", String(ID), nullable=False),
    Column("key", String(ID), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("microcredits", BigInteger, nullable=False),  # to be taken back
    Column("taken_microcredits", BigInteger, nullable=False),  # were there; the rest is a debt
    Column("state", String(16), nullable=False),  # begun, done or failed
    Column("provider_refund_id", String(FOREIGN_ID), nullable=False),
    Column("reason", String(500), nullable=False),
    Column("made_by", String(OWNER), nullable=False),  # empty: in the provider's own pages
    Column("credit_note", String(40), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
    UniqueConstraint("key"),
)
Index("ix_payment_refunds_payment", refunds.c.payment_id, refunds.c.created_ms)
Index("ix_payment_refunds_state", refunds.c.state, refunds.c.created_ms)
Index("ix_payment_refunds_owner", refunds.c.owner, refunds.c.created_ms)

disputes = Table(
    "payment_disputes",
    metadata,
    Column("provider", String(PROVIDER), primary_key=True),
    Column("id", String(FOREIGN_ID), primary_key=True),
    Column("owner", String(OWNER), nullable=False),
    Column("payment_id", String(ID), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("microcredits", BigInteger, nullable=False),
    Column("taken_microcredits", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),  # open, won or lost
    Column("reason", String(200), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
)
Index("ix_payment_disputes_owner", disputes.c.owner, disputes.c.created_ms)
Index("ix_payment_disputes_payment", disputes.c.payment_id)

debts = Table(
    "credit_debts",
    metadata,
    Column("id", String(400), primary_key=True),  # what it is owed for: refund <id>, dispute <provider> <id>
    Column("owner", String(OWNER), nullable=False),
    Column("microcredits", BigInteger, nullable=False),
    Column("settled_microcredits", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),  # open, settled or void
    Column("reason", String(500), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),
    CheckConstraint("settled_microcredits >= 0 AND settled_microcredits <= microcredits", name="settled"),
)
Index("ix_credit_debts_owner", debts.c.owner, debts.c.state)
Index("ix_credit_debts_state", debts.c.state, debts.c.created_ms)

customers = Table(
    "payment_customers",
    metadata,
    Column("owner", String(OWNER), primary_key=True),
    Column("provider", String(PROVIDER), primary_key=True),
    Column("customer_id", String(FOREIGN_ID), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

billing_details = Table(
    "billing_details",
    metadata,
    Column("owner", String(OWNER), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("address", String(1000), nullable=False),
    Column("country", String(2), nullable=False),
    Column("tax_id", String(64), nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)

invoice_numbers = Table(
    "invoice_numbers",
    metadata,
    Column("year", Integer, primary_key=True, autoincrement=False),
    Column("last", Integer, nullable=False),
)

invoices = Table(
    "invoices",
    metadata,
    Column("number", String(40), primary_key=True),
    Column("year", Integer, nullable=False),
    Column("place", Integer, nullable=False),  # in its year, from 1 on and without gaps
    Column("kind", String(16), nullable=False),  # invoice or credit_note
    Column("owner", String(OWNER), nullable=False),
    Column("payment_id", String(ID), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),  # JSON of all that is printed on it
    Column("issued_ms", BigInteger, nullable=False),
    UniqueConstraint("year", "place"),
)
Index("ix_invoices_owner", invoices.c.owner, invoices.c.issued_ms)

recoveries = Table(
    "payment_recoveries",
    metadata,
    Column("subscription_id", String(ID), primary_key=True),
    Column("owner", String(OWNER), nullable=False),
    Column("provider", String(PROVIDER), nullable=False),
    Column("reference", String(FOREIGN_ID), nullable=False),  # the invoice that was not paid
    Column("url", String(URL), nullable=False),  # where it can be paid
    Column("step", Integer, nullable=False),  # of the ladder, how many were taken
    Column("since_ms", BigInteger, nullable=False),
    Column("next_ms", BigInteger, nullable=False),
)
Index("ix_payment_recoveries_next_ms", recoveries.c.next_ms)

duties = Table(
    "payment_duties",
    metadata,
    Column("id", String(400), primary_key=True),  # what is to be told to a provider: cancel <subscription>
    Column("provider", String(PROVIDER), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("reference", String(FOREIGN_ID), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_ms", BigInteger, nullable=False),
    Column("done_ms", BigInteger),
    Column("fault", String(500), nullable=False),
)
Index("ix_payment_duties_next", duties.c.done_ms, duties.c.next_ms)

payout_accounts = Table(
    "payout_accounts",
    metadata,
    Column("owner", String(OWNER), primary_key=True),
    Column("provider", String(PROVIDER), primary_key=True),
    Column("account_id", String(FOREIGN_ID), nullable=False),
    Column("payouts_enabled", Boolean, nullable=False),
    Column("details_submitted", Boolean, nullable=False),
    Column("synced_ms", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)
Index("ix_payout_accounts_account", payout_accounts.c.provider, payout_accounts.c.account_id)
