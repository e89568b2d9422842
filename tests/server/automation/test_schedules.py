"""Schedules: each firing runs once, whatever happens to servers meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest

from marquetry.engine.folders import Folders
from marquetry.engine.graph import GraphLimits
from marquetry.server.automation import schedules
from marquetry.server.automation.errors import TooMany
from marquetry.server.automation.scheduler import LATE_MS, Scheduler
from marquetry.server.automation.schedules import Run, Schedule, add_schedule, find_schedule, list_runs
from marquetry.server.check import GraphCheck
from marquetry.server.configuration.automation import AutomationSettings
from marquetry.server.database.database import Database, one_by_one
from marquetry.server.jobs.service import JobService
from tests.server.automation.conftest import Clock
from tests.server.jobs import trivial

_add = one_by_one(add_schedule)
HOUR_MS = 3_600_000
Begin = Callable[..., Coroutine[Any, Any, "Server"]]


@dataclass
class Server:
    """One server without workers: what it queues stays there to be counted."""

    database: Database
    jobs: JobService
    scheduler: Scheduler
    told: list[int]

    async def queued(self) -> list[str]:
        return [job.id for job in (await self.jobs.queue())[1]]

    async def find(self, id: str) -> Schedule:
        return await self.database.read(find_schedule, id, None)

    async def runs(self, id: str) -> list[Run]:
        return await self.database.read(list_runs, id, 100)


@pytest.fixture
async def begin(clock: Clock, tmp_path: Any) -> AsyncIterator[Begin]:
    async with AsyncExitStack() as stack:

        async def start(url: str, **settings: Any) -> Server:
            database = await Database.open(url)
            stack.push_async_callback(database.close)
            jobs = JobService(database, [])
            folders = Folders(tmp_path)
            check = GraphCheck(trivial.registry(), folders, jobs, GraphLimits())
            told: list[int] = []
            scheduler = Scheduler(jobs, check, AutomationSettings(**settings), lambda: told.append(1), clock=clock)
            return Server(database, jobs, scheduler, told)

        yield start


def wish(clock: Clock, id: str = "daily", **values: Any) -> Schedule:
    graph = orjson.dumps(trivial.chain(1).to_api())
    made = Schedule(id, "alice", "", graph, None, "0 * * * *", "UTC", None, "run", schedules.ACTIVE, None, None, clock())
    return replace(made, **{"due_ms": clock() + HOUR_MS, "next_ms": clock() + HOUR_MS, **values})


async def add(server: Server, wish: Schedule, limit: int = 9) -> Schedule:
    return await server.database.write(_add, (wish, limit))


async def test_a_firing_puts_one_job_of_its_owner_in_the_queue_and_moves_on(begin: Begin, clock: Clock, database_url: str) -> None:
    server = await begin(database_url)
    schedule = await add(server, wish(clock))
    assert await server.scheduler.fire_due() == schedule.next_ms
    assert await server.queued() == []
    clock.forward(3600)
    await server.scheduler.fire_due()
    await server.scheduler.fire_due()
    (job,) = (await server.jobs.queue())[1]
    (run,) = await server.runs("daily")
    assert (run.state, run.job_id, run.due_ms, job.owner) == ("started", job.id, schedule.next_ms, "alice")
    after = await server.find("daily")
    assert after.next_ms is not None and clock() < after.next_ms <= clock() + HOUR_MS
    assert (after.runs, after.state) == (1, "active")


async def test_two_servers_fire_once(begin: Begin, clock: Clock, shared_url: str) -> None:
    servers = [await begin(shared_url) for _ in range(2)]
    for number in range(5):
        await add(servers[0], wish(clock, f"daily {number}"))
    for round in range(1, 4):
        clock.forward(3600)
        await asyncio.gather(*(server.scheduler.fire_due() for server in (*servers, *servers)))
        assert len(await servers[0].queued()) == 5 * round
    assert [len(await servers[1].runs(f"daily {number}")) for number in range(5)] == [3] * 5


async def test_a_firing_is_not_lost_and_not_doubled_by_a_restart(begin: Begin, clock: Clock, database_url: str) -> None:
    first = await begin(database_url)
    await add(first, wish(clock))
    clock.forward(3600)
    second = await begin(database_url)
    await second.scheduler.fire_due()
    await first.scheduler.fire_due()
    assert len(await second.queued()) == 1


async def test_what_runs_once_is_done_then(begin: Begin, clock: Clock, database_url: str) -> None:
    server = await begin(database_url)
    await add(server, wish(clock, cron=None))
    clock.forward(3601)
    await server.scheduler.fire_due()
    assert len(await server.queued()) == 1
    after = await server.find("daily")
    assert (after.state, after.next_ms, server.scheduler.upcoming(after, 5)) == ("done", None, [])


@pytest.mark.parametrize(("missed", "queued", "state"), [("run", 1, "started"), ("skip", 0, "missed")])
async def test_firings_that_no_server_was_there_for_are_made_up_once_or_left_out(
    missed: str, queued: int, state: str, begin: Begin, clock: Clock, database_url: str
) -> None:
    server = await begin(database_url)
    await add(server, wish(clock, missed=missed))
    clock.forward(10 * 3600 + LATE_MS / 1000 + 1)
    for _ in range(3):
        await server.scheduler.fire_due()
    assert len(await server.queued()) == queued
    assert [run.state for run in await server.runs("daily")] == [state]
    clock.forward(3500)
    await server.scheduler.fire_due()
    assert len(await server.queued()) == queued + 1


async def test_a_paused_schedule_does_not_run(begin: Begin, clock: Clock, database_url: str) -> None:
    server = await begin(database_url)
    await add(server, wish(clock, state="paused"))
    clock.forward(7200)
    await server.scheduler.fire_due()
    assert await server.queued() == []


async def test_a_graph_that_can_not_run_any_more_is_a_failed_run_with_its_reason(begin: Begin, clock: Clock, database_url: str) -> None:
    server = await begin(database_url)
    graph = orjson.dumps({"show": {"class_type": "Show", "inputs": {}}})
    await add(server, wish(clock, graph=graph))
    clock.forward(3600)
    await server.scheduler.fire_due()
    (run,) = await server.runs("daily")
    assert run.state == "failed" and run.error is not None and "the graph can't run any more" in run.error
    assert (await server.find("daily")).last_error == run.error


async def test_a_full_queue_is_a_failed_run_and_the_next_one_is_tried(begin: Begin, clock: Clock, database_url: str) -> None:
    server = await begin(database_url)
    server.jobs._queued_per_client = 1
    await add(server, wish(clock))
    for _ in range(2):
        clock.forward(3600)
        await server.scheduler.fire_due()
    assert [run.state for run in await server.runs("daily")] == ["failed", "started"]
    assert len(await server.queued()) == 1


async def test_off_peak_schedules_wait_for_the_operators_hours(begin: Begin, clock: Clock, database_url: str) -> None:
    server = await begin(database_url, off_peak=("22:00-06:00",))  # the clock shows 08:00
    schedule = wish(clock, during="off_peak")
    due_ms, next_ms = server.scheduler.times(schedule, clock())
    assert due_ms == clock() + HOUR_MS and next_ms == clock() + 14 * HOUR_MS
    await add(server, replace(schedule, due_ms=due_ms, next_ms=next_ms))
    clock.forward(13 * 3600)
    await server.scheduler.fire_due()
    assert await server.queued() == []
    clock.forward(3600)
    await server.scheduler.fire_due()
    assert len(await server.queued()) == 1
    assert (await server.find("daily")).next_ms == clock() + HOUR_MS


async def test_an_owner_has_so_many_schedules(begin: Begin, clock: Clock, database_url: str) -> None:
    server = await begin(database_url)
    await add(server, wish(clock, "first"), 1)
    with pytest.raises(TooMany):
        await add(server, wish(clock, "second"), 1)
    await add(server, wish(clock, "other", owner="bob"), 1)


async def test_a_running_scheduler_wakes_at_the_time(begin: Begin, clock: Clock, database_url: str) -> None:
    server = await begin(database_url)
    await add(server, wish(clock, cron=None, due_ms=clock() + 100, next_ms=clock() + 100))
    with server.jobs.feed.subscribe() as heard:
        server.scheduler.start()
        clock.forward(1)
        server.scheduler.wake()
        await asyncio.wait_for(heard.batch(), 30)
    await server.scheduler.stop()
    assert len(await server.queued()) == 1
