"""Accounts of jobs are written with the jobs: only by who holds the lease, once for each node, and nothing stays held without a job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from marquetry.engine.folders import Folders
from marquetry.engine.foresight import Limits
from marquetry.engine.graph import Graph
from marquetry.engine.usage import Usage
from marquetry.marketplace import ledger
from marquetry.marketplace.ledger.tables import holds
from marquetry.marketplace.metering.facts import FinishedNode, Report
from marquetry.marketplace.metering.tables import node_executions, run_quotes, usage_events
from marquetry.marketplace.schema import MICROCREDITS
from marquetry.server.configuration.market import MarketSettings
from marquetry.server.database.database import Database, one_by_one
from marquetry.server.jobs.job import Job, JobState, Submission
from marquetry.server.jobs.lease import Leased, LeaseRequest, Loss
from marquetry.server.jobs.live import now_ms
from marquetry.server.jobs.loss import record_of_loss
from marquetry.server.jobs.queue import Cancel, Finish, NewJob
from marquetry.server.jobs.service import JobService
from marquetry.server.jobs.workers.process import ProcessWorker
from marquetry.server.market.accounting import MarketAccounting
from marquetry.server.market.consumers import Foreseer
from marquetry.server.market.market import Market
from tests.server.jobs import trivial

PATIENCE_S = 60.0
MINUTE_MS = 60_000


class Till:
    """The accounting of a database, and a buyer who has 1,000 credits."""

    def __init__(self, database: Database, data: Path) -> None:
        self.database = database
        foreseer = Foreseer(trivial.registry(), Folders(data), Limits(), 20_000)
        self.market = Market(MarketSettings(enabled=True, trial=False), database, foreseer)
        self.accounting = MarketAccounting(self.market, database)

    async def fill(self) -> None:
        def give(connection: Connection, credits: int) -> None:
            amount = credits * MICROCREDITS
            ledger.credit(connection, owner="bob", amount_microcredits=amount, purse="paid", kind="purchase", key="gift", now_ms=1)

        await self.database.write(one_by_one(give), 1_000)

    async def balance(self) -> tuple[int, int]:
        found = await self.database.read(ledger.balance, "bob")
        return found.spendable // MICROCREDITS, found.held // MICROCREDITS

    async def queue(self, id: str, graph: Graph) -> None:
        """A job in the queue, as the service puts it there."""
        (terms,) = await self.accounting.agree([Submission(graph, ("show",), owner="bob")], [id])
        new = NewJob(id, "bob", "", 0, 1.0, now_ms(), b"{}", b"{}", b'["show"]', terms=terms)
        await self.database.write(self.accounting.insert, new)

    async def lease(self, at_ms: int) -> list[Leased]:
        return await self.database.write(self.accounting.lease, LeaseRequest("here", 10, at_ms, at_ms + 30_000))

    async def finish(self, leased: Leased, *facts: FinishedNode, state: JobState = JobState.COMPLETED) -> bool:
        report = Report(leased.id, leased.token, facts)
        return await self.database.write(self.accounting.finish, Finish(leased.id, leased.token, state, now_ms(), b"", report))

    async def all(self, statement: Any) -> list[Any]:
        return await self.database.read(lambda connection: list(connection.execute(statement)))


@pytest.fixture
async def till(database: Database, tmp_path: Path) -> AsyncIterator[Till]:
    made = Till(database, tmp_path)
    await made.fill()
    yield made


def drawing(count: int = 2) -> Graph:
    return trivial.single("Draw", count=count)


def drawn(count: int = 2) -> FinishedNode:
    return FinishedNode("node", "node", False, False, (Usage("image.standard", count),), 5, now_ms())


async def test_who_lost_the_lease_charges_nothing_and_ends_nothing(till: Till) -> None:
    await till.queue("a", drawing())
    (first,) = await till.lease(now_ms())
    loss = Loss(now_ms(), "gone", record_of_loss, tokens=(first.token,))
    await till.database.write(till.accounting.lose, loss)
    (second,) = await till.lease(now_ms())
    recording = till.accounting._recording
    late = await till.database.write(recording, Report("a", first.token, (drawn(),)))
    assert (late, await till.finish(first, drawn())) == (False, False)
    assert await till.balance() == (960, 40)
    assert await till.database.write(recording, Report("a", second.token, (drawn(),))) is True
    assert [tuple(row) for row in await till.all(select(holds.c.state, holds.c.captured))] == [("open", 40 * MICROCREDITS)]
    assert await till.finish(second, drawn()) is True
    assert await till.balance() == (960, 0)
    assert len(await till.all(select(node_executions.c.node_id))) == 1


async def test_a_report_that_comes_again_charges_nothing_more(till: Till) -> None:
    await till.queue("a", drawing())
    (leased,) = await till.lease(now_ms())
    for _ in range(3):
        await till.database.write(till.accounting._recording, Report("a", leased.token, (drawn(),)))
    assert await till.finish(leased, drawn(), drawn())
    assert await till.balance() == (960, 0)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
async def test_however_a_job_ends_what_is_left_goes_back(till: Till, state: JobState) -> None:
    await till.queue("a", drawing(10))
    (leased,) = await till.lease(now_ms())
    assert await till.finish(leased, drawn(3), state=state)
    assert await till.balance() == (940, 0)
    rows = await till.all(select(run_quotes.c.state, run_quotes.c.charged_microcredits))
    assert [tuple(row) for row in rows] == [(str(state), 60 * MICROCREDITS)]
    events = await till.all(select(usage_events.c.event_type, usage_events.c.microcredits))
    assert [tuple(row) for row in events] == [(f"generation.{state}", 60 * MICROCREDITS)]


async def test_a_job_whose_tries_are_used_up_holds_nothing(till: Till) -> None:
    await till.queue("a", drawing())
    for _ in range(3):
        (leased,) = await till.lease(now_ms())
        await till.database.write(till.accounting.lose, Loss(now_ms(), "gone", record_of_loss, tokens=(leased.token,)))
    assert await till.lease(now_ms()) == []
    assert await till.balance() == (1_000, 0)


async def test_a_job_that_is_cancelled_while_it_waits_holds_nothing(till: Till) -> None:
    await till.queue("a", drawing())
    await till.database.write(till.accounting.cancel, Cancel("a", now_ms(), b""))
    assert await till.balance() == (1_000, 0)


async def test_too_few_credits_leave_neither_job_nor_hold(till: Till) -> None:
    with pytest.raises(ledger.errors.InsufficientCredits) as caught:
        await till.queue("a", drawing(51))
    assert caught.value.details == {"balance": 1_000 * MICROCREDITS, "required": 1_020 * MICROCREDITS}
    assert (await till.balance(), await till.lease(now_ms())) == ((1_000, 0), [])


async def test_one_that_can_t_pay_hinders_no_other_in_the_same_transaction(till: Till) -> None:
    results = await asyncio.gather(*(till.queue(str(place), drawing(20)) for place in range(4)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["InsufficientCredits", "InsufficientCredits", "NoneType", "NoneType"]
    assert await till.balance() == (200, 800)


async def test_holds_of_jobs_that_wait_go_on_and_others_end(till: Till) -> None:
    await till.queue("a", drawing())
    later = now_ms() + 4 * MINUTE_MS
    await till.database.write(till.accounting.keep, later)
    await till.database.write(till.accounting.keep, later + 4 * MINUTE_MS)
    assert await till.balance() == (960, 40)
    await till.database.write(one_by_one(lambda connection, _: connection.execute(update(run_quotes).values(run_id="b"))), None)
    await till.database.write(till.accounting.keep, later + 20 * MINUTE_MS)
    assert await till.balance() == (1_000, 0)


async def test_a_hold_that_expired_while_nobody_was_there_is_had_again_before_the_job_goes_on(till: Till) -> None:
    await till.queue("a", drawing())
    await till.database.write(one_by_one(lambda connection, at: ledger.expire_holds(connection, at)), now_ms() + 10 * MINUTE_MS)
    assert await till.balance() == (1_000, 0)
    (leased,) = await till.lease(now_ms())
    assert await till.balance() == (960, 40)
    assert await till.finish(leased, drawn())
    assert await till.balance() == (960, 0)


async def test_a_job_whose_hold_expired_and_can_t_be_had_again_fails(till: Till) -> None:
    await till.queue("a", drawing(40))
    await till.database.write(one_by_one(lambda connection, at: ledger.expire_holds(connection, at)), now_ms() + 10 * MINUTE_MS)
    await till.queue("b", drawing(40))
    assert [leased.id for leased in await till.lease(now_ms())] == ["b"]
    rows = await till.all(select(run_quotes.c.run_id, run_quotes.c.state).order_by(run_quotes.c.run_id))
    assert [tuple(row) for row in rows] == [("a", "failed"), ("b", "open")]


def crashing(data: Path, times: int) -> Graph:
    """Two pictures, then a node that kills its process."""
    api: dict[str, Any] = {
        "draw": {"class_type": "Draw", "inputs": {"count": 2, "value": 1}},
        "pause": {"class_type": "Sleep", "inputs": {"seconds": 0.3, "value": ["draw", 0]}},
        "crash": {"class_type": "Crash", "inputs": {"times_file": str(data / "times"), "times": times, "value": ["pause", 0]}},
        "last": {"class_type": "Draw", "inputs": {"count": 3, "value": ["crash", 0]}},
        "show": {"class_type": "Show", "inputs": {"value": ["last", 0]}},
    }
    return Graph.from_api(api)


@pytest.mark.parametrize(("times", "state", "credits"), [(1, JobState.COMPLETED, 100), (9, JobState.FAILED, 40)])
async def test_a_worker_that_is_killed_never_makes_anybody_pay_twice(
    till: Till, tmp_path: Path, times: int, state: JobState, credits: int
) -> None:
    service = JobService(till.database, [ProcessWorker(trivial.FACTORY, {"data": str(tmp_path)})], heartbeat_s=0.2)
    service.accounting = till.accounting
    await service.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not service.ready:
                await asyncio.sleep(0.01)
        job: Job = await service.submit(Submission(crashing(tmp_path, times), ("show",), owner="bob"))
        ended = await service.wait(job.id, PATIENCE_S)
    finally:
        await service.stop()
    assert (ended.state, ended.attempts) == (state, min(times + 1, 3))
    assert await till.balance() == (1_000 - credits, 0)
    amounts = await till.all(select(node_executions.c.node_id, node_executions.c.amount_microcredits))
    assert sorted(tuple(row) for row in amounts if row[1]) == sorted(
        [("draw", 40 * MICROCREDITS), *([("last", 60 * MICROCREDITS)] if state is JobState.COMPLETED else [])]
    )
    assert await till.database.read(ledger.verify) == []
