"""Operations on credits for the writer of the database. What is refused hinders no other and has written nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from marquetry.marketplace.errors import MarketError
from marquetry.server.database.writer import Operation

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marquetry.marketplace.ledger import Balance, Charge, Hold
    from marquetry.marketplace.ledger.values import Purse

Argument = TypeVar("Argument")
Result = TypeVar("Result")
RESERVATION_MS = 300_000
MAX_RESERVATIONS = 100
"""Open ones of one owner."""


def each(function: Callable[[Connection, Argument], Result]) -> Operation[Argument, Result]:
    """An operation of a function: what it has written where it raises a MarketError is taken back, and the others stand."""

    def run(connection: Connection, arguments: Sequence[Argument]) -> list[Result | Exception]:
        results: list[Result | Exception] = []
        for argument in arguments:
            try:
                with connection.begin_nested():
                    results.append(function(connection, argument))
            except MarketError as error:
                results.append(error)
        return results

    return run


@dataclass(frozen=True, slots=True)
class Reservation:
    """Credits that a person sets aside themselves, or an API key of theirs within its limit."""

    owner: str
    id: str
    amount_microcredits: int
    now_ms: int
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of a reservation: `amount_microcredits` of it is charged, None is all of it; the rest goes back."""

    owner: str
    id: str
    amount_microcredits: int | None
    description: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What was charged and what went back."""

    captured_microcredits: int
    released_microcredits: int
    balance: Balance


@dataclass(frozen=True, slots=True)
class Adjustment:
    """An admin gives credits, or below zero takes them."""

    actor: str
    owner: str
    amount_microcredits: int
    purse: Purse
    reason: str
    key: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class RunRefund:
    """An admin gives back what a run cost, or one node of it, or a part of that."""

    actor: str
    run_id: str
    node_id: str | None
    amount_microcredits: int | None
    reason: str
    key: str
    now_ms: int


def _reserve(connection: Connection, wanted: Reservation) -> Hold:
    from sqlalchemy import func, select

    from marquetry.marketplace.ledger import find_hold, place_hold
    from marquetry.marketplace.ledger.errors import TooManyHolds
    from marquetry.marketplace.ledger.tables import holds

    mine = (holds.c.owner == wanted.owner, holds.c.state == "open", holds.c.purpose == "reservation")
    count = connection.execute(select(func.count()).select_from(holds).where(*mine)).scalar_one()
    if count >= MAX_RESERVATIONS and find_hold(connection, wanted.id) is None:
        raise TooManyHolds(f"you have {count} open reservations; commit or release some first", limit=MAX_RESERVATIONS)
    return place_hold(
        connection,
        owner=wanted.owner,
        run_id=wanted.id,
        amount_microcredits=wanted.amount_microcredits,
        now_ms=wanted.now_ms,
        ttl_ms=RESERVATION_MS,
        purpose="reservation",
        key_id=wanted.key_id,
    )


def _commit(connection: Connection, wanted: Settlement) -> Settled:
    from marquetry.marketplace.ledger import Capture, balance, capture, release

    hold = own_reservation(connection, wanted.owner, wanted.id)
    amount = hold.amount_microcredits if wanted.amount_microcredits is None else wanted.amount_microcredits
    capture(connection, [Capture(wanted.id, "", "commit", amount, (), "reservation", wanted.description)], wanted.now_ms)
    release(connection, wanted.id, wanted.now_ms)
    hold = own_reservation(connection, wanted.owner, wanted.id)
    return Settled(hold.captured_microcredits, hold.released_microcredits, balance(connection, wanted.owner))


def _release(connection: Connection, wanted: Settlement) -> Settled:
    from marquetry.marketplace.ledger import balance, release

    own_reservation(connection, wanted.owner, wanted.id)
    release(connection, wanted.id, wanted.now_ms)
    hold = own_reservation(connection, wanted.owner, wanted.id)
    return Settled(hold.captured_microcredits, hold.released_microcredits, balance(connection, wanted.owner))


def own_reservation(connection: Connection, owner: str, id: str) -> Hold:
    """A reservation of that person; holds of jobs are the server's alone."""
    from marquetry.marketplace.ledger import find_hold
    from marquetry.marketplace.ledger.errors import UnknownHold

    hold = find_hold(connection, id)
    if hold is None or hold.owner != owner or hold.purpose != "reservation":
        raise UnknownHold(f"you have no reservation '{id[:100]}'")
    return hold


def _adjust(connection: Connection, wanted: Adjustment) -> Balance:
    from marquetry.marketplace.ledger import balance, credit, debit

    amount = wanted.amount_microcredits
    description = f"{wanted.reason} (by {wanted.actor})"
    change = credit if amount > 0 else debit
    change(
        connection,
        owner=wanted.owner,
        amount_microcredits=abs(amount),
        purse=wanted.purse,
        kind="adjustment",
        key=wanted.key,
        description=description,
        now_ms=wanted.now_ms,
    )
    _note(
        connection, wanted.actor, wanted.owner, wanted.now_ms, {"amount_microcredits": amount, "reason": wanted.reason, "key": wanted.key}
    )
    return balance(connection, wanted.owner)


def _refund(connection: Connection, wanted: RunRefund) -> int:
    from marquetry.marketplace.ledger import charges, find_hold
    from marquetry.marketplace.ledger.errors import RefundExceeded, UnknownCapture

    found = [charge for charge in charges(connection, wanted.run_id) if wanted.node_id in (None, charge.node_id)]
    hold = find_hold(connection, wanted.run_id)
    if not found or hold is None:
        raise UnknownCapture(f"nothing was captured of the run '{wanted.run_id[:100]}'" + (" for that node" if wanted.node_id else ""))
    if wanted.amount_microcredits is not None and len(found) != 1:
        raise RefundExceeded(f"a part of a refund is of one charge; this run has {len(found)}: name the node", charges=len(found))
    total = sum(_refund_one(connection, wanted, charge) for charge in found)
    _note(connection, wanted.actor, hold.owner, wanted.now_ms, {"run_id": wanted.run_id, "reason": wanted.reason, "refunded": total})
    return total


def _refund_one(connection: Connection, wanted: RunRefund, charge: Charge) -> int:
    from marquetry.marketplace.ledger import refund
    from marquetry.marketplace.ledger.errors import RefundExceeded

    try:
        return refund(
            connection,
            run_id=wanted.run_id,
            node_id=charge.node_id,
            kind=charge.kind,
            amount_microcredits=wanted.amount_microcredits,
            key=f"{wanted.key}/{charge.id}",
            reason=f"{wanted.reason} (by {wanted.actor})",
            now_ms=wanted.now_ms,
        )
    except RefundExceeded:
        if wanted.amount_microcredits is None:
            return 0  # all of it went back before
        raise


def _note(connection: Connection, actor: str, owner: str, time_ms: int, details: dict[str, object]) -> None:
    """What somebody with power did is a security event of the person whom it concerns."""
    from marquetry.marketplace.accounts.security_events import SecurityEvent, record

    record(connection, SecurityEvent("credits_adjusted", time_ms, owner, actor, details=details))


RESERVE = each(_reserve)
COMMIT = each(_commit)
RELEASE = each(_release)
ADJUST = each(_adjust)
REFUND = each(_refund)
