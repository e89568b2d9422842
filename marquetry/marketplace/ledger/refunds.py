"""Refunds: an entry against a capture. Credits go back to where they came from, what was paid for first; creators give their part back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from marquetry.marketplace.ledger.accounts import PLATFORM, Kind, shard_of
from marquetry.marketplace.ledger.book import Book, Line, Posting
from marquetry.marketplace.ledger.captures import capture_key, without
from marquetry.marketplace.ledger.checks import checked_amount, checked_name, digest, shortened
from marquetry.marketplace.ledger.credits import change_grants, draw, lines_of
from marquetry.marketplace.ledger.errors import RefundExceeded, UnknownCapture
from marquetry.marketplace.ledger.tables import REFERENCE_CHARACTERS, accounts, journal, lines

if TYPE_CHECKING:
    from sqlalchemy import Connection


def refund(
    connection: Connection,
    *,
    run_id: str,
    node_id: str,
    kind: str,
    amount_microcredits: int | None = None,
    key: str,
    reason: str,
    now_ms: int,
) -> int:
    """Give back a capture, or a part of it; without an amount, what is left of it. Gives how much; once per `key`.

    Creators give back in proportion, to the micro-credit once all is given back; they may owe afterwards what they were paid out.
    Raises UnknownCapture, RefundExceeded, KeyReused, InvalidEntry.
    """
    checked_name(key, "a key", REFERENCE_CHARACTERS)
    if amount_microcredits is not None:
        checked_amount(amount_microcredits, least=1)
    made = connection.execute(select(journal).where(journal.c.key == capture_key(run_id, node_id, kind))).one_or_none()
    if made is None:
        raise UnknownCapture(f"nothing was captured for node '{node_id[:100]}' of the run '{run_id[:100]}' as '{kind[:100]}'")
    book = Book(connection, [shard_of(made.owner)], now_ms)
    posted, request_hash = digest("refund", key), digest(run_id, node_id, kind, amount_microcredits)
    before = book.replay(posted, request_hash, key)
    if before is not None:
        return sum(line.amount for line in lines_of(connection, before) if line.amount > 0)
    captured = _captured(connection, made.id)
    already = _refunded(connection, made.id)
    amount = captured.amount - already if amount_microcredits is None else amount_microcredits
    if not 0 < amount <= captured.amount - already:
        raise RefundExceeded(
            f"{captured.amount - already:,} micro-credits are left of this capture; {amount:,} can't be refunded",
            remaining=captured.amount - already,
            required=amount,
        )
    back = draw(without(captured.sources[::-1], already), amount)
    moved = [Line(Kind.PAID if grant is None else Kind.GRANTED, made.owner, part, grant) for grant, part in back]
    moved += captured.taken_back(already, amount)
    book.open({made.owner} | {line.owner for line in moved})
    text = shortened(reason)
    book.post(
        shard_of(made.owner),
        Posting("refund", made.owner, posted, request_hash, moved, run_id, node_id, made.operation, key, text, made.id),
    )
    book.write()
    change_grants(connection, back)
    return amount


class _Captured:
    """The lines of a capture: where it came from, in the order of drawing, and who earned."""

    def __init__(self, rows: list[Any]) -> None:
        self.sources: list[tuple[int | None, int]] = [(row.grant_id, -row.amount) for row in rows if row.kind == Kind.HELD]
        self.shares = [row for row in rows if row.kind == Kind.ACCRUED]
        self.amount = sum(part for _, part in self.sources)

    def taken_back(self, already: int, amount: int) -> list[Line]:
        """What creators and the platform give, after `already` was refunded. Each share is rounded down, the platform gives the rest."""
        moved = []
        for row in self.shares:
            part = row.amount * (already + amount) // self.amount - row.amount * already // self.amount
            if part:
                moved.append(Line(Kind.ACCRUED, row.owner, -part, None, row.listing, row.split))
        rest = amount + sum(line.amount for line in moved)
        return [*moved, Line(Kind.REVENUE, PLATFORM, -rest)] if rest else moved


def _captured(connection: Connection, entry_id: int) -> _Captured:
    statement = (
        select(lines, accounts.c.kind, accounts.c.owner)
        .join(accounts, accounts.c.id == lines.c.account_id)
        .where(lines.c.entry_id == entry_id)
        .order_by(lines.c.place)
    )
    return _Captured(list(connection.execute(statement).all()))


def _refunded(connection: Connection, entry_id: int) -> int:
    """What went back of a capture so far: the credits that purses gained."""
    statement = (
        select(lines.c.amount)
        .join(journal, journal.c.id == lines.c.entry_id)
        .join(accounts, accounts.c.id == lines.c.account_id)
        .where(journal.c.reverses == entry_id, journal.c.kind == "refund", accounts.c.kind.in_((Kind.PAID, Kind.GRANTED)))
    )
    return sum(connection.execute(statement).scalars())
