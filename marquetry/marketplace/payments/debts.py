"""Debts: credits that were to be taken back and had been spent. Nobody's credits go below zero; what is owed is a row that its owner sees.

A debt is paid from the next bought credits. Until then the money that went back is missing from what the providers hold for people: the sum of
open debts is what the ledger's clearing account promises too much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, insert, select, update

from marquetry.marketplace import ledger
from marquetry.marketplace.payments.tables import debts

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marquetry.marketplace.ledger.values import Purse

columns = debts.c


@dataclass(frozen=True, slots=True)
class Debt:
    """A row. `id` says what it is owed for."""

    id: str
    owner: str
    microcredits: int
    settled_microcredits: int
    state: str
    reason: str
    created_ms: int
    closed_ms: int | None

    @property
    def open_microcredits(self) -> int:
        return self.microcredits - self.settled_microcredits if self.state == "open" else 0


def take_back(connection: Connection, id: str, owner: str, microcredits: int, purse: Purse, kind: str, reason: str, now_ms: int) -> int:
    """Take credits back; what is not there becomes the debt `id`. Gives how many were there. Once per `id`."""
    if microcredits <= 0:
        return 0
    standing = ledger.balance(connection, owner)
    taken = 0
    if (standing.paid if purse == "paid" else standing.granted) > 0:
        taken = ledger.debit(
            connection,
            owner=owner,
            amount_microcredits=microcredits,
            purse=purse,
            kind=kind,
            key=id,
            description=reason,
            now_ms=now_ms,
            partly=True,
        )
    if taken < microcredits:
        row = Debt(id, owner, microcredits - taken, 0, "open", reason[:500], now_ms, None)
        connection.execute(insert(debts).values(**{name: getattr(row, name) for name in row.__slots__}))
    return taken


def give_back(connection: Connection, id: str, owner: str, taken: int, purse: Purse, kind: str, reason: str, now_ms: int) -> int:
    """Undo `take_back`: what was taken comes back, and what was paid off of the debt, which is void. Gives how many credits came back."""
    found = find(connection, id)
    if found is not None and found.state != "void":
        taken += found.settled_microcredits
        connection.execute(update(debts).where(columns.id == id).values(state="void", closed_ms=now_ms))
    if taken > 0:
        ledger.credit(
            connection,
            owner=owner,
            amount_microcredits=taken,
            purse=purse,
            kind=kind,
            key=f"{id} back",
            description=reason,
            now_ms=now_ms,
        )
    return taken


def settle(connection: Connection, owner: str, now_ms: int) -> int:
    """Pay open debts from bought credits, the oldest first. Gives how much was paid."""
    statement = select(debts).where(columns.owner == owner, columns.state == "open").order_by(columns.created_ms, columns.id)
    paid = 0
    for row in connection.execute(statement.with_for_update()).all():
        part = min(ledger.balance(connection, owner).paid, row.microcredits - row.settled_microcredits)
        if part <= 0:
            break
        settled = row.settled_microcredits + part
        ledger.debit(
            connection,
            owner=owner,
            amount_microcredits=part,
            purse="paid",
            kind="debt",
            key=f"debt {row.id} {settled}",
            description=row.reason,
            now_ms=now_ms,
        )
        done = settled == row.microcredits
        values = {"settled_microcredits": settled, "state": "settled" if done else "open", "closed_ms": now_ms if done else None}
        connection.execute(update(debts).where(columns.id == row.id).values(**values))
        paid += part
    return paid


def settle_all(connection: Connection, now_ms: int, limit: int = 500) -> int:
    """Pay debts of whoever has bought credits again, such as those that a run held. Gives how much was paid."""
    owners = connection.execute(select(columns.owner).where(columns.state == "open").distinct().limit(limit)).scalars().all()
    return sum(settle(connection, owner, now_ms) for owner in owners)


def find(connection: Connection, id: str) -> Debt | None:
    row = connection.execute(select(debts).where(columns.id == id)).first()
    return None if row is None else Debt(**row._mapping)


def debts_of(connection: Connection, owner: str, limit: int = 100) -> list[Debt]:
    """Newest first."""
    statement = select(debts).where(columns.owner == owner).order_by(columns.created_ms.desc(), columns.id).limit(limit)
    return [Debt(**row._mapping) for row in connection.execute(statement)]


def owed(connection: Connection) -> int:
    """All that is open, of everybody."""
    total = func.coalesce(func.sum(columns.microcredits - columns.settled_microcredits), 0)
    return int(connection.execute(select(total).where(columns.state == "open")).scalar_one())
