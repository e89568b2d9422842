"""Receipts: money that has come in, what was given for it, and its invoice: all in one transaction, once for each payment of a provider."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, tuple_, update

from marquetry.marketplace import ledger
from marquetry.marketplace.payments import debts
from marquetry.marketplace.payments.errors import UnknownPayment
from marquetry.marketplace.payments.invoices import Issue, Seller, Tax, issue
from marquetry.marketplace.payments.tables import FOREIGN_ID, payments

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marquetry.marketplace.ledger.values import Purse
    from marquetry.marketplace.plans.catalogue import Plans

columns = payments.c
PACK, PERIOD, CHANGE, MANUAL, UNEXPECTED = "pack", "period", "change", "manual", "unexpected"
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator has decided. `ladder_days`: when after a failed payment it is tried and told again; in the end the plan ends."""

    plans: Plans
    seller: Seller = field(default_factory=lambda: Seller("Marquetry"))
    taxes: Sequence[Tax] = ()
    ladder_days: Sequence[int] = (0, 3, 7, 14)
    ends_days: int = 21


@dataclass(frozen=True, slots=True)
class Payment:
    """A row. `unexpected`: money for which nothing was given, because it is not what our order says; an admin gives it back."""

    id: str
    owner: str
    order_id: str
    subscription_id: str
    provider: str
    provider_payment_id: str
    kind: str
    description: str
    currency: str
    amount_minor: int
    microcredits: int
    purse: Purse
    refunded_minor: int
    dispute: str
    invoice: str
    paid_ms: int
    event_ms: int


@dataclass(frozen=True, slots=True)
class Received:
    """Money that is to be booked. `microcredits` are credited here for packs; periods grant theirs through the plan."""

    owner: str
    provider: str
    payment_id: str
    kind: str
    description: str
    currency: str
    amount_minor: int
    microcredits: int = 0
    purse: Purse = "paid"
    order_id: str = ""
    subscription_id: str = ""
    event_ms: int = 0


def receive(connection: Connection, money: Received, rules: Rules, now_ms: int) -> Payment:
    """Book it: row, credits, debts paid from them, invoice. What was booked before is given as it is."""
    known = find_foreign(connection, money.provider, (money.payment_id,))
    if known is not None:
        return known
    payment = Payment(
        uuid.uuid4().hex, money.owner, money.order_id, money.subscription_id, money.provider, money.payment_id[:FOREIGN_ID], money.kind,
        money.description[:500], money.currency, money.amount_minor, money.microcredits, money.purse, 0, "", "", now_ms, money.event_ms or now_ms,
    )  # fmt: skip
    wanted = Issue("invoice", payment.owner, payment.id, payment.description, payment.currency, payment.amount_minor, payment.provider)
    payment = replace(payment, invoice=issue(connection, wanted, rules.seller, rules.taxes, now_ms).number)
    connection.execute(insert(payments).values(**{name: getattr(payment, name) for name in payment.__slots__}))
    if payment.microcredits and payment.purse == "paid":
        ledger.credit(
            connection,
            owner=payment.owner,
            amount_microcredits=payment.microcredits,
            purse="paid",
            kind="purchase",
            key=f"payment {payment.id}",
            description=payment.description,
            now_ms=now_ms,
        )
        debts.settle(connection, payment.owner, now_ms)
    return payment


def get_payment(connection: Connection, id: str, *, lock: bool = False) -> Payment:
    """Raises UnknownPayment."""
    statement = select(payments).where(columns.id == id)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    if row is None:
        raise UnknownPayment(f"there is no payment '{id[:100]}'")
    return payment_of(row)


def find_foreign(connection: Connection, provider: str, payment_ids: Sequence[str]) -> Payment | None:
    """The payment that the provider knows under one of these ids; it is locked."""
    wanted = [id[:FOREIGN_ID] for id in payment_ids if id]
    statement = select(payments).where(columns.provider == provider, columns.provider_payment_id.in_(wanted)).with_for_update()
    row = connection.execute(statement).first() if wanted else None
    return None if row is None else payment_of(row)


def payments_of(connection: Connection, owner: str | None, *, kinds: Sequence[str] = (), after: str = "", limit: int = 50) -> list[Payment]:
    """Newest first, of an owner or, for None, of everybody; `after` goes on behind the payment of that id."""
    statement = select(payments).order_by(columns.paid_ms.desc(), columns.id.desc()).limit(limit)
    if owner is not None:
        statement = statement.where(columns.owner == owner)
    if kinds:
        statement = statement.where(columns.kind.in_(kinds))
    if after:
        last = get_payment(connection, after)
        if owner not in (None, last.owner):
            raise UnknownPayment(f"there is no payment '{after[:100]}'")
        statement = statement.where(tuple_(columns.paid_ms, columns.id) < tuple_(last.paid_ms, last.id))
    return [payment_of(row) for row in connection.execute(statement)]


def paid_since(connection: Connection, subscription_id: str, event_ms: int) -> bool:
    """Whether a period of a subscription was paid at that time of the provider's clock, or after it."""
    where = (columns.subscription_id == subscription_id, columns.event_ms >= event_ms)
    return connection.execute(select(columns.id).where(*where)).first() is not None


def change_payment(connection: Connection, id: str, **values: Any) -> None:
    connection.execute(update(payments).where(columns.id == id).values(**values))


def payment_of(row: Any) -> Payment:
    return Payment(**row._mapping)
