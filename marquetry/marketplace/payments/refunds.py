"""Refunds: money back in two steps. The credits are taken when it begins, so that nobody spends them meanwhile; if it fails they come back."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from marquetry.marketplace.payments import debts
from marquetry.marketplace.payments.errors import InvalidBilling, OrderKeyReused, RefundTooLarge
from marquetry.marketplace.payments.invoices import Issue, issue
from marquetry.marketplace.payments.money import part_of, shown
from marquetry.marketplace.payments.receipts import Payment, Rules, change_payment, get_payment
from marquetry.marketplace.payments.tables import disputes, refunds

if TYPE_CHECKING:
    from sqlalchemy import Connection

columns = refunds.c


@dataclass(frozen=True, slots=True)
class Refund:
    """A row. Of `microcredits`, `taken_microcredits` were there; the rest is the debt `refund <id>`."""

    id: str
    owner: str
    payment_id: str
    key: str
    amount_minor: int
    microcredits: int
    taken_microcredits: int
    state: str
    provider_refund_id: str
    reason: str
    made_by: str
    credit_note: str
    created_ms: int
    finished_ms: int | None

    @property
    def debt(self) -> str:
        return f"refund {self.id}"


def begin_refund(
    connection: Connection, payment_id: str, amount_minor: int | None, *, key: str, reason: str, made_by: str, now_ms: int
) -> Refund:
    """Take the credits back; without an amount, all that is left. Once per `key`. Raises UnknownPayment, RefundTooLarge, OrderKeyReused."""
    if amount_minor is not None and amount_minor < 1:
        raise InvalidBilling("a refund has at least one minor unit")
    payment = get_payment(connection, payment_id, lock=True)
    digest = hashlib.sha256(f"{payment_id}\0{key}".encode()).hexdigest()
    found = connection.execute(select(refunds).where(columns.key == digest)).first()
    if found is not None:
        known = refund_of(found)
        if amount_minor not in (None, known.amount_minor):
            raise OrderKeyReused("this key was used for another refund of the payment; take a new key for a new refund")
        return known
    left = payment.amount_minor - payment.refunded_minor
    amount = left if amount_minor is None else amount_minor
    if payment.dispute in ("open", "lost"):
        raise RefundTooLarge("the payment is disputed: the bank has the money, so it can't be refunded as well", left=0)
    if not 0 < amount <= left:
        raise RefundTooLarge(
            f"{shown(left, payment.currency)} is left of this payment; {shown(amount, payment.currency)} can't be refunded", left=left
        )
    back = part_of(payment.microcredits, payment.refunded_minor + amount, payment.amount_minor) - part_of(
        payment.microcredits, payment.refunded_minor, payment.amount_minor
    )
    id = uuid.uuid4().hex
    text = f"refund of {shown(amount, payment.currency)}: {payment.description}"
    taken = debts.take_back(connection, f"refund {id}", payment.owner, back, payment.purse, "refund_purchase", text, now_ms)
    made = Refund(id, payment.owner, payment.id, digest, amount, back, taken, "begun", "", reason[:500], made_by, "", now_ms, None)
    connection.execute(insert(refunds).values(**{name: getattr(made, name) for name in made.__slots__}))
    change_payment(connection, payment.id, refunded_minor=payment.refunded_minor + amount)
    return made


def refund_made(connection: Connection, id: str, provider_refund_id: str, rules: Rules, now_ms: int) -> Refund:
    """The provider has given the money back. The same again changes nothing."""
    refund = get_refund(connection, id, lock=True)
    if refund.state == "done":
        return refund
    payment = get_payment(connection, refund.payment_id, lock=True)
    if refund.state == "failed":  # it worked after all: the credits that came back go again
        again = f"{refund.debt} again"
        debts.take_back(connection, again, refund.owner, refund.microcredits, payment.purse, "refund_purchase", refund.reason, now_ms)
        change_payment(connection, payment.id, refunded_minor=min(payment.refunded_minor + refund.amount_minor, payment.amount_minor))
    wanted = Issue(
        "credit_note", refund.owner, payment.id, f"Refund: {payment.description}", payment.currency, refund.amount_minor, payment.invoice
    )
    note = issue(connection, wanted, rules.seller, rules.taxes, now_ms)
    return _change(connection, id, state="done", provider_refund_id=provider_refund_id, credit_note=note.number, finished_ms=now_ms)


def refund_failed(connection: Connection, id: str, now_ms: int) -> Refund:
    """The money has not gone back: the credits come back. One that was done may fail yet, when a bank does not take it."""
    refund = get_refund(connection, id, lock=True)
    if refund.state == "failed":
        return refund
    payment = get_payment(connection, refund.payment_id, lock=True)
    text = "the refund did not work; its credits are back"
    debts.give_back(connection, refund.debt, refund.owner, refund.taken_microcredits, payment.purse, "refund_failed", text, now_ms)
    change_payment(connection, payment.id, refunded_minor=payment.refunded_minor - refund.amount_minor)
    return _change(connection, id, state="failed", finished_ms=now_ms)


def find_refund(connection: Connection, our_id: str, provider_refund_id: str) -> Refund | None:
    """By our id, else by the provider's."""
    for column, id in ((columns.id, our_id), (columns.provider_refund_id, provider_refund_id)):
        row = connection.execute(select(refunds).where(column == id)).first() if id else None
        if row is not None:
            return refund_of(row)
    return None


def get_refund(connection: Connection, id: str, *, lock: bool = False) -> Refund:
    statement = select(refunds).where(columns.id == id)
    return refund_of(connection.execute(statement.with_for_update() if lock else statement).one())


def remember(connection: Connection, id: str, provider_refund_id: str) -> Refund:
    """The provider has taken it on and will say later how it went."""
    return _change(connection, id, provider_refund_id=provider_refund_id)


def begun(connection: Connection, before_ms: int, limit: int = 50) -> list[tuple[Refund, Payment]]:
    """Refunds of which no provider has said anything: it is to be asked again."""
    where = (columns.state == "begun", columns.provider_refund_id == "", columns.created_ms <= before_ms)
    rows = connection.execute(select(refunds).where(*where).order_by(columns.created_ms).limit(limit)).all()
    return [(refund_of(row), get_payment(connection, row.payment_id)) for row in rows]


def refunds_of(connection: Connection, payment_ids: list[str]) -> dict[str, list[Refund]]:
    """Of each of these payments, oldest first."""
    found: dict[str, list[Refund]] = {}
    for row in connection.execute(select(refunds).where(columns.payment_id.in_(payment_ids)).order_by(columns.created_ms)):
        found.setdefault(row.payment_id, []).append(refund_of(row))
    return found


def taken_by_disputes(connection: Connection, payment_id: str) -> int:
    """Credits that open and lost disputes of a payment took, or made a debt of."""
    total = func.coalesce(func.sum(disputes.c.microcredits), 0)
    where = (disputes.c.payment_id == payment_id, disputes.c.state != "won")
    return int(connection.execute(select(total).where(*where)).scalar_one())


def refund_of(row: Any) -> Refund:
    return Refund(**row._mapping)


def _change(connection: Connection, id: str, **values: Any) -> Refund:
    connection.execute(update(refunds).where(columns.id == id).values(**values))
    return get_refund(connection, id)
