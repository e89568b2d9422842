"""The queue of record, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select

from marquetry.server.database.connect import make_engine
from marquetry.server.database.migrate import migrate
from marquetry.server.database.tables import jobs
from marquetry.server.jobs.errors import DuplicateJob, IdempotencyConflict, QueueFull
from marquetry.server.jobs.job import JobState
from marquetry.server.jobs.lease import (
    MAX_PASSED,
    Heartbeat,
    Leased,
    LeaseRequest,
    Loss,
    Lost,
    lease_jobs,
    lose_leases,
    renew_leases,
)
from marquetry.server.jobs.queue import Cancel, Finish, Inserted, NewJob, Removal, cancel_jobs, finish_jobs, insert_jobs, remove_finished
from marquetry.server.jobs.shares import promote_waiting


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = make_engine(database_url, write=True)
    with made.begin() as connection:
        migrate(connection)
    yield made
    made.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as opened, opened.begin():
        yield opened


def new(id: str, owner: str = "", number: float = 0.0, **values: Any) -> NewJob:
    base = NewJob(id, owner, "tab", 0, number, 1000, b"{}", b"{}", b'["9"]')
    return replace(base, **values)


def submit(connection: Connection, *news: NewJob) -> list[Inserted | Exception]:
    return insert_jobs(connection, news)


def lease(connection: Connection, limit: int = 1, **values: Any) -> list[Leased]:
    request = replace(LeaseRequest("here", limit, 2000, 5000), **values)
    (leased,) = lease_jobs(connection, [request])
    assert not isinstance(leased, Exception)
    return leased


def take(connection: Connection, limit: int = 1, **values: Any) -> list[str]:
    return [job.id for job in lease(connection, limit, **values)]


def finish(connection: Connection, job: Leased, state: JobState = JobState.COMPLETED, token: str | None = None) -> bool:
    (done,) = finish_jobs(connection, [Finish(job.id, token or job.token, state, 3000, b"record")])
    assert not isinstance(done, Exception)
    return done


def lose(connection: Connection, **values: Any) -> list[Lost]:
    loss = replace(Loss(9000, "it died", lambda id, state, reason: b"lost"), **values)
    (lost,) = lose_leases(connection, [loss])
    assert not isinstance(lost, Exception)
    return lost


def state_of(connection: Connection, id: str) -> str:
    return str(connection.execute(select(jobs.c.state).where(jobs.c.id == id)).scalar_one())


def test_lower_numbers_run_first_whatever_came_first(connection: Connection) -> None:
    submit(connection, new("later", number=7), new("sooner", number=3))
    submit(connection, new("front", number=-8))
    assert take(connection, 3) == ["front", "sooner", "later"]


def test_higher_priority_runs_before_any_number(connection: Connection) -> None:
    submit(connection, new("low", number=-100), new("high", number=5, priority=2), new("middle", number=1, priority=1))
    assert take(connection, 3) == ["high", "middle", "low"]


@pytest.mark.parametrize("slots", [1, 3])
def test_a_single_job_is_next_once_one_of_somebody_elses_thousand_ends(connection: Connection, slots: int) -> None:
    submit(connection, *(new(f"crowd {place}", "alice", place) for place in range(1000)))
    running = lease(connection, slots)
    for round in range(5):
        submit(connection, new(f"single {round}", "bob", 5000))
        finish(connection, running.pop(0))
        (job,) = lease(connection)
        assert job.id == f"single {round}"
        finish(connection, job)
        running += lease(connection)
        assert {job.owner for job in running} == {"alice"}


def test_turns_are_given_by_weight(connection: Connection) -> None:
    submit(connection, *(new(f"light {place}", "alice", place) for place in range(40)))
    submit(connection, *(new(f"heavy {place}", "bob", place, weight=3) for place in range(40)))
    owners = [job.split()[0] for job in take(connection, 24)]
    assert 5 <= owners.count("light") <= 7


def test_who_joins_with_little_weight_is_not_starved_by_weight(connection: Connection) -> None:
    submit(connection, *(new(f"heavy {place}", "bob", place, weight=100) for place in range(50)))
    finish(connection, lease(connection)[0])
    submit(connection, new("light", "alice"))
    assert "light" in take(connection, 2)


def test_an_owner_runs_no_more_than_allowed_and_others_go_on(connection: Connection) -> None:
    submit(connection, *(new(f"crowd {place}", "alice", place, max_running=2) for place in range(300)))
    submit(connection, *(new(f"other {place}", "bob", place) for place in range(2)), new("third", "carol", max_running=1))
    assert sorted(take(connection, 10)) == ["crowd 0", "crowd 1", "other 0", "other 1", "third"]
    assert take(connection, 10) == []
    submit(connection, new("later", "dora"))
    assert take(connection, 10) == ["later"]


def test_a_place_that_becomes_free_goes_to_the_owners_next_by_number(connection: Connection) -> None:
    submit(connection, *(new(f"job {place}", "alice", place, max_running=1) for place in range(3)))
    (first,) = lease(connection, 5)
    submit(connection, new("front", "alice", -1, max_running=1))
    finish(connection, first)
    assert take(connection, 5) == ["front"]


def test_limits_hold_while_jobs_with_resident_weights_are_preferred(connection: Connection) -> None:
    submit(connection, *(new(f"warm {place}", "alice", place, affinity="a", max_running=1) for place in range(20)))
    submit(connection, new("cold", "bob", affinity="b"))
    assert sorted(take(connection, 4, affinities=frozenset({"a"}))) == ["cold", "warm 0"]


def test_who_got_nothing_for_long_is_lifted_into_the_highest_class_one_job_at_a_time(connection: Connection) -> None:
    submit(connection, *(new(f"free {place}", "alice", place) for place in range(3)))
    submit(connection, *(new(f"paid {place}", "bob", place, priority=5, created_ms=5000) for place in range(9)))
    assert promote_waiting(connection, [1000]) == [0]
    assert promote_waiting(connection, [1001, 1001]) == [1, 0]
    assert take(connection) == ["free 0"]
    assert promote_waiting(connection, [1001]) == [0]
    assert take(connection) == ["paid 0"]


def test_owners_take_turns_also_when_one_always_goes_to_the_front(connection: Connection) -> None:
    submit(connection, *(new(f"bob {place}", "bob", place) for place in range(3)))
    order: list[str] = []
    for place in range(6):
        submit(connection, new(f"alice {place}", "alice", -place))
        (job,) = lease(connection)
        finish(connection, job)
        order.append(job.owner)
    assert order.count("bob") == 3


def test_an_owner_who_submits_one_by_one_gets_no_more_turns_than_a_crowd(connection: Connection) -> None:
    submit(connection, *(new(f"crowd {place}", "alice", place) for place in range(20)))
    order: list[str] = []
    for place in range(10):
        submit(connection, new(f"single {place}", "bob", place))
        (job,) = lease(connection)
        finish(connection, job)
        order.append(job.owner)
    assert 4 <= order.count("alice") <= 6


def test_a_client_may_have_only_so_many_jobs_waiting(connection: Connection) -> None:
    limited = [new(f"job {place}", number=place, waiting_limit=2) for place in range(3)]
    results = submit(connection, *limited)
    assert isinstance(results[2], QueueFull)
    take(connection)
    assert submit(connection, limited[2]) == [Inserted("job 2")]
    assert submit(connection, new("other", client_id="other tab", waiting_limit=2)) == [Inserted("other")]


def test_a_job_id_is_taken_once(connection: Connection) -> None:
    first, second = submit(connection, new("same", id_given=True), new("same", id_given=True))
    (third,) = submit(connection, new("same", id_given=True))
    assert first == Inserted("same")
    assert isinstance(second, DuplicateJob)
    assert isinstance(third, DuplicateJob)


def test_an_idempotency_key_gives_the_first_job_again_and_refuses_another_request(connection: Connection) -> None:
    keyed: dict[str, Any] = {"idempotency_key": "key", "fingerprint": b"one"}
    first, twin = submit(connection, new("first", "alice", **keyed), new("twin", "alice", **keyed))
    (again,) = submit(connection, new("again", "alice", **keyed))
    (other,) = submit(connection, new("other", "alice", idempotency_key="key", fingerprint=b"two"))
    (stranger,) = submit(connection, new("stranger", "bob", **keyed))
    assert [first, twin, again] == [Inserted("first"), Inserted("first", True), Inserted("first", True)]
    assert isinstance(other, IdempotencyConflict)
    assert stranger == Inserted("stranger")


def test_only_the_holder_of_the_lease_ends_a_job_and_only_once(connection: Connection) -> None:
    submit(connection, new("job"))
    (job,) = lease(connection)
    assert not finish(connection, job, token="stolen")
    assert state_of(connection, "job") == "running"
    assert finish(connection, job)
    assert not finish(connection, job, JobState.FAILED)
    assert state_of(connection, "job") == "completed"


def test_an_expired_lease_is_worth_nothing_any_more(connection: Connection) -> None:
    submit(connection, new("job"))
    (old,) = lease(connection)
    assert lose(connection, now_ms=4999, expired=True) == []
    assert [job.state for job in lose(connection, now_ms=5001, expired=True)] == [JobState.QUEUED]
    (renewed,) = lease(connection)
    assert not finish(connection, old)
    assert finish(connection, renewed)


def test_a_heartbeat_keeps_leases_and_tells_of_wishes_to_stop(connection: Connection) -> None:
    submit(connection, new("job"), new("other", number=1))
    leased = lease(connection, 2)
    cancel_jobs(connection, [Cancel("other", 3000, b"")])
    (held,) = renew_leases(connection, [Heartbeat("here", 50_000)])
    assert not isinstance(held, Exception)
    assert {(lease.id, lease.cancel_requested) for lease in held} == {("job", False), ("other", True)}
    assert {lease.token for lease in held} == {job.token for job in leased}
    assert lose(connection, now_ms=10_000, expired=True) == []


def test_a_job_whose_workers_keep_dying_is_set_aside_after_three_attempts(connection: Connection) -> None:
    submit(connection, new("poison"))
    outcomes = []
    for _ in range(3):
        (job,) = lease(connection)
        outcomes += [(lost.state, lost.attempts) for lost in lose(connection, tokens=(job.token,))]
    assert outcomes == [(JobState.QUEUED, 1), (JobState.QUEUED, 2), (JobState.FAILED, 3)]
    row = connection.execute(select(jobs.c.set_aside, jobs.c.record).where(jobs.c.id == "poison")).one()
    assert tuple(row) == (True, b"lost")


def test_a_stop_of_the_server_does_not_count_as_an_attempt(connection: Connection) -> None:
    submit(connection, new("job"))
    for _ in range(5):
        lease(connection)
        (lost,) = lose(connection, holders=("here",), blame=False)
        assert (lost.state, lost.attempts) == (JobState.QUEUED, 0)


def test_a_job_whose_worker_died_is_tried_again_alone(connection: Connection) -> None:
    submit(connection, *(new(f"job {place}", number=place) for place in range(4)))
    first = lease(connection, 2)
    lose(connection, tokens=tuple(job.token for job in first))
    assert take(connection, 4, alone=False) == []
    assert take(connection, 4, alone=True) == ["job 0"]
    assert take(connection, 4, alone=True) == ["job 1"]
    assert take(connection, 4, alone=True) == ["job 2", "job 3"]


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_asked_to_stop(connection: Connection) -> None:
    submit(connection, new("running"), new("waiting", number=1))
    lease(connection)
    running, waiting, nobody = cancel_jobs(connection, [Cancel("running", 1, b""), Cancel("waiting", 1, b""), Cancel("nobody", 1, b"")])
    assert not isinstance(running, Exception) and not isinstance(waiting, Exception) and not isinstance(nobody, Exception)
    assert (running.ended, running.requested) == (False, True)
    assert (waiting.ended, waiting.requested) == (True, False)
    assert (nobody.ended, nobody.requested) == (False, False)
    assert take(connection) == []


def test_a_job_that_should_stop_is_not_begun_again_when_its_worker_dies(connection: Connection) -> None:
    submit(connection, new("job"))
    lease(connection)
    cancel_jobs(connection, [Cancel("job", 1, b"")])
    assert [lost.state for lost in lose(connection, holders=("here",))] == [JobState.CANCELLED]


def test_nobody_cancels_or_removes_another_owners_job(connection: Connection) -> None:
    submit(connection, new("job", "alice"), new("done", "alice", -1))
    (done,) = lease(connection)
    finish(connection, done)
    (cancelled,) = cancel_jobs(connection, [Cancel("job", 1, b"", owner="bob")])
    assert not isinstance(cancelled, Exception) and not cancelled.ended
    assert remove_finished(connection, [Removal(("done", "job"), "bob")]) == [0]
    assert remove_finished(connection, [Removal(("done", "job"), "alice")]) == [1]


def test_jobs_with_resident_weights_go_first_but_not_for_ever(connection: Connection) -> None:
    submit(connection, new("cold", number=0, affinity="b"), *(new(f"warm {place}", number=place, affinity="a") for place in range(1, 9)))
    order = [take(connection, affinities=frozenset({"a"}))[0] for _ in range(9)]
    assert order.index("cold") == MAX_PASSED


def test_affinity_never_goes_before_priority(connection: Connection) -> None:
    submit(connection, new("warm", affinity="a"), new("urgent", priority=1, affinity="b"))
    assert take(connection, affinities=frozenset({"a"})) == ["urgent"]
