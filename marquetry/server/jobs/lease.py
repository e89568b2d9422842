"""Leases: who may run a job, and until when. Functions take a connection inside a transaction and never commit.

Next is the owner whose turn it is, and of that owner the job with the lowest number. A job whose worker died before is tried
again alone, so that it can't take others with it; after `MAX_ATTEMPTS` it is set aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, exists, literal_column, select, update

from marquetry.server.database.prepared import Prepared
from marquetry.server.database.tables import job_graphs, jobs
from marquetry.server.jobs.job import JobState
from marquetry.server.jobs.queue import QUEUED, RUNNING, AnyRow, columns
from marquetry.server.jobs.shares import within_limits
from marquetry.server.jobs.token import lease_token

MAX_ATTEMPTS = 3
AFFINITY_WINDOW = 8  # how far ahead a job with better affinity is looked for
MAX_PASSED = 3  # how many such jobs may go before one


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """A wish for at most `limit` jobs.

    `alone`: nothing runs where they will, so a job whose worker died before may be tried again. `affinities` are the weights
    that are resident: among the next jobs of the same priority, those that need them may go first, within bounds.
    """

    holder: str
    limit: int
    now_ms: int
    expires_ms: int
    alone: bool = True
    affinities: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Leased:
    """A job that this process may run, and the token that proves it."""

    id: str
    token: str
    owner: str
    client_id: str
    graph: bytes
    extra: bytes
    outputs: bytes
    started_ms: int
    attempts: int
    affinity: str
    published: bytes | None = None  # the published graphs that it uses


_earlier = jobs.alias("earlier")
_is_overtaken = (  # a job of the same owner has a lower number but a later turn
    exists()
    .where(
        _earlier.c.state == literal_column("'queued'"),
        _earlier.c.owner == columns.owner,
        _earlier.c.priority == columns.priority,
        _earlier.c.number < columns.number,
        _earlier.c.turn > columns.turn,
    )
    .correlate(jobs)
    .label("is_overtaken")
)
_waiting = (
    select(
        columns.seq,
        columns.id,
        columns.owner,
        columns.priority,
        columns.number,
        columns.turn,
        columns.client_id,
        columns.attempts,
        columns.affinity,
        columns.passed,
        columns.max_running,
        columns.outputs,
        job_graphs.c.graph,
        job_graphs.c.extra,
        job_graphs.c.published,
        _is_overtaken,
    )
    .join_from(jobs, job_graphs, job_graphs.c.job_id == columns.id)
    .where(columns.state == QUEUED)
    .limit(bindparam("count"))
    .with_for_update(skip_locked=True, of=jobs)
)
_ordered = _waiting.order_by(columns.priority.desc(), columns.turn, columns.seq)
_next = Prepared(_ordered)
_heads = Prepared(
    _waiting.where(columns.owner == bindparam("owner_name"), columns.priority == bindparam("class_number")).order_by(
        columns.number, columns.seq
    )
)
_lease = Prepared(
    update(jobs)
    .where(columns.id == bindparam("job_id"), columns.state == QUEUED)
    .values(
        state="running",
        turn=bindparam("new_turn"),
        started_ms=bindparam("now_ms"),
        attempts=columns.attempts + 1,
        lease_token=bindparam("token"),
        lease_holder=bindparam("holder"),
        lease_expires_ms=bindparam("expires_ms"),
    )
)
_move = Prepared(update(jobs).where(columns.id == bindparam("job_id")).values(turn=bindparam("new_turn")))
_pass = Prepared(update(jobs).where(columns.id == bindparam("job_id")).values(passed=columns.passed + 1))


def lease_jobs(connection: Connection, requests: Sequence[LeaseRequest]) -> list[list[Leased] | Exception]:
    """Hand out the next jobs of the queue, in order."""
    return [_lease_next(connection, request) for request in requests]


def _lease_next(connection: Connection, request: LeaseRequest) -> list[Leased]:
    window = AFFINITY_WINDOW if request.affinities else 0
    candidates = _next.rows(connection, {"count": request.limit + window})
    if any(row.max_running is not None for row in candidates):
        candidates = within_limits(connection, _ordered, candidates, request.limit + window)
    if not candidates:
        return []
    in_order = not any(row.is_overtaken for row in candidates)
    line = candidates if in_order else _line(connection, candidates)
    chosen = _prefer(connection, line, request) if window else line[: request.limit]
    for place, row in enumerate(chosen):
        if row.attempts:  # its worker died before: alone, or not yet
            chosen = chosen[: place or request.alone]
            break
    keeps_turns = in_order and not window
    turns = {row.id: row.turn for row in chosen} if keeps_turns else _take_turns(connection, candidates, line, chosen)
    leased = [
        Leased(row.id, lease_token(), row.owner, row.client_id, row.graph, row.extra, row.outputs, request.now_ms, row.attempts + 1,
               row.affinity, row.published)
        for row in chosen
    ]  # fmt: skip
    common = {"now_ms": request.now_ms, "holder": request.holder, "expires_ms": request.expires_ms}
    if leased:
        rows = [{"job_id": job.id, "token": job.token, "new_turn": turns[job.id], **common} for job in leased]
        _lease.run(connection, rows)
    return leased


def _line(connection: Connection, candidates: Sequence[AnyRow]) -> list[AnyRow]:
    """For every turn that comes, the job that takes it: its owner's next by number."""
    counts: dict[tuple[str, int], int] = {}
    for row in candidates:
        counts[row.owner, row.priority] = counts.get((row.owner, row.priority), 0) + 1
    heads: dict[tuple[str, int], Iterator[AnyRow]] = {}
    for (owner, priority), count in counts.items():
        rows = _heads.rows(connection, {"owner_name": owner, "class_number": priority, "count": count})
        heads[owner, priority] = iter(rows)
    line = (next(heads[row.owner, row.priority], None) for row in candidates)
    return [row for row in line if row is not None]


def _take_turns(connection: Connection, candidates: Sequence[AnyRow], line: list[AnyRow], chosen: list[AnyRow]) -> dict[str, int]:
    """The turns that the chosen jobs use up: the first of their owners. Who stays gets those that are left, in order of number."""
    mine: dict[tuple[str, int], dict[str, AnyRow]] = {}
    for row in (*candidates, *line):
        mine.setdefault((row.owner, row.priority), {})[row.id] = row
    leaving = {row.id for row in chosen}
    turns: dict[str, int] = {}
    moved: list[dict[str, Any]] = []
    for rows in mine.values():
        free = sorted(row.turn for row in rows.values())
        order = sorted(rows.values(), key=lambda row: (row.id not in leaving, row.number, row.seq))
        for row, turn in zip(order, free, strict=True):
            if row.id in leaving:
                turns[row.id] = turn
            elif row.turn != turn:
                moved.append({"job_id": row.id, "new_turn": turn})
    if moved:
        _move.run(connection, moved)
    return turns


def _prefer(connection: Connection, line: list[AnyRow], request: LeaseRequest) -> list[AnyRow]:
    """The next jobs, those first whose weights are resident; who was passed over often enough is passed no more."""
    places = {row.id: place for place, row in enumerate(line)}

    def rank(row: AnyRow) -> tuple[int, bool, int]:
        patient = row.affinity not in request.affinities and row.passed < MAX_PASSED and not row.attempts
        return -row.priority, patient, places[row.id]

    chosen = sorted(line, key=rank)[: request.limit]
    taken = {row.id for row in chosen}
    last = max((places[row.id] for row in chosen), default=0)
    passed = [{"job_id": row.id} for row in line[:last] if row.id not in taken]
    if passed:
        _pass.run(connection, passed)
    return chosen


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A holder lives: its leases go on until `expires_ms`."""

    holder: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Held:
    """A lease that its holder still has. `cancel_requested`: somebody wants the job stopped."""

    id: str
    token: str
    cancel_requested: bool


def renew_leases(connection: Connection, beats: Sequence[Heartbeat]) -> list[list[Held] | Exception]:
    """Renew all leases of each holder, and say which they are."""
    results: list[list[Held] | Exception] = []
    for beat in beats:
        held = (columns.lease_holder == beat.holder, columns.state == RUNNING)
        connection.execute(update(jobs).where(*held).values(lease_expires_ms=beat.expires_ms))
        rows = connection.execute(select(columns.id, columns.lease_token, columns.cancel_requested).where(*held))
        results.append([Held(row.id, row.lease_token, row.cancel_requested) for row in rows])
    return results


@dataclass(frozen=True, slots=True)
class Loss:
    """Leases that end without a result: the named tokens, those of dead holders, and what expired before `now_ms`.

    `blame`: the job may be the reason, so the attempt counts. `ended_record` makes the history of a job that ends here.
    """

    now_ms: int
    reason: str
    ended_record: Callable[[str, JobState, str], bytes]
    tokens: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    expired: bool = False
    blame: bool = True


@dataclass(frozen=True, slots=True)
class Lost:
    """A job that lost its lease: it is queued again, or cancelled as was asked, or set aside."""

    id: str
    owner: str
    client_id: str
    state: JobState
    attempts: int


def lose_leases(connection: Connection, losses: Sequence[Loss]) -> list[list[Lost] | Exception]:
    """Take leases back. Attempts that count come to an end at `MAX_ATTEMPTS`."""
    return [_lose(connection, loss) for loss in losses]


def _lose(connection: Connection, loss: Loss) -> list[Lost]:
    conditions = [columns.lease_token.in_(loss.tokens), columns.lease_holder.in_(loss.holders)]
    condition = conditions[0] | conditions[1]
    if loss.expired:
        condition |= columns.lease_expires_ms < loss.now_ms
    statement = (
        select(columns.id, columns.owner, columns.client_id, columns.attempts, columns.cancel_requested)
        .where(columns.state == RUNNING, condition)
        .order_by(columns.seq)
        .with_for_update(skip_locked=True)
    )
    lost: list[Lost] = []
    for row in connection.execute(statement).all():
        attempts = row.attempts if loss.blame else row.attempts - 1
        state = JobState.QUEUED
        if row.cancel_requested:
            state = JobState.CANCELLED
        elif attempts >= MAX_ATTEMPTS:
            state = JobState.FAILED
        values: dict[str, Any] = {
            "state": str(state),
            "attempts": attempts,
            "lease_token": None,
            "lease_holder": None,
            "lease_expires_ms": None,
        }
        if state.is_final:
            record = loss.ended_record(row.id, state, loss.reason)
            values |= {"finished_ms": loss.now_ms, "record": record, "set_aside": state is JobState.FAILED}
        connection.execute(update(jobs).where(columns.id == row.id, columns.state == RUNNING).values(**values))
        lost.append(Lost(row.id, row.owner, row.client_id, state, attempts))
    return lost


def running_holders(connection: Connection) -> list[str]:
    """Who holds leases."""
    return list(connection.execute(select(columns.lease_holder).where(columns.state == RUNNING).distinct()).scalars())
