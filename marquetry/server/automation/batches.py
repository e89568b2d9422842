"""Batches: one graph with many sets of inputs, as jobs of their own. Functions take a connection inside a transaction and never commit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, func, insert, select, update

from marquetry.server.automation.errors import NoSuchBatch
from marquetry.server.automation.event import Event
from marquetry.server.automation.tables import batch_items, batches
from marquetry.server.automation.webhooks import tell
from marquetry.server.database.tables import jobs
from marquetry.server.jobs.errors import IdempotencyConflict
from marquetry.server.jobs.queue import AnyRow

FORGOTTEN = "forgotten"  # the state of an item whose job was deleted before its end was noted
REFUSED = "refused"  # its inputs don't fit


@dataclass(frozen=True, slots=True)
class NewItem:
    """A set of inputs as JSON: with the job that they became, or with why they could not become one."""

    inputs: bytes
    job_id: str | None
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch to be kept, beside its jobs. `fingerprint` is of the request that the idempotency key came with."""

    id: str
    owner: str
    name: str
    items: tuple[NewItem, ...]
    now_ms: int
    quote: bytes | None = None
    idempotency_key: str | None = None
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One set of inputs and what became of it."""

    place: int
    inputs: dict[str, Any]
    job_id: str | None
    state: str
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch; `counts` are its items by state."""

    id: str
    owner: str
    name: str
    total: int
    created_ms: int
    finished_ms: int | None
    quote: dict[str, Any] | None
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class End:
    """The end of a job, and what is told of it."""

    job_id: str
    state: str
    error: dict[str, Any] | None
    now_ms: int
    event: Event | None = None


def add_batch(connection: Connection, new: NewBatch) -> None:
    """Keep a batch. Its jobs are put in the queue in the same transaction."""
    head = {name: getattr(new, name) for name in ("id", "owner", "name", "quote", "idempotency_key", "fingerprint")}
    connection.execute(insert(batches).values(**head, total=len(new.items), created_ms=new.now_ms))
    rows = [
        {
            "batch_id": new.id,
            "place": place,
            "inputs": item.inputs,
            "job_id": item.job_id,
            "state": None if item.job_id is not None else REFUSED,
            "error": None if item.error is None else orjson.dumps(item.error),
        }
        for place, item in enumerate(new.items)
    ]
    connection.execute(insert(batch_items), rows)


def batch_of_key(connection: Connection, owner: str, key: str, fingerprint: bytes) -> str | None:
    """The batch that this idempotency key made. Raises IdempotencyConflict when that was another request."""
    found = select(batches.c.id, batches.c.fingerprint).where(batches.c.owner == owner, batches.c.idempotency_key == key)
    row = connection.execute(found).first()
    if row is not None and row.fingerprint != fingerprint:
        raise IdempotencyConflict("this idempotency key was used for another request; use a new key for a new request", batch_id=row.id)
    return None if row is None else str(row.id)


def find_batch(connection: Connection, id: str, owner: str | None) -> tuple[Batch, list[Item]]:
    """A batch and its items in order. Raises NoSuchBatch."""
    statement = select(batches).where(batches.c.id == id)
    row = connection.execute(statement if owner is None else statement.where(batches.c.owner == owner)).first()
    if row is None:
        raise NoSuchBatch(f"there is no batch '{id[:100]}'")
    rows = connection.execute(
        select(batch_items, jobs.c.state.label("job_state"))
        .outerjoin(jobs, jobs.c.id == batch_items.c.job_id)
        .where(batch_items.c.batch_id == id)
        .order_by(batch_items.c.place)
    )
    items = [_item(entry) for entry in rows]
    return _batch(row, Counter(item.state for item in items)), items


def list_batches(connection: Connection, owner: str | None, limit: int, offset: int) -> tuple[list[Batch], int]:
    """A page of batches, newest first, and how many there are."""
    mine = [] if owner is None else [batches.c.owner == owner]
    total = connection.execute(select(func.count()).select_from(batches).where(*mine)).scalar_one()
    page = select(batches).where(*mine).order_by(batches.c.created_ms.desc(), batches.c.id).limit(limit).offset(offset)
    rows = connection.execute(page).all()
    state = func.coalesce(batch_items.c.state, jobs.c.state, FORGOTTEN).label("state")
    counted = connection.execute(
        select(batch_items.c.batch_id, state, func.count().label("n"))
        .outerjoin(jobs, jobs.c.id == batch_items.c.job_id)
        .where(batch_items.c.batch_id.in_([row.id for row in rows]))
        .group_by(batch_items.c.batch_id, state)
    )
    counts: dict[str, Counter[str]] = {}
    for entry in counted:
        counts.setdefault(entry.batch_id, Counter())[entry.state] = entry.n
    return [_batch(row, counts.get(row.id, Counter())) for row in rows], int(total)


def note_end(connection: Connection, end: End) -> int:
    """Tell who wants to know that a job ended; if it was the last of a batch, that this has ended too. Gives how many messages that makes."""
    told = 0 if end.event is None else tell(connection, [end.event])
    owners = select(batch_items.c.batch_id).where(batch_items.c.job_id == end.job_id, batch_items.c.state.is_(None))
    for batch_id in list(connection.execute(owners).scalars()):
        connection.execute(select(batches.c.id).where(batches.c.id == batch_id).with_for_update())  # one at a time, so that one is the last
        error = None if end.error is None else orjson.dumps(end.error)
        mine = (batch_items.c.batch_id == batch_id, batch_items.c.job_id == end.job_id)
        connection.execute(update(batch_items).where(*mine).values(state=end.state, error=error))
        told += _finish(connection, batch_id, end.now_ms)
    return told


def _finish(connection: Connection, batch_id: str, now_ms: int) -> int:
    open_items = select(func.count()).select_from(batch_items).where(batch_items.c.batch_id == batch_id, batch_items.c.state.is_(None))
    if connection.execute(open_items).scalar_one():
        return 0
    ended = update(batches).where(batches.c.id == batch_id, batches.c.finished_ms.is_(None)).values(finished_ms=now_ms)
    if not connection.execute(ended).rowcount:
        return 0
    batch, _ = find_batch(connection, batch_id, None)
    data = {"batch_id": batch.id, "name": batch.name, "total": batch.total, "counts": batch.counts}
    return tell(connection, [Event(batch.owner, "batch.completed", f"batch {batch.id}", data, now_ms)])


def unnoted_ends(connection: Connection, limit: int) -> list[str]:
    """Ids of jobs of batches that have ended, or are deleted, which the batches don't know yet."""
    final = jobs.c.finished_ms.is_not(None) | jobs.c.id.is_(None)
    statement = (
        select(batch_items.c.job_id)
        .outerjoin(jobs, jobs.c.id == batch_items.c.job_id)
        .where(batch_items.c.state.is_(None), batch_items.c.job_id.is_not(None), final)
    )
    return list(connection.execute(statement.limit(limit)).scalars())


def open_owners(connection: Connection) -> set[str]:
    """Whose batches have not ended."""
    return set(connection.execute(select(batches.c.owner).where(batches.c.finished_ms.is_(None)).distinct()).scalars())


def _batch(row: AnyRow, counts: Counter[str]) -> Batch:
    quote = None if row.quote is None else orjson.loads(row.quote)
    return Batch(row.id, row.owner, row.name, row.total, row.created_ms, row.finished_ms, quote, dict(counts))


def _item(row: AnyRow) -> Item:
    error = None if row.error is None else orjson.loads(row.error)
    return Item(row.place, orjson.loads(row.inputs), row.job_id, row.state or row.job_state or FORGOTTEN, error)
