"""JobService over both kinds of worker: one suite, real executors, a real database file."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from marquetry.engine.errors import GraphError
from marquetry.engine.events import JobFinished, JobStarted, NodeFinished, NodeProgress
from marquetry.engine.graph import Graph
from marquetry.server.jobs.errors import DuplicateJob, IdempotencyConflict, JobTimeout, QueueFull
from marquetry.server.jobs.job import Job, JobState, Submission
from marquetry.server.jobs.message import JobQueued, QueueChanged
from marquetry.server.jobs.service import JobService
from marquetry.server.jobs.workers.worker import Worker
from tests.server.jobs.conftest import Begin
from tests.server.jobs.trivial import chain, single

PATIENCE_S = 60.0


def submission(graph: Graph, **values: Any) -> Submission:
    return Submission(graph, ("show",), client_id="tab", **values)


async def run(service: JobService, graph: Graph, **values: Any) -> Job:
    job = await service.submit(submission(graph, **values))
    return await service.wait(job.id, PATIENCE_S)


async def started(service: JobService, job_id: str) -> None:
    """Wait until the job's first node runs."""
    while (view := service.view(job_id)) is None or not view.nodes:
        await asyncio.sleep(0.01)


async def test_a_job_runs_and_its_history_says_what_happened(begin: Begin, worker: Worker) -> None:
    service = await begin(worker)
    job = await run(service, chain(5, nodes=3))
    assert job.state is JobState.COMPLETED
    assert job.outputs == {"show": {"value": [8]}}
    assert [name for name, _ in job.messages] == ["execution_start", "execution_cached", "execution_success"]
    assert all(data["prompt_id"] == job.id for _, data in job.messages)
    assert {id: node.state for id, node in job.nodes.items()} == dict.fromkeys(["0", "1", "2", "3", "show"], "finished")
    assert (job.progress, job.attempts, job.error) == (100.0, 1, None)
    assert job.started_ms is not None and job.finished_ms is not None and job.created_ms <= job.started_ms <= job.finished_ms


async def test_submit_answers_with_a_queued_job_that_is_found_at_once(begin: Begin, worker: Worker) -> None:
    service = await begin(worker)
    graph = chain(1)
    job = await service.submit(submission(graph, extra={"extra_pnginfo": {"workflow": {}}}, graph_json=b'{"raw": 1}'))
    found = await service.find(job.id)
    assert found is not None
    assert (found.id, found.graph, orjson.loads(found.extra)) == (job.id, b'{"raw": 1}', {"extra_pnginfo": {"workflow": {}}})
    assert job.state is JobState.QUEUED
    assert found.outputs_to_execute == ("show",)


async def test_events_come_in_order_and_the_end_only_after_the_history_has_it(begin: Begin, worker: Worker) -> None:
    service = await begin(worker)
    with service.feed.subscribe(client_id="tab") as subscription:
        job = await service.submit(submission(chain(2)))
        kinds: list[type[Any]] = []
        numbers: list[int] = []
        async for message in subscription:
            numbers.append(message.seq)
            if type(message.event) is not QueueChanged:
                kinds.append(type(message.event))
            if type(message.event) is JobFinished:
                break
        found = await service.find(job.id)
    assert found is not None and found.state is JobState.COMPLETED
    assert numbers == sorted(set(numbers))
    assert kinds[-1] is JobFinished and kinds.count(JobStarted) == 1 and kinds.count(NodeFinished) == 3
    assert JobQueued in kinds


async def test_a_failing_node_fails_its_job_with_everything_a_person_needs(begin: Begin, worker: Worker) -> None:
    service = await begin(worker)
    job = await run(service, single("Fail", value=7))
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.node_id, job.error.node_type, job.error.message) == ("node", "Fail", "7 is no good")
    assert job.error.details["exception_type"] == "ValueError"
    assert any("is no good" in line for line in job.error.details["traceback"])
    assert [name for name, _ in job.messages][-1] == "execution_error"
    assert job.nodes["node"].state == "failed"
    assert (await run(service, chain(1))).state is JobState.COMPLETED


async def test_a_running_job_is_cancelled_at_its_next_step(begin: Begin, worker: Worker) -> None:
    service = await begin(worker)
    job = await service.submit(submission(single("Sleep", seconds=30.0, steps=3000)))
    await started(service, job.id)
    await service.cancel(job.id)
    ended = await service.wait(job.id, PATIENCE_S)
    assert ended.state is JobState.CANCELLED
    name, data = ended.messages[-1]
    assert (name, data["node_id"]) == ("execution_interrupted", "node")


async def test_a_waiting_job_is_cancelled_at_once_and_never_runs(begin: Begin, worker: Worker) -> None:
    service = await begin(worker, concurrent_jobs=1)
    first = await service.submit(submission(single("Sleep", seconds=30.0, steps=3000)))
    second = await service.submit(submission(chain(1)))
    await started(service, first.id)
    cancelled = await service.cancel(second.id)
    assert cancelled is not None and cancelled.state is JobState.CANCELLED
    assert (await service.queue())[1] == []
    assert await service.interrupt() == [first.id]
    assert (await service.wait(first.id, PATIENCE_S)).state is JobState.CANCELLED
    assert [job.id for job in await service.history()] == [first.id]
    assert service.remaining() == 0


async def test_a_final_job_is_not_cancelled(begin: Begin, worker: Worker) -> None:
    service = await begin(worker)
    job = await run(service, chain(1))
    again = await service.cancel(job.id)
    assert again is not None and again.state is JobState.COMPLETED
    assert await service.cancel("nobody") is None


async def test_a_running_job_shows_its_progress(begin: Begin, worker: Worker) -> None:
    service = await begin(worker)
    with service.feed.subscribe(client_id="tab") as subscription:
        job = await service.submit(submission(single("Sleep", seconds=20.0, steps=1000)))
        async for message in subscription:
            if type(message.event) is NodeProgress and message.event.value >= 3:
                break
        found = await service.find(job.id)
        running, _ = await service.queue()
        await service.cancel(job.id)
    assert found is not None
    assert found.state is JobState.RUNNING
    assert found.nodes["node"].state == "running" and found.nodes["node"].total == 1000
    assert 0 < found.progress < 50
    assert found.current_step.startswith("node node: ")
    assert [job.nodes["node"].state for job in running] == ["running"]


async def test_an_equal_job_is_answered_from_the_cache_and_says_so(begin: Begin, worker: Worker) -> None:
    service = await begin(worker)
    await run(service, chain(4))
    again = await run(service, chain(4))
    assert again.outputs == {"show": {"value": [5]}}
    assert all(node.cached for node in again.nodes.values())
    assert sorted(dict(again.messages)["execution_cached"]["nodes"]) == ["0", "1", "show"]


async def test_jobs_begin_in_the_order_of_the_queue_and_several_run_at_once(begin: Begin, worker: Worker) -> None:
    service = await begin(worker, concurrent_jobs=2)
    blocks = [await service.submit(submission(single("Sleep", seconds=30.0, steps=3000, value=place))) for place in range(2)]
    for block in blocks:
        await started(service, block.id)
    last = await service.submit(submission(chain(10)))
    front = await service.submit(submission(chain(11), front=True))
    assert [job.id for job in (await service.queue())[1]] == [front.id, last.id]
    with service.feed.subscribe(client_id="tab") as subscription:
        await service.cancel(blocks[0].id)
        begun: list[str] = []
        async for message in subscription:
            if type(message.event) is JobStarted:
                begun.append(message.event.job_id)
            if len(begun) == 2:
                break
        await service.cancel(blocks[1].id)
    assert begun == [front.id, last.id]


async def test_limits_duplicates_and_idempotency_are_told_apart(begin: Begin, worker: Worker) -> None:
    service = await begin(worker, concurrent_jobs=1, queued_per_client=1)
    block = await service.submit(submission(single("Sleep", seconds=30.0, steps=3000), job_id="mine"))
    await started(service, block.id)
    with pytest.raises(DuplicateJob):
        await service.submit(submission(chain(1), job_id="mine"))
    first = await service.submit(submission(chain(1), idempotency_key="key"))
    again = await service.submit(submission(chain(1), idempotency_key="key"))
    assert again.id == first.id
    with pytest.raises(IdempotencyConflict):
        await service.submit(submission(chain(2), idempotency_key="key"))
    with pytest.raises(QueueFull):
        await service.submit(submission(chain(3)))
    assert service.remaining() == 2
    await service.interrupt()


async def test_history_pages_as_comfyui_does(begin: Begin, worker: Worker) -> None:
    service = await begin(worker)
    ids = [(await run(service, chain(value))).id for value in range(5)]

    async def page(**values: Any) -> list[str]:
        return [job.id for job in await service.history(**values)]

    assert await page() == ids
    assert await page(max_items=2) == ids[3:]
    assert await page(max_items=2, offset=0) == ids[:2]
    assert await page(max_items=2, offset=1) == ids[1:3]
    assert await page(offset=3) == ids[3:]
    assert await page(max_items=2, offset=9) == []
    assert await service.delete(ids[:1]) == 1
    assert await page() == ids[1:]
    await service.clear_history()
    assert await page() == []


async def test_another_owner_sees_and_stops_nothing(begin: Begin, worker: Worker) -> None:
    service = await begin(worker)
    job = await service.submit(submission(single("Sleep", seconds=30.0, steps=3000), owner="alice"))
    await started(service, job.id)
    assert await service.find(job.id, "bob") is None
    assert await service.cancel(job.id, "bob") is None
    assert await service.interrupt("bob") == []
    assert await service.queue("bob") == ([], [])
    assert await service.jobs(owner="bob") == ([], 0)
    assert (await service.jobs(owner="alice", states=[JobState.RUNNING]))[1] == 1
    assert await service.interrupt("alice", job.id) == [job.id]


async def test_clear_pending_leaves_what_runs(begin: Begin, worker: Worker) -> None:
    service = await begin(worker, concurrent_jobs=1)
    block = await service.submit(submission(single("Sleep", seconds=30.0, steps=3000)))
    await started(service, block.id)
    waiting = [await service.submit(submission(chain(value))) for value in range(4)]
    assert await service.clear_pending(ids=[waiting[0].id, block.id]) == 1
    assert service.remaining() == 4
    assert await service.clear_pending() == 3
    running, pending = await service.queue()
    assert ([job.id for job in running], pending) == ([block.id], [])
    await service.interrupt()


async def test_waiting_gives_up_in_time(begin: Begin, worker: Worker) -> None:
    service = await begin(worker)
    job = await service.submit(submission(single("Sleep", seconds=30.0, steps=3000)))
    with pytest.raises(JobTimeout):
        await service.wait(job.id, 0.05)
    with pytest.raises(JobTimeout):
        await service.wait("nobody", 5.0)
    await service.interrupt()


async def test_the_worker_describes_and_validates(begin: Begin, worker: Worker) -> None:
    service = await begin(worker)
    described = {node.id: node for node in (await service.describe()).nodes}
    assert described["Show"].is_output and not described["Add"].is_output
    assert orjson.loads(bytes(described["Add"].object_info))["input"]["required"]["a"][0] == "INT"
    good = await service.validate(orjson.dumps(chain(1).to_api()))
    assert (good.problems, good.outputs) == ((), ("show",))
    bad = await service.validate(orjson.dumps(single("Nothing").to_api()))
    assert [problem.type for problem in bad.problems] == ["invalid_prompt"]
    with pytest.raises(GraphError):
        await service.validate(b"[]")


async def test_free_and_stats_answer_while_a_node_computes(begin: Begin, worker: Worker) -> None:
    service = await begin(worker)
    job = await service.submit(submission(single("Spin", seconds=3.0)))
    await started(service, job.id)
    await service.free(unload_models=True, free_memory=True)
    (stats,) = await service.stats()
    assert (stats.running, stats.ready) == (1, True)
    found = await service.find(job.id)
    assert found is not None and found.state is JobState.RUNNING
    assert (await service.wait(job.id, PATIENCE_S)).state is JobState.COMPLETED


async def test_five_hundred_jobs_at_once_all_end_well(begin: Begin, worker: Worker) -> None:
    service = await begin(worker)
    jobs = await asyncio.gather(*(service.submit(submission(chain(value))) for value in range(500)))
    ended = await asyncio.gather(*(service.wait(job.id, PATIENCE_S) for job in jobs))
    assert {job.state for job in ended} == {JobState.COMPLETED}
    assert [job.outputs["show"]["value"][0] for job in ended] == [value + 1 for value in range(500)]
    assert service.remaining() == 0
    assert (await service.jobs(limit=1))[1] == 500
