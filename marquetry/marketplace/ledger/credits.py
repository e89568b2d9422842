"""Credits in and out: purchases, grants with an end, adjustments, and what is taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select, update

from marquetry.marketplace.ledger.accounts import PLATFORM, Kind, shard_of
from marquetry.marketplace.ledger.book import Book, Line, Posting
from marquetry.marketplace.ledger.checks import checked_amount, checked_name, digest, shortened
from marquetry.marketplace.ledger.errors import InsufficientCredits, InvalidEntry
from marquetry.marketplace.ledger.rows import insert_rows
from marquetry.marketplace.ledger.tables import KIND_CHARACTERS, OWNER_CHARACTERS, REFERENCE_CHARACTERS, grants, lines
from marquetry.marketplace.ledger.values import Purse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sqlalchemy import Connection

PURSES: dict[Purse, Kind] = {"paid": Kind.PAID, "granted": Kind.GRANTED}
SOURCES = {"paid": Kind.CLEARING, "granted": Kind.PROMOTION}
"""Where credits come from and go back to: paid ones stand against money at a payment provider, granted ones are given by the platform."""

_spend_grant = update(grants).where(grants.c.id == bindparam("which")).values(remaining=grants.c.remaining + bindparam("change"))


def credit(
    connection: Connection,
    *,
    owner: str,
    amount_microcredits: int,
    purse: Purse,
    kind: str,
    key: str,
    description: str = "",
    now_ms: int,
    expires_ms: int | None = None,
) -> int:
    """Give credits; once per `key`. Gives the id of the journal entry, of a replay that of the first time.

    `kind` says why: purchase, bonus, adjustment, subscription, referral, ... Only granted credits can expire. Raises KeyReused, InvalidEntry.
    """
    amount = checked_amount(amount_microcredits, least=1)
    _check(owner, purse, kind, key)
    if expires_ms is not None and (purse != "granted" or expires_ms <= now_ms):
        raise InvalidEntry("only granted credits expire, and only in the future")
    shard = shard_of(owner)
    book = Book(connection, [shard], now_ms)
    posted, request_hash = digest("credit", key), digest(owner, amount, purse, kind)
    before = book.replay(posted, request_hash, key)
    if before is not None:
        return before
    book.open([owner])
    grant = book.next_id(shard) if purse == "granted" else None
    moved = (Line(SOURCES[purse], PLATFORM, -amount), Line(PURSES[purse], owner, amount, grant))
    id = book.post(shard, Posting(kind, owner, posted, request_hash, moved, reference=key, description=shortened(description)))
    book.write()
    if grant is not None:
        insert_rows(connection, grants, [{"id": grant, "owner": owner, "remaining": amount, "expires_ms": expires_ms}])
    return id


def debit(
    connection: Connection,
    *,
    owner: str,
    amount_microcredits: int,
    purse: Purse,
    kind: str,
    key: str,
    description: str = "",
    now_ms: int,
    partly: bool = False,
) -> int:
    """Take credits back: an adjustment, a refunded or disputed purchase. Gives how much was taken; once per `key`, which `credit` shares.

    `partly`: take what there is where it is less than asked for, instead of raising InsufficientCredits. Raises KeyReused, InvalidEntry.
    """
    amount = checked_amount(amount_microcredits, least=1)
    _check(owner, purse, kind, key)
    shard = shard_of(owner)
    book = Book(connection, [shard], now_ms)
    posted, request_hash = digest("credit", key), digest(owner, -amount, purse, kind)
    before = book.replay(posted, request_hash, key)
    if before is not None:
        return sum(abs(int(line.amount)) for line in lines_of(connection, before) if line.amount < 0)
    book.open([owner])
    there = book.balance(PURSES[purse], owner, shard)
    if there < amount and not partly:
        raise InsufficientCredits(
            f"{amount:,} micro-credits are to be taken from the {purse} credits, which are {there:,}", balance=there, required=amount
        )
    taken = min(amount, there)
    drawn = [(None, taken)] if purse == "paid" else draw(open_grants(connection, owner), taken)
    moved = [Line(PURSES[purse], owner, -part, grant) for grant, part in drawn if part]
    if taken:
        moved.append(Line(SOURCES[purse], PLATFORM, taken))
    book.post(shard, Posting(kind, owner, posted, request_hash, moved, reference=key, description=shortened(description)))
    book.write()
    change_grants(connection, [(grant, -part) for grant, part in drawn])
    return taken


def expire_grants(connection: Connection, now_ms: int, limit: int = 1000) -> int:
    """Take back what is left of grants whose time is over; gives how many there were, at most `limit`."""
    due = (grants.c.remaining > 0, grants.c.expires_ms <= now_ms)
    owners = set(connection.execute(select(grants.c.owner).where(*due).order_by(grants.c.expires_ms).limit(limit)).scalars())
    if not owners:
        return 0
    book = Book(connection, {shard_of(owner) for owner in owners}, now_ms)
    rows = connection.execute(select(grants).where(*due, grants.c.owner.in_(owners)).order_by(grants.c.id).limit(limit)).all()
    book.open(owners)
    for row in rows:
        shard = shard_of(row.owner)
        posted = digest("grant expired", row.id, book.next_id(shard))
        moved = (Line(Kind.GRANTED, row.owner, -row.remaining, row.id), Line(Kind.PROMOTION, PLATFORM, row.remaining))
        book.post(shard, Posting("expiry", row.owner, posted, posted, moved, description="granted credits expired", reverses=row.id))
    book.write()
    change_grants(connection, [(row.id, -row.remaining) for row in rows])
    return len(rows)


def open_grants(connection: Connection, owner: str, now_ms: int = 0) -> list[tuple[int, int]]:
    """Grants that have something left and have not expired, `(id, remaining)`, in the order in which they are drawn: what ends first, first."""
    rows = connection.execute(select(grants).where(grants.c.owner == owner, grants.c.remaining > 0)).all()
    live = [row for row in rows if row.expires_ms is None or row.expires_ms > now_ms]
    live.sort(key=lambda row: (row.expires_ms is None, row.expires_ms or 0, row.id))
    return [(row.id, row.remaining) for row in live]


def draw(available: Sequence[tuple[int | None, int]], wanted: int) -> list[tuple[int | None, int]]:
    """Take `wanted` from the front; less where there is less."""
    drawn: list[tuple[int | None, int]] = []
    for grant, amount in available:
        if wanted <= 0:
            break
        drawn.append((grant, min(amount, wanted)))
        wanted -= drawn[-1][1]
    return drawn


def change_grants(connection: Connection, changes: Sequence[tuple[int | None, int]]) -> None:
    """Add to what is left of grants; parts that are of no grant are passed over."""
    changed = [{"which": grant, "change": amount} for grant, amount in changes if grant is not None and amount]
    if changed:
        connection.execute(_spend_grant, changed)


def lines_of(connection: Connection, entry_id: int) -> list[Any]:
    """The lines of an entry, in order."""
    return list(connection.execute(select(lines).where(lines.c.entry_id == entry_id).order_by(lines.c.place)).all())


def _check(owner: str, purse: Purse, kind: str, key: str) -> None:
    checked_name(owner, "an owner", OWNER_CHARACTERS)
    checked_name(kind, "a kind", KIND_CHARACTERS)
    checked_name(key, "a key", REFERENCE_CHARACTERS)
    if purse not in PURSES:
        raise InvalidEntry(f"there is no purse '{purse}'; it is paid or granted")
