"""Payments: what the law wants kept stays, as invoices do with what is printed on them; how somebody is known to providers goes."""

from __future__ import annotations

from marquetry.server.people_data.owned import Owned, OwnedRows

ROOM = OwnedRows(
    "payments",
    Owned("payment_orders", way="keep"),
    Owned("payments", way="keep"),
    Owned("payment_refunds", way="keep"),
    Owned("payment_disputes", way="keep"),
    Owned("credit_debts", way="keep"),
    Owned("invoices", way="keep"),
    Owned("payment_customers"),
    Owned("billing_details"),
    Owned("payment_recoveries"),
    Owned("payout_accounts"),
)
