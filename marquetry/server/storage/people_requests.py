"""Requests of people about what is kept of them: rows of exports and erasures. Functions take a connection and never commit."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, insert, select, update

from marquetry.server.storage.errors import FileMissing
from marquetry.server.storage.tables import people_requests

EXPORT, ERASURE = "export", "erasure"
WAITING, RUNNING, SWEEPING, DONE, FAILED = "waiting", "running", "sweeping", "done", "failed"
OPEN = (WAITING, RUNNING, SWEEPING)
REQUEST_ID = "req_[0-9a-f]{32}"
NOBODY = "(erased)"


@dataclass(frozen=True, slots=True)
class PeopleRequest:
    """A request, and how far it is. `sweeping`: erased, and looked after once more when nobody can be signed in any longer."""

    id: str
    kind: str
    owner: str
    state: str
    options: dict[str, Any]
    created_ms: int
    finished_ms: int | None = None
    file_id: str | None = None
    report: dict[str, Any] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What becomes of a request."""

    id: str
    state: str
    finished_ms: int | None = None
    file_id: str | None = None
    report: dict[str, Any] | None = None
    error: str | None = None
    owner: str | None = None  # a new one, where the old one is to be forgotten


def new_request(kind: str, owner: str, now_ms: int, **options: Any) -> PeopleRequest:
    return PeopleRequest(f"req_{secrets.token_hex(16)}", kind, owner, WAITING, options, now_ms)


def add_request(connection: Connection, request: PeopleRequest) -> PeopleRequest:
    """Add it; where the owner has an open one of the same kind, that is given instead."""
    mine = (people_requests.c.owner == request.owner, people_requests.c.kind == request.kind, people_requests.c.state.in_(OPEN))
    known = connection.execute(select(people_requests).where(*mine).limit(1)).first()
    if known is not None:
        return _of_row(known)
    connection.execute(
        insert(people_requests).values(
            id=request.id,
            kind=request.kind,
            owner=request.owner,
            state=request.state,
            options=orjson.dumps(request.options),
            created_ms=request.created_ms,
        )
    )
    return request


def find_request(connection: Connection, id: str, owner: str | None) -> PeopleRequest:
    """Raises FileMissing, also for another owner's."""
    found = select(people_requests).where(people_requests.c.id == id)
    row = connection.execute(found if owner is None else found.where(people_requests.c.owner == owner)).first()
    if row is None:
        raise FileMissing(f"there is no request '{id[:60]}'")
    return _of_row(row)


def open_requests(connection: Connection) -> list[PeopleRequest]:
    """All that are not over, in the order in which they came."""
    found = select(people_requests).where(people_requests.c.state.in_(OPEN)).order_by(people_requests.c.created_ms, people_requests.c.id)
    return [_of_row(row) for row in connection.execute(found)]


def note_progress(connection: Connection, progress: Progress) -> None:
    values: dict[str, Any] = {"state": progress.state}
    for name in ("finished_ms", "file_id", "error", "owner"):
        if getattr(progress, name) is not None:
            values[name] = getattr(progress, name)
    if progress.report is not None:
        values["report"] = orjson.dumps(progress.report)
    connection.execute(update(people_requests).where(people_requests.c.id == progress.id).values(**values))


def _of_row(row: Any) -> PeopleRequest:
    return PeopleRequest(
        row.id,
        row.kind,
        row.owner,
        row.state,
        orjson.loads(row.options),
        row.created_ms,
        row.finished_ms,
        row.file_id,
        None if row.report is None else orjson.loads(row.report),
        row.error,
    )
