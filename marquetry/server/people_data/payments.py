"""Payments: what the law wants kept stays, as invoices do with what is printed on them; how somebody is known to providers goes.

Who leaves is charged no more: their subscription ends, and its provider is told until it has heard it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from marquetry.server.people_data.owned import Owned, OwnedRows

if TYPE_CHECKING:
    from sqlalchemy import Connection


class PaymentRows(OwnedRows):
    """A `Room`."""

    def erase(self, connection: Connection, owner: str, now_ms: int) -> dict[str, str]:
        from marquetry.marketplace.payments.duties import cancel_at_provider
        from marquetry.marketplace.plans import subscriptions

        told = super().erase(connection, owner, now_ms)
        known = subscriptions.in_force(connection, owner, now_ms)
        if known is not None and known.provider:
            subscriptions.set_status(connection, known.id, "canceled", now_ms)
            cancel_at_provider(connection, known, now_ms)
            told["subscriptions"] = "the subscription was canceled; its provider is told"
        return told


ROOM = PaymentRows(
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
