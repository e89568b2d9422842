"""The queue of record: what may happen to rows of jobs. Functions take a connection inside a transaction and never commit.

Order: higher priority first; owners take turns; an owner's own jobs go by number, then by arrival. Only the holder of a job's
lease, proved by its token, may finish it; every job reaches one final state, once.

Turns are start-time fair queuing (Goyal, Vin and Cheng, 1996): a job's turn is when its owner's share lets it begin, and an owner's next
turn comes a stride later, the shorter the greater the weight. Who had nothing waiting or running is next, so that a crowd delays them by
no more than what runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, func, insert, literal_column, select, tuple_, update

from marquetry.server.database.prepared import Prepared
from marquetry.server.database.tables import job_graphs, jobs
from marquetry.server.jobs.errors import DuplicateJob, IdempotencyConflict, QueueFull
from marquetry.server.jobs.job import JobState

QUEUED: ColumnElement[str] = literal_column("'queued'")  # literal, so that the partial indexes are used
RUNNING: ColumnElement[str] = literal_column("'running'")
STRIDE = 1_000_000  # from one turn of an owner to the next, for weight 1
columns = jobs.c
AnyRow: TypeAlias = Row[*tuple[Any, ...]]


# Statements are prepared: making one, and SQLAlchemy's way through it, cost more than running it.
_in_class = columns.priority == bindparam("class_number")
_mine = columns.owner == bindparam("owner_name")
_last = select(func.max(columns.turn)).where(columns.state == QUEUED, _mine, _in_class)
_mine_runs = select(func.max(columns.turn)).where(columns.state == RUNNING, _mine, _in_class)
_runs = select(func.max(columns.turn)).where(columns.state == RUNNING, _in_class)
_first = select(func.min(columns.turn)).where(columns.state == QUEUED, _in_class)
_turns = Prepared(
    select(
        _last.scalar_subquery().label("last_turn"),
        _mine_runs.scalar_subquery().label("my_running"),
        _runs.scalar_subquery().label("running"),
        _first.scalar_subquery().label("first_turn"),
    )
)
_waiting = Prepared(
    select(func.count().label("waiting")).select_from(jobs).where(columns.client == bindparam("client_name"), columns.state == QUEUED)
)
_same_key = Prepared(
    select(columns.id, columns.fingerprint).where(columns.owner == bindparam("owner_name"), columns.idempotency_key == bindparam("key"))
)
_same_id = Prepared(select(columns.seq).where(columns.id == bindparam("job_id")))
_insert_job = Prepared(
    insert(jobs),
    ("id", "owner", "client_id", "client", "state", "priority", "number", "turn", "affinity", "passed", "max_running", "expected_ms",
     "created_ms", "attempts", "set_aside", "cancel_requested", "idempotency_key", "fingerprint", "outputs"),
)  # fmt: skip
_insert_graph = Prepared(insert(job_graphs), ("job_id", "graph", "extra", "published"))


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be put in the queue. `waiting_limit` bounds the jobs that its client has waiting; `fingerprint` is of the request.

    `weight` and `max_running` are its owner's standing; `expected_ms` is how long it will run, where that can be told.
    """

    id: str
    owner: str
    client_id: str
    priority: int
    number: float
    created_ms: int
    graph: bytes
    extra: bytes
    outputs: bytes
    affinity: str = ""
    idempotency_key: str | None = None
    fingerprint: bytes | None = None
    waiting_limit: int | None = None
    id_given: bool = False
    weight: int = 1
    max_running: int | None = None
    expected_ms: int | None = None
    terms: Any = None  # of the accounting: under which it is queued
    published: bytes | None = None

    @property
    def client(self) -> str:
        return self.owner or self.client_id


@dataclass(frozen=True, slots=True)
class Inserted:
    """`existing`: the idempotency key was used for the same request before; this is the job that it made."""

    id: str
    existing: bool = False


@dataclass(frozen=True, slots=True)
class Finish:
    """A final state, and the proof that its writer holds the lease."""

    id: str
    token: str
    state: JobState
    finished_ms: int
    record: bytes
    report: Any = None  # for the accounting: what is not known to be written down


@dataclass(frozen=True, slots=True)
class Cancel:
    """A wish that a job stops. `record` becomes the history of a job that never ran; `running`: one that runs should stop too."""

    id: str
    finished_ms: int
    record: bytes
    owner: str | None = None
    running: bool = True


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What became of the wish: final at once, or asked of the holder of the lease. Neither: there was nothing to stop."""

    ended: bool
    requested: bool
    owner: str = ""
    client_id: str = ""


@dataclass(slots=True)
class _Line:
    """What is known of a client's and an owner's places while a batch is inserted."""

    waiting: int
    turn: int


def insert_jobs(connection: Connection, news: Sequence[NewJob]) -> list[Inserted | Exception]:
    """Put jobs in the queue. Gives QueueFull, DuplicateJob or IdempotencyConflict for those that can't be."""
    results: list[Inserted | Exception] = []
    rows: list[dict[str, Any]] = []
    graphs: list[dict[str, Any]] = []
    waiting: dict[str, int] = {}
    turns: dict[tuple[str, int], int] = {}
    ids: set[str] = set()
    keys: dict[tuple[str, str], NewJob] = {}
    for new in news:
        refused = _refusal(connection, new, ids, keys)
        if refused is None and new.waiting_limit is not None:
            if new.client not in waiting:
                waiting[new.client] = _count_waiting(connection, new.client)
            if waiting[new.client] >= new.waiting_limit:
                refused = QueueFull(
                    f"{waiting[new.client]} jobs are waiting already, as many as one client may have; wait until some are done",
                    limit=new.waiting_limit,
                )
        if refused is not None:
            results.append(refused)
            continue
        place = (new.owner, new.priority)
        stride = STRIDE // new.weight
        turns[place] = turns[place] + stride if place in turns else _next_turn(connection, new.owner, new.priority, stride)
        waiting[new.client] = waiting.get(new.client, 0) + 1
        ids.add(new.id)
        if new.idempotency_key is not None:
            keys[new.owner, new.idempotency_key] = new
        rows.append(_row(new, turns[place]))
        graphs.append({"job_id": new.id, "graph": new.graph, "extra": new.extra, "published": new.published})
        results.append(Inserted(new.id))
    if rows:
        _insert_job.run(connection, rows)
        _insert_graph.run(connection, graphs)
    return results


def _refusal(connection: Connection, new: NewJob, ids: set[str], keys: dict[tuple[str, str], NewJob]) -> Inserted | Exception | None:
    if new.idempotency_key is not None:
        twin = keys.get((new.owner, new.idempotency_key))
        known: tuple[str, bytes | None] | None = (twin.id, twin.fingerprint) if twin is not None else None
        if known is None:
            found = _same_key.rows(connection, {"owner_name": new.owner, "key": new.idempotency_key})
            known = (found[0].id, found[0].fingerprint) if found else None
        if known is not None:
            if known[1] == new.fingerprint:
                return Inserted(known[0], existing=True)
            return IdempotencyConflict(
                "this idempotency key was used for another request; use a new key for a new request", job_id=known[0]
            )
    if new.id in ids or (new.id_given and _same_id.rows(connection, {"job_id": new.id})):
        return DuplicateJob(f"there is a job '{new.id}' already", job_id=new.id)
    return None


def _count_waiting(connection: Connection, client: str) -> int:
    return int(_waiting.rows(connection, {"client_name": client})[0].waiting)


def _next_turn(connection: Connection, owner: str, priority: int, stride: int) -> int:
    """A stride after the owner's last job that waits or runs, and never before the one that began last: nobody saves up turns."""
    last, mine, running, first = _turns.rows(connection, {"owner_name": owner, "class_number": priority})[0]
    now = running if running is not None else first or 0
    before = [turn for turn in (last, mine) if turn is not None]
    return max(now, max(before) + stride) if before else int(now)


def _row(new: NewJob, turn: int) -> dict[str, Any]:
    return {
        "id": new.id,
        "owner": new.owner,
        "client_id": new.client_id,
        "client": new.client,
        "state": "queued",
        "priority": new.priority,
        "number": new.number,
        "turn": turn,
        "affinity": new.affinity,
        "passed": 0,
        "max_running": new.max_running,
        "expected_ms": new.expected_ms,
        "created_ms": new.created_ms,
        "attempts": 0,
        "set_aside": False,
        "cancel_requested": False,
        "idempotency_key": new.idempotency_key,
        "fingerprint": new.fingerprint,
        "outputs": new.outputs,
    }


_finish = Prepared(
    update(jobs)
    .where(columns.id == bindparam("job_id"), columns.lease_token == bindparam("token"), columns.state == RUNNING)
    .values(
        state=bindparam("final_state"),
        finished_ms=bindparam("end_ms"),
        record=bindparam("history"),
        lease_expires_ms=None,
    )
)


def finish_jobs(connection: Connection, finishes: Sequence[Finish]) -> list[bool | Exception]:
    """Write final states. False where the lease is another's by now, or the job is final: then nothing was written."""
    rows = [
        {"job_id": end.id, "token": end.token, "final_state": str(end.state), "end_ms": end.finished_ms, "history": end.record}
        for end in finishes
    ]
    if _finish.run(connection, rows) == len(rows):
        return [True] * len(rows)
    pairs = [(end.id, end.token) for end in finishes]
    held = select(columns.id, columns.lease_token, columns.state, columns.finished_ms).where(
        tuple_(columns.id, columns.lease_token).in_(pairs)
    )
    written = {(row.id, row.lease_token, row.state, row.finished_ms) for row in connection.execute(held)}
    return [(end.id, end.token, str(end.state), end.finished_ms) in written for end in finishes]


def cancel_jobs(connection: Connection, wishes: Sequence[Cancel]) -> list[Cancelled | Exception]:
    """End jobs that wait; note on running ones that they should stop. Another owner's jobs are left alone."""
    results: list[Cancelled | Exception] = []
    for wish in wishes:
        mine = [columns.id == wish.id] if wish.owner is None else [columns.id == wish.id, columns.owner == wish.owner]
        ended = connection.execute(
            update(jobs)
            .where(*mine, columns.state == QUEUED)
            .values(state="cancelled", finished_ms=wish.finished_ms, record=wish.record)
            .returning(columns.owner, columns.client_id)
        ).first()
        if ended is not None:
            results.append(Cancelled(True, False, ended.owner, ended.client_id))
            continue
        requested = 0
        if wish.running:
            requested = connection.execute(update(jobs).where(*mine, columns.state == RUNNING).values(cancel_requested=True)).rowcount
        results.append(Cancelled(False, requested > 0))
    return results


@dataclass(frozen=True, slots=True)
class Removal:
    """Finished jobs to forget: those of `ids`, or all; of one owner, or of everybody."""

    ids: tuple[str, ...] | None = None
    owner: str | None = None


def remove_finished(connection: Connection, removals: Sequence[Removal]) -> list[int | Exception]:
    """Forget finished jobs; how many they were."""
    results: list[int | Exception] = []
    for removal in removals:
        statement = delete(jobs).where(columns.finished_ms.is_not(None))
        if removal.ids is not None:
            statement = statement.where(columns.id.in_(removal.ids))
        if removal.owner is not None:
            statement = statement.where(columns.owner == removal.owner)
        results.append(connection.execute(statement).rowcount)
    return results
