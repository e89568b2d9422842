"""The queue under random operations: no job is lost, none ends twice, order holds, attempts are counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import Connection, Engine, delete, select

from marquetry.server.database.connect import make_engine
from marquetry.server.database.migrate import migrate
from marquetry.server.database.tables import jobs
from marquetry.server.jobs.job import JobState
from marquetry.server.jobs.lease import MAX_ATTEMPTS, Heartbeat, Leased, LeaseRequest, Loss, lease_jobs, lose_leases, renew_leases
from marquetry.server.jobs.queue import Cancel, Finish, Inserted, NewJob, cancel_jobs, finish_jobs, insert_jobs

LEASE_MS = 1000


@dataclass
class Expected:
    """What must be true of one job."""

    id: str
    owner: str
    priority: int
    number: float
    place: int
    state: str = "queued"
    attempts: int = 0
    token: str = ""
    holder: str = ""
    expires_ms: int = 0
    stop: bool = False
    ends: int = 0


class QueueMachine(RuleBasedStateMachine):
    """Each rule is one transaction, as the writer makes them. The test sets `engine`."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, Expected] = {}
        self.old_tokens: list[tuple[str, str]] = []
        self.now_ms = 1000
        with self.engine.begin() as connection:
            connection.execute(delete(jobs))

    def _in_state(self, state: str) -> list[Expected]:
        return [job for job in self.jobs.values() if job.state == state]

    @rule(
        owner=st.sampled_from(["alice", "bob", "carol"]),
        priority=st.sampled_from([0, 0, 0, 1]),
        front=st.booleans(),
        count=st.integers(1, 3),
    )
    def submit(self, owner: str, priority: int, front: bool, count: int) -> None:
        news = []
        for _ in range(count):
            place = len(self.jobs)
            number = float(-place if front else place)
            id = f"job {place}"
            self.jobs[id] = Expected(id, owner, priority, number, place)
            news.append(NewJob(id, owner, "tab", priority, number, self.now_ms, b"{}", b"{}", b"[]"))
        with self.engine.begin() as connection:
            assert insert_jobs(connection, news) == [Inserted(new.id) for new in news]

    @rule(holder=st.sampled_from(["here", "there"]), limit=st.integers(1, 4))
    def lease(self, holder: str, limit: int) -> None:
        alone = not any(job.holder == holder for job in self._in_state("running"))
        request = LeaseRequest(holder, limit, self.now_ms, self.now_ms + LEASE_MS, alone)
        with self.engine.begin() as connection:
            (leased,) = lease_jobs(connection, [request])
        assert not isinstance(leased, Exception)
        assert len(leased) <= limit
        for given in leased:
            self._check_order(given)
            job = self.jobs[given.id]
            assert job.state == "queued"
            if job.attempts:
                assert alone and len(leased) == 1
            job.state, job.token, job.holder = "running", given.token, holder
            job.attempts += 1
            job.expires_ms = self.now_ms + LEASE_MS
            assert given.attempts == job.attempts
        if not leased and self._in_state("queued"):  # only a job that must run alone may hold back the others
            assert not alone and any(job.attempts for job in self._in_state("queued"))

    def _check_order(self, given: Leased) -> None:
        chosen = self.jobs[given.id]
        for other in self._in_state("queued"):
            assert other.priority <= chosen.priority
            if other.priority == chosen.priority and other.owner == chosen.owner:
                assert (chosen.number, chosen.place) <= (other.number, other.place)

    @precondition(lambda self: self._in_state("running"))
    @rule(data=st.data(), state=st.sampled_from([JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED]))
    def finish(self, data: st.DataObject, state: JobState) -> None:
        job = data.draw(st.sampled_from(self._in_state("running")))
        with self.engine.begin() as connection:
            assert finish_jobs(connection, [Finish(job.id, job.token, state, self.now_ms, b"")]) == [True]
        self.old_tokens.append((job.id, job.token))
        job.state = str(state)
        job.ends += 1
        self.now_ms += 1

    @precondition(lambda self: self.old_tokens)
    @rule(data=st.data())
    def finish_with_an_old_lease(self, data: st.DataObject) -> None:
        id, token = data.draw(st.sampled_from(self.old_tokens))
        with self.engine.begin() as connection:
            assert finish_jobs(connection, [Finish(id, token, JobState.COMPLETED, self.now_ms + 5, b"")]) == [False]

    @rule(holder=st.sampled_from(["here", "there"]), blame=st.booleans())
    def lose_worker(self, holder: str, blame: bool) -> None:
        with self.engine.begin() as connection:
            self._lose(connection, [job for job in self._in_state("running") if job.holder == holder], Loss(
                self.now_ms, "it died", lambda id, state, reason: b"", holders=(holder,), blame=blame))  # fmt: skip

    @rule(pause_ms=st.integers(1, 2 * LEASE_MS))
    def expire(self, pause_ms: int) -> None:
        self.now_ms += pause_ms
        loss = Loss(self.now_ms, "it expired", lambda id, state, reason: b"", expired=True)
        with self.engine.begin() as connection:
            self._lose(connection, [job for job in self._in_state("running") if job.expires_ms < self.now_ms], loss)

    def _lose(self, connection: Connection, lost: list[Expected], loss: Loss) -> None:
        (found,) = lose_leases(connection, [loss])
        assert not isinstance(found, Exception)
        assert {job.id for job in found} == {job.id for job in lost}
        for job in lost:
            self.old_tokens.append((job.id, job.token))
            job.attempts -= not loss.blame
            job.state = "cancelled" if job.stop else "failed" if job.attempts >= MAX_ATTEMPTS else "queued"
            job.ends += job.state != "queued"
            job.holder = ""
        assert {job.id: str(job.state) for job in found} == {job.id: job.state for job in lost}

    @rule(holder=st.sampled_from(["here", "there"]))
    def beat(self, holder: str) -> None:
        with self.engine.begin() as connection:
            (held,) = renew_leases(connection, [Heartbeat(holder, self.now_ms + LEASE_MS)])
        assert not isinstance(held, Exception)
        mine = [job for job in self._in_state("running") if job.holder == holder]
        for job in mine:
            job.expires_ms = self.now_ms + LEASE_MS
        assert {(lease.id, lease.token, lease.cancel_requested) for lease in held} == {(job.id, job.token, job.stop) for job in mine}

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.jobs.values(), key=lambda job: job.place)))
        with self.engine.begin() as connection:
            (cancelled,) = cancel_jobs(connection, [Cancel(job.id, self.now_ms, b"")])
        assert not isinstance(cancelled, Exception)
        assert (cancelled.ended, cancelled.requested) == (job.state == "queued", job.state == "running")
        if cancelled.ended:
            job.state = "cancelled"
            job.ends += 1
        job.stop = job.stop or cancelled.requested

    @rule()
    def restart(self) -> None:
        self.engine.dispose()

    @invariant()
    def the_table_agrees(self) -> None:
        with self.engine.connect() as connection:
            rows = connection.execute(select(jobs.c.id, jobs.c.state, jobs.c.attempts, jobs.c.finished_ms)).all()
        assert {row.id: (row.state, row.attempts) for row in rows} == {job.id: (job.state, job.attempts) for job in self.jobs.values()}
        for row in rows:
            assert (row.finished_ms is not None) == (row.state in ("completed", "failed", "cancelled"))

    @invariant()
    def no_job_ends_twice_or_is_tried_too_often(self) -> None:
        assert all(job.ends <= 1 and job.attempts <= MAX_ATTEMPTS for job in self.jobs.values())


@pytest.fixture
def machine(database_url: str) -> Iterator[type[QueueMachine]]:
    engine = make_engine(database_url, write=True)
    with engine.begin() as connection:
        migrate(connection)
    yield type("Machine", (QueueMachine,), {"engine": engine})
    engine.dispose()


def test_the_queue_keeps_its_promises_under_random_operations(machine: type[QueueMachine]) -> None:
    examples = 40 if machine.engine.dialect.name == "sqlite" else 10
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        ),
    )
