"""How many jobs a worker is given: few while they take long, many while they are over in no time."""

from __future__ import annotations

from typing import cast

import pytest

from marquetry.server.jobs import crew as crews
from marquetry.server.jobs.crew import Crew
from marquetry.server.jobs.lease import Leased
from marquetry.server.jobs.live import Live
from marquetry.server.jobs.workers.worker import Worker


class Idle:
    """A worker that can run jobs; nobody asks it to."""

    ready = True


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(crews, "time", found)
    return found


def worker() -> Worker:
    return cast(Worker, Idle())


def job(worker: Worker, number: int, attempts: int = 1) -> Live:
    leased = Leased(str(number), f"token {number}", "", "", b"{}", b"{}", b"[]", 0, attempts, "")
    return Live(leased, worker, None)


def run(crew: Crew, worker: Worker, clock: Clock, *durations_s: float) -> None:
    for number, duration_s in enumerate(durations_s):
        live = job(worker, number)
        crew.begin(live)
        clock.now_s += duration_s
        crew.end(live)


def test_room_grows_while_jobs_are_over_in_no_time(clock: Clock) -> None:
    only = worker()
    crew = Crew([only], 4, 16)
    assert crew.free == 4
    run(crew, only, clock, *[0.001] * crews.QUICK_ENDS)
    assert crew.free == 16
    held = [job(only, number) for number in range(16)]
    for live in held:
        assert crew.pick(alone=False, affinity="") is only
        crew.begin(live)
    assert crew.free == 0 and crew.pick(alone=False, affinity="") is None


def test_one_long_job_or_a_pause_ends_that(clock: Clock) -> None:
    only = worker()
    crew = Crew([only], 4, 16)
    run(crew, only, clock, *[0.001] * crews.QUICK_ENDS, 0.2)
    assert crew.free == 4
    run(crew, only, clock, *[0.001] * crews.QUICK_ENDS)
    assert crew.free == 16
    clock.now_s += crews.PAUSE_S
    assert crew.free == 4


def test_without_quick_jobs_the_room_stays(clock: Clock) -> None:
    only = worker()
    crew = Crew([only], 1, 0)
    run(crew, only, clock, *[0.001] * 20)
    assert crew.free == 1


def test_a_further_attempt_takes_all_room(clock: Clock) -> None:
    only = worker()
    crew = Crew([only], 4, 16)
    live = job(only, 0, attempts=2)
    crew.begin(live)
    assert crew.free == 0
    crew.end(live)
    assert crew.free == 4
    assert crew.lose(only) == []
