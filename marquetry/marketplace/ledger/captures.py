"""Captures: what finished nodes cost, taken from the hold of their run and divided between creators and the platform. Once per node and kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import bindparam, select, update

from marquetry.marketplace.errors import MarketError
from marquetry.marketplace.ledger.accounts import PLATFORM, Kind
from marquetry.marketplace.ledger.book import Book, Line, Posting
from marquetry.marketplace.ledger.checks import checked_amount, checked_name, digest, shortened
from marquetry.marketplace.ledger.credits import draw
from marquetry.marketplace.ledger.errors import HoldExceeded, InvalidEntry, KeyReused, UnknownHold
from marquetry.marketplace.ledger.holds import hold_of, locked_holds, require_open, written
from marquetry.marketplace.ledger.rows import among
from marquetry.marketplace.ledger.tables import (
    KIND_CHARACTERS,
    LISTING_CHARACTERS,
    NODE_CHARACTERS,
    OPERATION_CHARACTERS,
    OWNER_CHARACTERS,
    RUN_CHARACTERS,
    holds,
)
from marquetry.marketplace.ledger.values import Capture, Captured

if TYPE_CHECKING:
    from sqlalchemy import Connection

USAGE = "usage"
MAX_SHARES = 1000
SPLIT_CHARACTERS = 64

_take = (
    update(holds)
    .where(holds.c.run_id == bindparam("which"))
    .values(captured=holds.c.captured + bindparam("taken"), sources=bindparam("left"))
)


@dataclass(slots=True)
class _OpenHold:
    row: Any
    sources: list[tuple[int | None, int]]
    remaining: int
    taken: int = 0


def capture(connection: Connection, captures: Sequence[Capture], now_ms: int) -> list[Captured]:
    """Charge finished nodes, all or none. A capture that stands already changes nothing.

    Raises KeyReused (the node and kind were charged otherwise), HoldExceeded, HoldClosed, UnknownHold, InvalidEntry, before anything is
    written.
    """
    return [_good(result) for result in _capture(connection, captures, now_ms, whole=True)]


def capture_each(connection: Connection, captures: Sequence[Capture], now_ms: int) -> list[Captured | MarketError]:
    """As `capture`, but each for itself: one that can't be made gives its error and hinders no other."""
    return _capture(connection, captures, now_ms, whole=False)


def capture_key(run_id: str, node_id: str, kind: str) -> str:
    """What makes a capture happen once."""
    return digest("capture", run_id, node_id, kind)


def _capture(connection: Connection, captures: Sequence[Capture], now_ms: int, *, whole: bool) -> list[Captured | MarketError]:
    if not captures:
        return []
    faults = [_fault(entry) for entry in captures]
    runs = sorted({entry.run_id for entry, fault in zip(captures, faults, strict=True) if fault is None})
    shards = connection.execute(select(holds.c.shard).where(among(connection, holds.c.run_id, runs)).distinct()).scalars()
    book = Book(connection, shards, now_ms)
    there = {row.run_id: _open_hold(row) for row in locked_holds(connection, runs)}
    keys = [
        capture_key(entry.run_id, entry.node_id, entry.kind) if fault is None else "" for entry, fault in zip(captures, faults, strict=True)
    ]
    known = {key: (row.id, row.request_hash) for key, row in book.known(key for key in keys if key).items()}
    book.open({hold.row.owner for hold in there.values()} | {share.creator for entry in captures for share in entry.shares})
    results: list[Captured | MarketError] = []
    for entry, fault, key in zip(captures, faults, keys, strict=True):
        try:
            results.append(_one(book, known, there.get(entry.run_id), entry, key) if fault is None else fault)
        except MarketError as error:
            results.append(error)
    if whole and any(isinstance(result, MarketError) for result in results):
        return results
    book.write()
    taken = [{"which": run_id, "taken": hold.taken, "left": written(hold.sources)} for run_id, hold in sorted(there.items()) if hold.taken]
    if taken:
        connection.execute(_take, taken)
    return results


def _one(book: Book, known: dict[str, tuple[int, str]], hold: _OpenHold | None, entry: Capture, key: str) -> Captured:
    if hold is None:
        raise UnknownHold(f"nothing was held for the run '{entry.run_id}'")
    shares = [(share.creator, share.listing, share.amount_microcredits, share.split) for share in entry.shares]
    request_hash = digest(entry.amount_microcredits, shares, entry.operation)
    if key in known:
        id, before = known[key]
        if before != request_hash:
            raise KeyReused(f"node '{entry.node_id}' of the run '{entry.run_id}' was charged otherwise before", run_id=entry.run_id)
        return Captured(id, entry.run_id, entry.node_id, entry.kind, entry.amount_microcredits, hold.remaining, True)
    if hold.row.state != "open":
        require_open(hold_of(hold.row))
    if entry.amount_microcredits > hold.remaining:
        raise HoldExceeded(
            f"node '{entry.node_id}' costs {entry.amount_microcredits:,} micro-credits and {hold.remaining:,} are left of the hold",
            remaining=hold.remaining,
            required=entry.amount_microcredits,
        )
    id = book.post(hold.row.shard, _posting(hold, entry, key, request_hash))
    known[key] = (id, request_hash)
    return Captured(id, entry.run_id, entry.node_id, entry.kind, entry.amount_microcredits, hold.remaining, False)


def _posting(hold: _OpenHold, entry: Capture, key: str, request_hash: str) -> Posting:
    """The entry; takes its amount out of what is left of the hold."""
    amount = entry.amount_microcredits
    drawn = draw(hold.sources, amount)
    hold.sources = without(hold.sources, amount)
    hold.remaining -= amount
    hold.taken += amount
    moved = [Line(Kind.HELD, hold.row.owner, -part, grant) for grant, part in drawn]
    earned = 0
    for share in entry.shares:
        if share.amount_microcredits:
            moved.append(Line(Kind.ACCRUED, share.creator, share.amount_microcredits, None, share.listing, share.split))
            earned += share.amount_microcredits
    if amount > earned:
        moved.append(Line(Kind.REVENUE, PLATFORM, amount - earned))
    return Posting(
        USAGE, hold.row.owner, key, request_hash, moved, entry.run_id, entry.node_id, entry.operation, entry.kind, shortened(entry.description)
    )  # fmt: skip


def without(sources: Sequence[tuple[int | None, int]], amount: int) -> list[tuple[int | None, int]]:
    """What is left of sources when `amount` was taken from the front."""
    left: list[tuple[int | None, int]] = []
    for grant, part in sources:
        used = min(part, amount)
        amount -= used
        if part > used:
            left.append((grant, part - used))
    return left


def _open_hold(row: Any) -> _OpenHold:
    sources = [(grant, part) for grant, part in orjson.loads(row.sources)]
    return _OpenHold(row, sources, sum(part for _, part in sources))


def _fault(entry: Capture) -> MarketError | None:
    """What makes a capture impossible whatever the hold has."""
    try:
        checked_name(entry.run_id, "a run's id", RUN_CHARACTERS)
        checked_name(entry.node_id, "a node's id", NODE_CHARACTERS, empty=True)
        checked_name(entry.kind, "a kind", KIND_CHARACTERS)
        checked_name(entry.operation, "an operation", OPERATION_CHARACTERS, empty=True)
        checked_amount(entry.amount_microcredits)
        if entry.shares:
            _check_shares(entry)
    except MarketError as error:
        return error
    return None


def _check_shares(entry: Capture) -> None:
    if len(entry.shares) > MAX_SHARES:
        raise InvalidEntry(f"one node has at most {MAX_SHARES} shares; this one has {len(entry.shares)}")
    for share in entry.shares:
        checked_name(share.creator, "a creator", OWNER_CHARACTERS)
        checked_name(share.listing, "a listing", LISTING_CHARACTERS, empty=True)
        checked_name(share.split, "a split", SPLIT_CHARACTERS, empty=True)
    shared = sum([checked_amount(share.amount_microcredits) for share in entry.shares])
    if shared > entry.amount_microcredits:
        raise InvalidEntry(f"the shares of node '{entry.node_id}' are {shared:,} of {entry.amount_microcredits:,} micro-credits")


def _good(result: Captured | MarketError) -> Captured:
    if isinstance(result, MarketError):
        raise result
    return result
