"""Verification: everything that must be true of the ledger, checked against what is stored. Nothing is believed that can be computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import and_, case, func, or_, select

from marquetry.marketplace.ledger.accounts import NEVER_NEGATIVE, PLATFORM, Kind, shard_of
from marquetry.marketplace.ledger.book import Line, Posting, chained
from marquetry.marketplace.ledger.tables import SHARDS, accounts, chains, grants, holds, journal, lines, payouts

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

START = "0" * 64
"""The hash before the first entry of a shard."""

PAGE = 2000
MAX_FAULTS = 1000


def verify(connection: Connection) -> list[str]:
    """Every broken promise, in words; an empty list when all are kept. It looks at one state of the database where no transaction is open yet."""
    if connection.dialect.name == "postgresql" and not connection.in_transaction():
        connection = connection.execution_options(isolation_level="REPEATABLE READ")
    faults: list[str] = []
    for check in (_entries, _accounts, _chains, _holds, _grants, _refunds, _payouts):
        for fault in check(connection):
            faults.append(fault)
            if len(faults) >= MAX_FAULTS:
                return [*faults, "there are more faults than are told"]
    return faults


def heads(connection: Connection) -> dict[int, tuple[int, str]]:
    """The place and hash of the last entry of each shard. Kept elsewhere, they show whether entries were cut off since."""
    return {row.shard: (row.place, row.hash) for row in connection.execute(select(chains).order_by(chains.c.shard))}


def _entries(connection: Connection) -> Iterator[str]:
    unbalanced = select(lines.c.entry_id, func.sum(lines.c.amount)).group_by(lines.c.entry_id).having(func.sum(lines.c.amount) != 0)
    for id, total in connection.execute(unbalanced):
        yield f"the lines of entry {id} sum to {total}, not to zero"
    orphans = select(lines.c.entry_id).outerjoin(journal, journal.c.id == lines.c.entry_id).where(journal.c.id.is_(None)).distinct()
    for id in connection.execute(orphans).scalars():
        yield f"there are lines of entry {id}, which is not in the journal"
    strangers = select(lines.c.entry_id, lines.c.account_id).outerjoin(accounts, accounts.c.id == lines.c.account_id)
    elsewhere = or_(accounts.c.id.is_(None), lines.c.entry_id % SHARDS != accounts.c.shard)
    for entry, account in connection.execute(strangers.where(elsewhere)):
        yield f"entry {entry} has a line of account {account}, which is not in its shard"


def _accounts(connection: Connection) -> Iterator[str]:
    moved = select(lines.c.account_id, func.sum(lines.c.amount).label("total")).group_by(lines.c.account_id).subquery()
    statement = select(accounts, func.coalesce(moved.c.total, 0).label("total")).outerjoin(moved, moved.c.account_id == accounts.c.id)
    total = 0
    for row in connection.execute(statement):
        total += row.balance
        name = f"the {row.kind} account of {repr(row.owner) if row.owner else 'the platform'} in shard {row.shard}"
        if row.balance != row.total:
            yield f"{name} has {row.balance}, its lines sum to {row.total}"
        if row.kind in NEVER_NEGATIVE and row.balance < 0:
            yield f"{name} is below zero: {row.balance}"
        if row.kind in (Kind.PAID, Kind.GRANTED, Kind.HELD) and row.shard != shard_of(row.owner):
            yield f"{name} should be in shard {shard_of(row.owner)}"
    if total:
        yield f"all accounts together have {total}, not zero"


def _chains(connection: Connection) -> Iterator[str]:
    ends = dict.fromkeys(range(SHARDS), (0, START))
    for row, entry_lines in _walk(connection):
        shard = row.id % SHARDS
        place, before = ends[shard]
        if row.id != (place + 1) * SHARDS + shard:
            yield f"the entry at place {place + 1} of shard {shard} is missing: the next is {row.id}"
        if row.hash != chained(before, row.id, row.created_ms, _posting(row, entry_lines)):
            yield f"entry {row.id} is not what was written, or the one before it is not: shard {shard}"
        ends[shard] = row.id // SHARDS, row.hash
    said = heads(connection)
    for shard, end in ends.items():
        if said.get(shard) != end:
            yield f"the chain of shard {shard} ends at place {end[0]}, its head says {said.get(shard, (None,))[0]}"


def _walk(connection: Connection) -> Iterator[tuple[Any, list[Any]]]:
    """All entries with their lines, in order within each shard."""
    last = 0
    while page := connection.execute(select(journal).where(journal.c.id > last).order_by(journal.c.id).limit(PAGE)).all():
        statement = (
            select(lines, accounts.c.kind, accounts.c.owner)
            .join(accounts, accounts.c.id == lines.c.account_id)
            .where(lines.c.entry_id.between(page[0].id, page[-1].id))
            .order_by(lines.c.entry_id, lines.c.place)
        )
        by_entry = {id: list(group) for id, group in groupby(connection.execute(statement), key=lambda row: row.entry_id)}
        for row in page:
            yield row, by_entry.get(row.id, [])
        last = page[-1].id


def _posting(row: Any, entry_lines: Iterable[Any]) -> Posting:
    moved = [Line(line.kind, line.owner, line.amount, line.grant_id, line.listing, line.split) for line in entry_lines]
    return Posting(
        row.kind, row.owner, row.key, row.request_hash, moved, row.run_id, row.node_id, row.operation, row.reference, row.description, row.reverses
    )  # fmt: skip


def _gained(kind: Kind, *, by: Any, entry_kinds: tuple[str, ...] = ()) -> Select[Any]:
    """What accounts of a kind gained, grouped."""
    statement = select(by.label("of"), func.sum(lines.c.amount).label("total")).join(journal, journal.c.id == lines.c.entry_id)
    statement = statement.join(accounts, accounts.c.id == lines.c.account_id).where(accounts.c.kind == kind).group_by(by)
    return statement.where(journal.c.kind.in_(entry_kinds)) if entry_kinds else statement


def _totals(connection: Connection, statement: Select[Any]) -> dict[Any, int]:
    return {of: int(total) for of, total in connection.execute(statement)}


def _holds(connection: Connection) -> Iterator[str]:
    """What holds say, and what the journal says of their runs."""
    told = {kind: _gained(Kind.HELD, by=journal.c.run_id, entry_kinds=(kind,)).subquery() for kind in ("reserve", "usage", "release")}
    journaled = [
        func.coalesce(told["reserve"].c.total, 0),
        -func.coalesce(told["usage"].c.total, 0),
        -func.coalesce(told["release"].c.total, 0),
    ]
    stored = [holds.c.amount, holds.c.captured, holds.c.released]
    statement = select(holds.c.run_id, *stored, *(entry.label(f"of_journal_{place}") for place, entry in enumerate(journaled)))
    for found in told.values():
        statement = statement.outerjoin(found, found.c.of == holds.c.run_id)
    differ = or_(*(one != other for one, other in zip(stored, journaled, strict=True)))
    for row in connection.execute(statement.where(differ)):
        yield f"the hold of run '{row[0]}' says {tuple(row[1:4])} (held, captured, released), the journal {tuple(row[4:])}"
    for found in told.values():
        lost = select(found.c.of).outerjoin(holds, holds.c.run_id == found.c.of).where(holds.c.run_id.is_(None))
        for run_id in connection.execute(lost).scalars():
            yield f"the journal knows a hold of run '{run_id}' that is not there"
    yield from _open_holds(connection)


def _open_holds(connection: Connection) -> Iterator[str]:
    """What is left of holds, and what people have held."""
    held: dict[str, int] = {}
    left_over = holds.c.amount - holds.c.captured - holds.c.released
    for row in connection.execute(select(holds, left_over.label("expected")).where(or_(holds.c.sources != "[]", left_over != 0))):
        left = sum(part for _, part in orjson.loads(row.sources))
        held[row.owner] = held.get(row.owner, 0) + left
        if left != row.expected:
            yield f"the hold of run '{row.run_id}' has sources of {left}, {row.expected} should be left"
        if row.expected < 0:
            yield f"more was taken from the hold of run '{row.run_id}' than was held"
        if row.state != "open" and left:
            yield f"the hold of run '{row.run_id}' is {row.state} and still holds {left}"
    there = {row.owner: row.balance for row in connection.execute(select(accounts).where(accounts.c.kind == Kind.HELD)) if row.balance}
    for owner in sorted({*there, *(owner for owner, left in held.items() if left)}):
        if there.get(owner, 0) != held.get(owner, 0):
            yield f"'{owner}' has {there.get(owner, 0)} held, and open holds of {held.get(owner, 0)}"


def _grants(connection: Connection) -> Iterator[str]:
    moved = _gained(Kind.GRANTED, by=lines.c.grant_id).subquery()
    total = func.coalesce(moved.c.total, 0)
    statement = select(grants.c.id, grants.c.owner, grants.c.remaining, total).outerjoin(moved, moved.c.of == grants.c.id)
    for id, owner, remaining, journaled in connection.execute(statement.where(grants.c.remaining != total)):
        yield f"grant {id} of '{owner}' has {remaining} left, the journal says {journaled}"
    lost = select(moved.c.of, moved.c.total).outerjoin(grants, grants.c.id == moved.c.of).where(grants.c.id.is_(None))
    for grant, gained in connection.execute(lost):
        yield f"the journal knows a grant {grant} with {gained} that is not there"
    for entry in _totals(connection, _gained(Kind.PAID, by=lines.c.entry_id).where(lines.c.grant_id.is_not(None))):
        yield f"entry {entry} moves granted credits as if they had been paid for"


def _refunds(connection: Connection) -> Iterator[str]:
    """Of no capture more is given back than was captured, by no creator more than they earned by it."""
    purses = case((and_(journal.c.kind == "refund", accounts.c.kind.in_((Kind.PAID, Kind.GRANTED))), lines.c.amount), else_=0)
    returned = (
        select(journal.c.reverses.label("of"), func.sum(purses).label("total"))
        .join(lines, lines.c.entry_id == journal.c.id)
        .join(accounts, accounts.c.id == lines.c.account_id)
        .where(journal.c.kind == "refund")
        .group_by(journal.c.reverses)
    )
    for capture, total in connection.execute(returned).all():
        captured = _shares(connection, (capture,))
        amount = -sum(part for (kind, _, _), part in captured.items() if kind == Kind.HELD)
        if total > amount:
            yield f"{total} were refunded of entry {capture}, which captured {amount}"
        refunds = connection.execute(select(journal.c.id).where(journal.c.kind == "refund", journal.c.reverses == capture)).scalars().all()
        for (kind, owner, listing), part in _shares(connection, refunds).items():
            earned = captured.get((kind, owner, listing), 0)
            if kind == Kind.ACCRUED and not earned * int(total) // amount - len(refunds) <= -part <= earned:
                yield f"'{owner}' gave back {-part} of the {earned} that '{listing}' earned by entry {capture}"


def _shares(connection: Connection, entry_ids: Iterable[int]) -> dict[tuple[str, str, str], int]:
    statement = (
        select(accounts.c.kind, accounts.c.owner, lines.c.listing, func.sum(lines.c.amount))
        .join(accounts, accounts.c.id == lines.c.account_id)
        .where(lines.c.entry_id.in_(list(entry_ids)))
        .group_by(accounts.c.kind, accounts.c.owner, lines.c.listing)
    )
    return {(kind, owner, listing): int(total) for kind, owner, listing, total in connection.execute(statement)}


def _payouts(connection: Connection) -> Iterator[str]:
    way: dict[str, int] = {}
    settled = 0
    for row in connection.execute(select(payouts)):
        parts = sum(part for _, part in orjson.loads(row.parts))
        if parts != row.amount:
            yield f"the parts of payout '{row.key}' sum to {parts}, not to {row.amount}"
        way[row.creator] = way.get(row.creator, 0) + (row.amount if row.state == "begun" else 0)
        settled += row.amount if row.state == "settled" else 0
    payable = _totals(connection, _gained(Kind.PAYABLE, by=accounts.c.owner))
    for creator in sorted({*way, *payable}):
        if payable.get(creator, 0) != way.get(creator, 0):
            yield f"'{creator}' has {payable.get(creator, 0)} payable, and payouts of {way.get(creator, 0)} under way"
    bank = _totals(connection, _gained(Kind.BANK, by=accounts.c.owner)).get(PLATFORM, 0)
    if bank != settled:
        yield f"{bank} left by the bank, and payouts of {settled} were settled"
    earned = _totals(connection, _gained(Kind.ACCRUED, by=journal.c.kind))
    if earned.keys() - {"usage", "refund", "payout", "payout_cancelled"}:
        yield f"creators earned by entries of other kinds than captures: {sorted(earned)}"
