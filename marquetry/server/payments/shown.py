"""Rows of payments as answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marquetry.marketplace.payments.debts import Debt
from marquetry.marketplace.payments.disputes import disputes_of
from marquetry.marketplace.payments.orders import Order
from marquetry.marketplace.payments.receipts import Payment, payments_of
from marquetry.marketplace.payments.refunds import Refund, refunds_of
from marquetry.server.api.payment_models import DebtModel, DisputeModel, OrderModel, PaymentModel, RefundModel, SubscriptionState

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marquetry.marketplace.plans.subscriptions import Subscription

COLUMNS = (
    "payment_id",
    "paid_ms",
    "kind",
    "description",
    "provider",
    "currency",
    "amount_minor",
    "refunded_minor",
    "microcredits",
    "invoice",
)


def order_model(order: Order) -> OrderModel:
    return OrderModel(
        order_id=order.id,
        kind=order.kind,
        item=order.item,
        state=order.state,
        provider=order.provider,
        currency=order.currency,
        amount_minor=order.amount_minor,
        microcredits=order.microcredits,
        url=order.url,
        created_ms=order.created_ms,
    )


def subscription_model(known: Subscription, page: str = "") -> SubscriptionState:
    names = [name for name in SubscriptionState.model_fields if name not in ("subscription_id", "page")]
    return SubscriptionState(subscription_id=known.id, page=page, **{name: getattr(known, name) for name in names})


def payment_models(
    connection: Connection, owner: str | None, *, kinds: tuple[str, ...] = (), after: str = "", limit: int = 50
) -> list[PaymentModel]:
    """Payments with their refunds and disputes, newest first."""
    found = payments_of(connection, owner, kinds=kinds, after=after, limit=limit)
    ids = [payment.id for payment in found]
    refunded, disputed = refunds_of(connection, ids), disputes_of(connection, ids)
    return [_payment(payment, refunded.get(payment.id, []), disputed.get(payment.id, [])) for payment in found]


def refund_model(refund: Refund) -> RefundModel:
    names = ("payment_id", "state", "amount_minor", "microcredits", "taken_microcredits", "credit_note", "reason", "created_ms")
    return RefundModel(refund_id=refund.id, **{name: getattr(refund, name) for name in names})


def debt_model(debt: Debt) -> DebtModel:
    return DebtModel.model_validate({name: getattr(debt, name) for name in DebtModel.model_fields})


def _payment(payment: Payment, refunds: list[Refund], disputes: list[Any]) -> PaymentModel:
    names = ("owner", "kind", "description", "provider", "currency", "amount_minor", "refunded_minor", "microcredits", "invoice", "paid_ms")
    return PaymentModel(
        payment_id=payment.id,
        invoice_url=f"/api/v1/billing/invoices/{payment.invoice}.pdf",
        refunds=[refund_model(refund) for refund in refunds],
        disputes=[DisputeModel.model_validate({name: getattr(row, name) for name in DisputeModel.model_fields}) for row in disputes],
        **{name: getattr(payment, name) for name in names},
    )
