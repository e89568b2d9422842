"""Payments: what was paid and the invoices for it stay as long as the law wants books; who it was is told nowhere else any more."""

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
