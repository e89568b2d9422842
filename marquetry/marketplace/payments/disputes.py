"""Disputes: a payer's bank takes the money back. Its credits go at once, and come back if the dispute is won."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from marquetry.marketplace.payments import debts
from marquetry.marketplace.payments.events import Disputed
from marquetry.marketplace.payments.money import part_of, shown
from marquetry.marketplace.payments.receipts import Payment, change_payment
from marquetry.marketplace.payments.refunds import taken_by_disputes
from marquetry.marketplace.payments.tables import disputes

if TYPE_CHECKING:
    from sqlalchemy import Connection

columns = disputes.c


def note_dispute(connection: Connection, provider: str, said: Disputed, payment: Payment, now_ms: int) -> bool:
    """Book what is said of a dispute; whether something changed. The end of a dispute whose beginning was never heard of begins it too."""
    where = (columns.provider == provider, columns.id == said.dispute_id)
    row = connection.execute(select(disputes).where(*where).with_for_update()).first()
    if row is None:
        _begin(connection, provider, said, payment, now_ms)
        row = connection.execute(select(disputes).where(*where)).one()
        if said.state == "open":
            return True
    if row.state != "open" or said.state == "open":
        return False
    if said.state == "won":
        text = "the dispute was decided for us; its credits are back"
        id = _debt(provider, said.dispute_id)
        debts.give_back(connection, id, payment.owner, row.taken_microcredits, payment.purse, "dispute_won", text, now_ms)
    connection.execute(update(disputes).where(*where).values(state=said.state, finished_ms=now_ms))
    change_payment(connection, payment.id, dispute=said.state)
    return True


def disputes_of(connection: Connection, payment_ids: list[str]) -> dict[str, list[Any]]:
    """Rows of each of these payments."""
    found: dict[str, list[Any]] = {}
    for row in connection.execute(select(disputes).where(columns.payment_id.in_(payment_ids)).order_by(columns.created_ms)):
        found.setdefault(row.payment_id, []).append(row)
    return found


def _begin(connection: Connection, provider: str, said: Disputed, payment: Payment, now_ms: int) -> None:
    left = payment.microcredits - part_of(payment.microcredits, payment.refunded_minor, payment.amount_minor)
    left -= taken_by_disputes(connection, payment.id)
    amount = min(said.amount_minor, payment.amount_minor) if said.currency == payment.currency else payment.amount_minor
    wanted = max(0, min(left, part_of(payment.microcredits, amount, payment.amount_minor)))
    text = f"disputed with the bank: {shown(amount, payment.currency)}, {payment.description}"
    taken = debts.take_back(connection, _debt(provider, said.dispute_id), payment.owner, wanted, payment.purse, "dispute", text, now_ms)
    values = {
        "provider": provider,
        "id": said.dispute_id,
        "owner": payment.owner,
        "payment_id": payment.id,
        "amount_minor": amount,
        "microcredits": wanted,
        "taken_microcredits": taken,
        "state": "open",
        "reason": said.reason[:200],
        "created_ms": now_ms,
        "finished_ms": None,
    }
    connection.execute(insert(disputes).values(**values))
    change_payment(connection, payment.id, dispute="open")


def _debt(provider: str, dispute_id: str) -> str:
    return f"dispute {provider} {dispute_id}"
