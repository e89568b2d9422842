"""What people see of the ledger: balances, earnings, entries, the totals of the platform."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select, tuple_, union_all

from marquetry.marketplace.ledger.accounts import PLATFORM, Kind, shard_of
from marquetry.marketplace.ledger.tables import accounts, journal, lines, payouts
from marquetry.marketplace.ledger.values import Balance, Charge, Earnings, Entry

if TYPE_CHECKING:
    from sqlalchemy import Connection

USAGE, EARNING = "usage", "earning"
SHOWN = (Kind.PAID, Kind.GRANTED, Kind.HELD, Kind.ACCRUED, Kind.PAYABLE)


def balance(connection: Connection, owner: str) -> Balance:
    """A person's credits; nothing of somebody who never had any."""
    mine = (accounts.c.owner == owner, accounts.c.shard == shard_of(owner))
    found = {row.kind: row.balance for row in connection.execute(select(accounts.c.kind, accounts.c.balance).where(*mine))}
    return Balance(found.get(Kind.PAID, 0), found.get(Kind.GRANTED, 0), found.get(Kind.HELD, 0))


def earnings(connection: Connection, creator: str) -> Earnings:
    """What a creator has earned."""
    statement = select(accounts.c.kind, func.sum(accounts.c.balance)).where(accounts.c.owner == creator).group_by(accounts.c.kind)
    found: dict[str, int] = {kind: int(total) for kind, total in connection.execute(statement)}
    settled = select(func.coalesce(func.sum(payouts.c.amount), 0)).where(payouts.c.creator == creator, payouts.c.state == "settled")
    return Earnings(found.get(Kind.ACCRUED, 0), found.get(Kind.PAYABLE, 0), int(connection.execute(settled).scalar_one()))


def charges(connection: Connection, run_id: str) -> list[Charge]:
    """The captures of a run in the order in which they were made, and what was refunded of them."""
    moved = lines.join(accounts, accounts.c.id == lines.c.account_id)
    held = select(journal, func.coalesce(func.sum(-lines.c.amount), 0).label("amount")).outerjoin(
        moved, and_(lines.c.entry_id == journal.c.id, accounts.c.kind == Kind.HELD)
    )
    rows = connection.execute(
        held.where(journal.c.run_id == run_id, journal.c.kind == USAGE).group_by(journal.c.id).order_by(journal.c.id)
    ).all()
    back = (
        select(journal.c.reverses, func.sum(lines.c.amount))
        .join(lines, lines.c.entry_id == journal.c.id)
        .join(accounts, accounts.c.id == lines.c.account_id)
        .where(journal.c.run_id == run_id, journal.c.kind == "refund", accounts.c.kind.in_((Kind.PAID, Kind.GRANTED)))
        .group_by(journal.c.reverses)
    )
    refunded = {of: int(total) for of, total in connection.execute(back)}
    return [
        Charge(
            row.id, run_id, row.node_id, row.reference, row.operation, row.description, row.created_ms, int(row.amount), refunded.get(row.id, 0)
        )
        for row in rows
    ]  # fmt: skip


def platform_totals(connection: Connection) -> dict[str, int]:
    """All accounts by kind, over all owners and shards. They sum to zero."""
    statement = select(accounts.c.kind, func.sum(accounts.c.balance)).group_by(accounts.c.kind)
    found = {kind: int(total) for kind, total in connection.execute(statement)}
    return {str(kind): found.get(kind, 0) for kind in Kind}


def entries(
    connection: Connection,
    owner: str,
    *,
    kinds: Collection[str] | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    after: int | None = None,
    limit: int = 100,
) -> list[Entry]:
    """Entries that touch a person's accounts, newest first; `after` goes on behind the entry of that id. `until_ms` is not included."""
    if owner == PLATFORM or limit <= 0:
        return []
    mine = connection.execute(select(accounts.c.id, accounts.c.kind).where(accounts.c.owner == owner)).all()
    kind_of = {row.id: row.kind for row in mine}
    conditions = _conditions(connection, owner, kinds, since_ms, until_ms, after)
    if not kind_of or conditions is None:
        return []
    ids = _newest(connection, kind_of, conditions, limit)
    if not ids:
        return []
    order = (journal.c.created_ms.desc(), journal.c.id.desc())
    rows = connection.execute(select(journal).where(journal.c.id.in_(ids)).order_by(*order).limit(limit)).all()
    theirs: dict[int, list[Any]] = {}
    found = connection.execute(select(lines).where(lines.c.entry_id.in_([row.id for row in rows]), lines.c.account_id.in_(kind_of)))
    for line in found.all():
        theirs.setdefault(line.entry_id, []).append(line)
    return [_entry(row, theirs[row.id], kind_of, owner) for row in rows]


def _conditions(
    connection: Connection, owner: str, kinds: Collection[str] | None, since_ms: int | None, until_ms: int | None, after: int | None
) -> list[Any] | None:
    conditions: list[Any] = []
    if kinds is not None:
        stored: list[Any] = [journal.c.kind.in_([kind for kind in kinds if kind not in (USAGE, EARNING)])]
        stored += [and_(journal.c.kind == USAGE, journal.c.owner == owner)] if USAGE in kinds else []
        stored += [and_(journal.c.kind == USAGE, journal.c.owner != owner)] if EARNING in kinds else []
        conditions.append(or_(*stored))
    if since_ms is not None:
        conditions.append(journal.c.created_ms >= since_ms)
    if until_ms is not None:
        conditions.append(journal.c.created_ms < until_ms)
    if after is not None:
        before = connection.execute(select(journal.c.created_ms).where(journal.c.id == after)).scalar()
        if before is None:
            return None
        conditions.append(tuple_(journal.c.created_ms, journal.c.id) < tuple_(before, after))
    return conditions


def _newest(connection: Connection, kind_of: dict[int, str], conditions: list[Any], limit: int) -> list[int]:
    """Ids of the newest entries of each account; each account is walked backwards along its index."""
    parts = [
        select(
            select(lines.c.entry_id)
            .join(journal, journal.c.id == lines.c.entry_id)
            .where(lines.c.account_id == account, *conditions)
            .order_by(lines.c.entry_id.desc())
            .distinct()
            .limit(limit)
            .subquery()
        )
        for account in kind_of
    ]
    return sorted(set(connection.execute(union_all(*parts)).scalars()))


def _entry(row: Any, theirs: list[Any], kind_of: dict[int, str], owner: str) -> Entry:
    gained = dict.fromkeys(SHOWN, 0)
    for line in theirs:
        gained[Kind(kind_of[line.account_id])] += line.amount
    spendable = gained[Kind.PAID] + gained[Kind.GRANTED]
    own = row.owner == owner
    return Entry(
        id=row.id,
        kind=EARNING if row.kind == USAGE and not own else row.kind,
        created_ms=row.created_ms,
        amount_microcredits=spendable or gained[Kind.HELD] or gained[Kind.ACCRUED],
        paid=gained[Kind.PAID],
        granted=gained[Kind.GRANTED],
        held=gained[Kind.HELD],
        accrued=gained[Kind.ACCRUED],
        payable=gained[Kind.PAYABLE],
        run_id=row.run_id if own else "",
        node_id=row.node_id if own else "",
        operation=row.operation if own else "",
        reference=row.reference if own else "",
        description=row.description if own else "",
        listings=tuple(sorted({line.listing for line in theirs if line.listing})),
        reverses=row.reverses,
    )
