"""Holds: credits set aside for a run, granted ones first. What is not captured goes back to where it came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import bindparam, func, select, update

from marquetry.marketplace.accounts.api_keys import give_back_to_key, spend_with_key
from marquetry.marketplace.ledger.accounts import Kind, shard_of
from marquetry.marketplace.ledger.book import Book, Line, Posting
from marquetry.marketplace.ledger.checks import checked_amount, checked_name, digest
from marquetry.marketplace.ledger.credits import change_grants, draw, open_grants
from marquetry.marketplace.ledger.errors import HoldClosed, InsufficientCredits, KeyReused, TooManyHolds, UnknownHold
from marquetry.marketplace.ledger.rows import among, insert_rows
from marquetry.marketplace.ledger.tables import OWNER_CHARACTERS, RUN_CHARACTERS, holds
from marquetry.marketplace.ledger.values import Hold, Purpose

if TYPE_CHECKING:
    from sqlalchemy import Connection

HOLD_TTL_MS = 300_000
MAX_OPEN_HOLDS = 10_000
"""Of one owner."""

_close = (
    update(holds)
    .where(holds.c.run_id == bindparam("which"))
    .values(state=bindparam("to_state"), released=holds.c.released + bindparam("back"), sources="[]")
)


def place_hold(
    connection: Connection,
    *,
    owner: str,
    run_id: str,
    amount_microcredits: int,
    now_ms: int,
    ttl_ms: int = HOLD_TTL_MS,
    purpose: Purpose = "run",
    key_id: str | None = None,
) -> Hold:
    """Set credits aside for a run, counted against the limit of the API key that asks. The same again gives the hold as it is now, whatever
    became of it.

    Raises InsufficientCredits; KeySpendLimit; KeyReused when the run has a hold of another owner or amount; TooManyHolds; InvalidEntry.
    """
    amount = checked_amount(amount_microcredits)
    checked_name(owner, "an owner", OWNER_CHARACTERS)
    checked_name(run_id, "a run's id", RUN_CHARACTERS)
    shard = shard_of(owner)
    book = Book(connection, [shard], now_ms)
    posted, request_hash = digest("hold", run_id), digest(owner, amount, purpose)
    found = find_hold(connection, run_id)
    if found is not None:
        if book.replay(posted, request_hash, run_id) is None:
            raise KeyReused(f"the run '{run_id}' has a hold already", key=run_id)
        return found
    open_ones = select(func.count()).select_from(holds).where(holds.c.owner == owner, holds.c.state == "open")
    if connection.execute(open_ones).scalar_one() >= MAX_OPEN_HOLDS:
        raise TooManyHolds(f"there are {MAX_OPEN_HOLDS:,} open holds; release some first", limit=MAX_OPEN_HOLDS)
    sources = _set_aside(connection, book, shard, owner, run_id, amount, posted, request_hash, key_id)
    row = {
        "run_id": run_id,
        "owner": owner,
        "shard": shard,
        "purpose": purpose,
        "state": "open",
        "amount": amount,
        "captured": 0,
        "released": 0,
        "sources": written(sources),
        "created_ms": now_ms,
        "expires_ms": now_ms + ttl_ms,
        "key_id": key_id,
    }
    insert_rows(connection, holds, [row])
    return Hold(run_id, owner, "open", amount, 0, 0, now_ms, now_ms + ttl_ms, purpose)


def reopen_hold(connection: Connection, *, run_id: str, amount_microcredits: int, now_ms: int, ttl_ms: int = HOLD_TTL_MS) -> Hold:
    """Set credits aside again for a run that goes on after its hold expired or was released. An open hold stays as it is.

    What was captured of it stays captured, so no node is charged twice. Raises UnknownHold, InsufficientCredits, KeySpendLimit,
    InvalidEntry.
    """
    amount = checked_amount(amount_microcredits)
    known = find_hold(connection, run_id)
    if known is None:
        raise UnknownHold(f"nothing was ever held for the run '{run_id[:RUN_CHARACTERS]}'")
    shard = shard_of(known.owner)
    book = Book(connection, [shard], now_ms)
    (row,) = locked_holds(connection, [run_id])
    if row.state == "open":
        return hold_of(row)
    posted = digest("hold", run_id, book.next_id(shard))
    sources = _set_aside(connection, book, shard, row.owner, run_id, amount, posted, posted, row.key_id)
    values = {"state": "open", "amount": row.amount + amount, "sources": written(sources), "expires_ms": now_ms + ttl_ms}
    connection.execute(update(holds).where(holds.c.run_id == run_id).values(**values))
    return Hold(run_id, row.owner, "open", row.amount + amount, row.captured, row.released, row.created_ms, now_ms + ttl_ms, row.purpose)


def renew_holds(connection: Connection, run_ids: Iterable[str], now_ms: int, ttl_ms: int = HOLD_TTL_MS) -> None:
    """Runs live: their open holds go on for another `ttl_ms`."""
    wanted = sorted(set(run_ids))
    if wanted:
        locked_holds(connection, wanted)  # in the order of the others, so that nobody waits in a circle
        mine = (among(connection, holds.c.run_id, wanted), holds.c.state == "open", holds.c.expires_ms < now_ms + ttl_ms)
        connection.execute(update(holds).where(*mine).values(expires_ms=now_ms + ttl_ms))


def release(connection: Connection, run_id: str, now_ms: int) -> int:
    """End a hold. Gives what goes back to the purses that it came from: 0 when nothing was held, or it was released before."""
    known = find_hold(connection, run_id)
    if known is None or known.state != "open":
        return 0
    book = Book(connection, [shard_of(known.owner)], now_ms)
    return _give_back(connection, book, [run_id], "released", "released")[1]


def expire_holds(connection: Connection, now_ms: int, limit: int = 1000) -> int:
    """End holds that nobody renewed; gives how many, at most `limit`."""
    due = (holds.c.state == "open", holds.c.expires_ms <= now_ms)
    rows = connection.execute(select(holds.c.run_id, holds.c.shard).where(*due).order_by(holds.c.expires_ms).limit(limit)).all()
    if not rows:
        return 0
    book = Book(connection, {row.shard for row in rows}, now_ms)
    return _give_back(connection, book, [row.run_id for row in rows], "expired", "nobody renewed it", before_ms=now_ms)[0]


def find_hold(connection: Connection, run_id: str) -> Hold | None:
    """A hold as it is now."""
    row = connection.execute(select(holds).where(holds.c.run_id == run_id)).one_or_none()
    return None if row is None else hold_of(row)


def require_open(hold: Hold) -> None:
    """Raises HoldClosed."""
    if hold.state != "open":
        raise HoldClosed(f"the hold of the run '{hold.run_id}' has {'expired' if hold.state == 'expired' else 'been released'}")


def locked_holds(connection: Connection, run_ids: Sequence[str]) -> list[Any]:
    """Rows of holds, locked in order of their runs."""
    statement = select(holds).where(among(connection, holds.c.run_id, run_ids)).order_by(holds.c.run_id).with_for_update()
    return list(connection.execute(statement).all())


def hold_of(row: Any) -> Hold:
    """A row as a value."""
    return Hold(row.run_id, row.owner, row.state, row.amount, row.captured, row.released, row.created_ms, row.expires_ms, row.purpose)


def written(sources: Sequence[tuple[int | None, int]]) -> str:
    """Sources as they are kept."""
    return orjson.dumps(sources).decode()


def _set_aside(
    connection: Connection,
    book: Book,
    shard: int,
    owner: str,
    run_id: str,
    amount: int,
    posted: str,
    request_hash: str,
    key_id: str | None,
) -> list[tuple[int | None, int]]:
    book.open([owner])
    paid = book.balance(Kind.PAID, owner, shard)
    sources = draw([*open_grants(connection, owner, book.now_ms), *([(None, paid)] if paid else [])], amount)
    there = sum(part for _, part in sources)
    if there < amount:
        raise InsufficientCredits(
            f"this needs {amount:,} micro-credits and there are {there:,}; buy credits, or make the graph smaller",
            balance=there,
            required=amount,
        )
    if key_id is not None:
        spend_with_key(connection, key_id, amount)
    moved = [line for grant, part in sources for line in (Line(_purse(grant), owner, -part, grant), Line(Kind.HELD, owner, part, grant))]
    book.post(shard, Posting("reserve", owner, posted, request_hash, moved, run_id=run_id, reference=run_id))
    book.write()
    change_grants(connection, [(grant, -part) for grant, part in sources])
    return sources


def _give_back(
    connection: Connection, book: Book, run_ids: Sequence[str], state: str, description: str, before_ms: int | None = None
) -> tuple[int, int]:
    rows = [
        row
        for row in locked_holds(connection, run_ids)
        if row.state == "open" and (before_ms is None or row.expires_ms <= before_ms)
    ]  # fmt: skip
    book.open({row.owner for row in rows})
    closed: list[dict[str, Any]] = []
    returned: list[tuple[int | None, int]] = []
    unspent: dict[str, int] = {}
    for row in rows:
        sources = orjson.loads(row.sources)
        back = sum(part for _, part in sources)
        closed.append({"which": row.run_id, "to_state": state, "back": back})
        if not back:
            continue
        if row.key_id is not None:
            unspent[row.key_id] = unspent.get(row.key_id, 0) + back
        posted = digest("release", row.run_id, book.next_id(row.shard))
        moved = [
            line
            for grant, part in sources
            for line in (Line(Kind.HELD, row.owner, -part, grant), Line(_purse(grant), row.owner, part, grant))
        ]
        entry = Posting("release", row.owner, posted, posted, moved, run_id=row.run_id, reference=row.run_id, description=description)
        book.post(row.shard, entry)
        returned += [(grant, part) for grant, part in sources]
    book.write()
    change_grants(connection, returned)
    if closed:
        connection.execute(_close, closed)
    for key_id, amount in sorted(unspent.items()):
        give_back_to_key(connection, key_id, amount)
    return len(closed), sum(entry["back"] for entry in closed)


def _purse(grant: int | None) -> Kind:
    return Kind.PAID if grant is None else Kind.GRANTED
