"""What plans say of the queue, estimates of waits, and jobs that are submitted together."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection

from marquetry.engine.graph import Graph
from marquetry.server.jobs.errors import DuplicateJob
from marquetry.server.jobs.job import JobState, NodeState, Submission
from marquetry.server.jobs.service import JobService
from marquetry.server.jobs.standing import Standing
from marquetry.server.jobs.times import NodeTimes
from tests.server.jobs.conftest import Begin, make_worker
from tests.server.jobs.test_service import PATIENCE_S, started, submission
from tests.server.jobs.trivial import chain, single


class Plans:
    """Standings by owner; who is not in it has the smallest."""

    def __init__(self, **plans: Standing) -> None:
        self.plans = plans

    async def of(self, owner: str) -> Standing:
        return self.plans.get(owner, Standing(priority_class=0))


async def test_plans_decide_class_and_limit_and_owners_cant_push_ahead(begin: Begin, tmp_path: Path) -> None:
    service = await begin(ready=False)
    service.standing = Plans(pro=Standing(priority_class=10, running_jobs=2, weight=3))
    wishes = [("free", 100), ("pro", 50), ("pro", -3)]
    jobs = [await service.submit(Submission(chain(0), ("show",), owner=owner, priority=wish)) for owner, wish in wishes]
    assert [job.priority for job in jobs] == [0, 10, 7]
    overview = await service.outlook.overview(None)
    assert [waiting.place.job_id for waiting in overview.mine] == [jobs[1].id, jobs[2].id, jobs[0].id]


async def test_another_plan_counts_for_what_waits(begin: Begin, tmp_path: Path) -> None:
    service = await begin(ready=False)
    service.standing = plans = Plans()
    job = await service.submit(Submission(chain(0), ("show",), owner="alice"))
    plans.plans["alice"] = Standing(priority_class=5)
    await service.restand("alice")
    found = await service.find(job.id)
    assert found is not None and found.priority == 5


async def test_an_owner_runs_no_more_jobs_than_the_plan_says(begin: Begin, tmp_path: Path) -> None:
    service = await begin(make_worker("inline", tmp_path))
    service.standing = Plans(alice=Standing(priority_class=0, running_jobs=1))
    long = [await service.submit(submission(single("Sleep", seconds=60.0, steps=6000, value=n), owner="alice")) for n in range(2)]
    await started(service, long[0].id)
    quick = await service.submit(submission(chain(5), owner="bob"))
    assert (await service.wait(quick.id, PATIENCE_S)).state is JobState.COMPLETED
    assert (await running(service), long[1].id in await waiting(service)) == ([long[0].id], True)
    await service.cancel(long[0].id)
    await started(service, long[1].id)
    await service.cancel(long[1].id)


async def running(service: JobService) -> list[str]:
    return [job.id for job in (await service.queue())[0]]


async def waiting(service: JobService) -> list[str]:
    return [job.id for job in (await service.queue())[1]]


async def test_places_and_waits_follow_the_order_of_the_queue(begin: Begin, tmp_path: Path) -> None:
    service = await begin(ready=False)
    measured = {"node": NodeState("finished", "node", duration_s=2.0), "show": NodeState("finished", "show")}
    service.times.note(json_of(single("Sleep")), "", measured, 2000)
    await service.times.digest(service.database, 1)
    crowd = [await service.submit(submission(single("Sleep", value=n), owner="alice")) for n in range(4)]
    mine = await service.submit(submission(single("Sleep", value=9), owner="bob"))
    overview = await service.outlook.overview("bob")
    assert (overview.backlog.waiting, overview.mine_waiting) == (5, 1)
    (place,) = overview.mine
    assert (place.place.job_id, place.place.position, place.estimated_wait_ms) == (mine.id, 2, 2000)
    last = await service.outlook.of_job(crowd[3].id)
    assert last is not None and (last.place.position, last.estimated_wait_ms) == (5, 8000)
    assert await service.outlook.of_job(crowd[3].id, "bob") is None


async def test_jobs_at_the_front_have_their_owners_first_place(begin: Begin) -> None:
    service = await begin(ready=False)
    first = await service.submit(submission(chain(1)))
    front = await service.submit(Submission(chain(2), ("show",), front=True))
    places = [(await service.outlook.of_job(job.id)) for job in (first, front)]
    assert [place.place.position for place in places if place is not None] == [2, 1]
    assert places[0] is not None and places[0].estimated_wait_ms is None  # nothing was measured yet


async def test_times_are_measured_by_step_kept_and_read_again(begin: Begin) -> None:
    service = await begin(ready=False)
    for seconds in (1.0, 2.0, 30.0):
        nodes = {"1": NodeState("finished", "1", duration_s=seconds), "2": NodeState("finished", "2", duration_s=0.5, cached=True)}
        raw = b'{"1": {"class_type": "KSampler", "inputs": {"steps": 10}}, "2": {"class_type": "Show", "inputs": {}}}'
        service.times.note(raw, "weights", nodes, int(seconds * 1000))
        await service.times.digest(service.database, 1)
    known = NodeTimes()
    await known.load(service.database)
    assert {(entry.node_type, entry.model, entry.median_us, entry.runs) for entry in known.measured()} == {
        ("KSampler", "", 200_000, 3), ("KSampler", "weights", 200_000, 3)}  # fmt: skip
    graph = Graph.from_api({"1": {"class_type": "KSampler", "inputs": {"steps": 30}}})
    assert (known.expected_ms(graph, "weights"), known.expected_ms(graph, "others"), known.typical_ms()) == (6000, 6000, 2000)
    assert known.expected_ms(Graph.from_api({"1": {"class_type": "Unheard", "inputs": {}}}), "") == 2000


async def test_jobs_that_ran_are_what_waits_are_told_by(begin: Begin, tmp_path: Path) -> None:
    service = await begin(make_worker("inline", tmp_path), heartbeat_s=0.05)
    await service.wait((await service.submit(submission(single("Sleep", seconds=0.3, steps=3)))).id, PATIENCE_S)
    async with asyncio.timeout(PATIENCE_S):
        while service.times.typical_ms() is None:
            await asyncio.sleep(0.01)
    expected = service.times.expected_ms(single("Sleep", steps=9), "")
    assert expected is not None and 800 <= expected < 5000


async def test_jobs_are_submitted_together_or_not_at_all(begin: Begin, database_url: str) -> None:
    service = await begin(ready=False, url=database_url)
    seen: list[int] = []

    def beside(connection: Connection) -> None:
        seen.append(1)

    taken = await service.submit(Submission(chain(0), ("show",), job_id="taken"))
    group = [Submission(chain(n), ("show",), owner="alice") for n in range(3)]
    with pytest.raises(DuplicateJob):
        await service.submit_together([*group, Submission(chain(9), ("show",), owner="alice", job_id=taken.id)], beside)
    assert (await service.queue())[1] == [taken]
    jobs = await service.submit_together(group, beside)
    assert await waiting(service) == [taken.id, *(job.id for job in jobs)]
    assert seen


def json_of(graph: Graph) -> bytes:
    import orjson

    return orjson.dumps(graph.to_api())
