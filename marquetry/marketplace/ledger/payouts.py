"""Payouts: earnings leave in two steps, accrued to payable when a transfer begins, payable to bank when it has arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import select, update

from marquetry.marketplace.ledger.accounts import PLATFORM, Kind
from marquetry.marketplace.ledger.book import Book, Line, Posting
from marquetry.marketplace.ledger.checks import checked_amount, checked_name, digest
from marquetry.marketplace.ledger.errors import InsufficientEarnings, KeyReused, PayoutClosed, UnknownPayout
from marquetry.marketplace.ledger.rows import insert_rows
from marquetry.marketplace.ledger.tables import OWNER_CHARACTERS, REFERENCE_CHARACTERS, accounts, payouts
from marquetry.marketplace.ledger.values import Payout, PayoutState

if TYPE_CHECKING:
    from sqlalchemy import Connection


def begin_payout(connection: Connection, *, creator: str, amount_microcredits: int, key: str, now_ms: int) -> Payout:
    """Set earnings aside for a transfer; once per `key`, whatever became of it since.

    Raises InsufficientEarnings, KeyReused, InvalidEntry.
    """
    amount = checked_amount(amount_microcredits, least=1)
    checked_name(creator, "a creator", OWNER_CHARACTERS)
    checked_name(key, "a key", REFERENCE_CHARACTERS)
    theirs = (accounts.c.owner == creator, accounts.c.kind == Kind.ACCRUED)
    shards = connection.execute(select(accounts.c.shard).where(*theirs)).scalars().all()
    book = Book(connection, shards, now_ms)
    found = find_payout(connection, key)
    if found is not None:
        if (found.creator, found.amount_microcredits) != (creator, amount):
            raise KeyReused(f"'{key}' was used for another payout; take a new key", key=key)
        return found
    book.open([creator])
    accrued = {shard: book.balance(Kind.ACCRUED, creator, shard) for shard in sorted(shards)}
    if sum(accrued.values()) < amount:
        raise InsufficientEarnings(
            f"{amount:,} micro-credits are to be paid out and {sum(accrued.values()):,} are earned",
            balance=sum(accrued.values()),
            required=amount,
        )
    parts = _parts(accrued, amount)
    _move(book, "payout", key, creator, parts, (Kind.ACCRUED, Kind.PAYABLE))
    row = {"key": key, "creator": creator, "amount": amount, "state": "begun", "parts": orjson.dumps(parts).decode()}
    insert_rows(connection, payouts, [{**row, "created_ms": now_ms, "finished_ms": None}])
    return Payout(key, creator, amount, "begun", now_ms, None)


def settle_payout(connection: Connection, *, key: str, now_ms: int) -> Payout:
    """The transfer has arrived. The same again changes nothing. Raises UnknownPayout; PayoutClosed when it was cancelled."""
    return _finish(connection, key, "settled", "payout_settled", Kind.BANK, now_ms)


def cancel_payout(connection: Connection, *, key: str, now_ms: int) -> Payout:
    """The transfer won't happen: the earnings are the creator's again. Raises UnknownPayout; PayoutClosed when it was settled."""
    return _finish(connection, key, "cancelled", "payout_cancelled", Kind.ACCRUED, now_ms)


def find_payout(connection: Connection, key: str) -> Payout | None:
    """A payout as it is now."""
    row = connection.execute(select(payouts).where(payouts.c.key == key)).one_or_none()
    return None if row is None else payout_of(row)


def payouts_of(connection: Connection, creator: str, limit: int = 100) -> list[Payout]:
    """A creator's payouts, newest first."""
    statement = select(payouts).where(payouts.c.creator == creator).order_by(payouts.c.created_ms.desc(), payouts.c.key).limit(limit)
    return [payout_of(row) for row in connection.execute(statement)]


def payout_of(row: Any) -> Payout:
    """A row as a value."""
    return Payout(row.key, row.creator, row.amount, row.state, row.created_ms, row.finished_ms)


def _finish(connection: Connection, key: str, state: PayoutState, kind: str, to: Kind, now_ms: int) -> Payout:
    row = connection.execute(select(payouts).where(payouts.c.key == key)).one_or_none()
    if row is None:
        raise UnknownPayout(f"there is no payout '{key[:100]}'")
    parts = [(shard, part) for shard, part in orjson.loads(row.parts)]
    book = Book(connection, [shard for shard, _ in parts], now_ms)
    row = connection.execute(select(payouts).where(payouts.c.key == key)).one()
    if row.state == state:
        return payout_of(row)
    if row.state != "begun":
        raise PayoutClosed(f"the payout '{key}' was {row.state} before; it can't be {state}")
    book.open([row.creator])
    _move(book, kind, key, row.creator, parts, (Kind.PAYABLE, to))
    connection.execute(update(payouts).where(payouts.c.key == key).values(state=state, finished_ms=now_ms))
    return Payout(key, row.creator, row.amount, state, row.created_ms, now_ms)


def _parts(accrued: dict[int, int], amount: int) -> list[tuple[int, int]]:
    """What each shard gives: those that have something, in order."""
    parts = []
    for shard, balance in accrued.items():
        part = min(max(balance, 0), amount)
        if part:
            parts.append((shard, part))
            amount -= part
    return parts


def _move(book: Book, kind: str, key: str, creator: str, parts: list[tuple[int, int]], way: tuple[Kind, Kind]) -> None:
    source, target = way
    for shard, part in parts:
        posted = digest(kind, key, shard)
        owner = PLATFORM if target is Kind.BANK else creator
        moved = (Line(source, creator, -part), Line(target, owner, part))
        book.post(shard, Posting(kind, creator, posted, digest(creator, part), moved, reference=key))
    book.write()
