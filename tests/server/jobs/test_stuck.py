"""Tries that are stuck: they end with a reason and are made again as after any loss, and nobody else pays for them."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from marquetry.engine.cache import ResultCache
from marquetry.engine.context import Services
from marquetry.engine.execution.executor import Executor
from marquetry.engine.folders import Folders
from marquetry.engine.graph import Graph
from marquetry.server.jobs.job import Job, JobState, Submission
from marquetry.server.jobs.message import JobRequeued
from marquetry.server.jobs.service import JobService
from marquetry.server.jobs.watchdog import StuckLimits
from marquetry.server.jobs.workers.inline import InlineWorker
from marquetry.server.jobs.workers.parts import EngineParts
from tests.server import nodes
from tests.server.jobs.conftest import Begin, make_worker
from tests.server.jobs.test_service import PATIENCE_S, submission
from tests.server.jobs.trivial import single

SHORT = StuckLimits(alone_s=0.2)
QUICK = {"heartbeat_s": 0.05}


def gated(data: Path) -> InlineWorker:
    def build() -> EngineParts:
        services, registry = Services(Folders(data)), nodes.registry()
        return EngineParts(registry, services, Executor(registry, services, ResultCache(1 << 20), cpu_threads=4))

    return InlineWorker(build)


def waits(gate: str) -> Submission:
    return Submission(Graph.from_api(nodes.linked("Gate", name=gate)), ("2",), client_id="tab")


def reasons(job: Job) -> str:
    assert job.error is not None
    return job.error.message


async def test_a_node_that_tells_nothing_ends_its_try_and_the_third_time_its_job(begin: Begin, tmp_path: Path) -> None:
    service = await begin(gated(tmp_path), stuck=SHORT, **QUICK)
    with service.feed.subscribe() as subscription:
        job = await service.submit(waits(uuid.uuid4().hex))
        job = await service.wait(job.id, PATIENCE_S)
        again = [message.event for message in subscription.take() if isinstance(message.event, JobRequeued)]
    assert (job.state, job.attempts, job.set_aside) == (JobState.FAILED, 3, True)
    assert "node 1 (Gate) told nothing for 0.2 s" in reasons(job)
    assert [event.attempts for event in again] == [1, 2]
    assert all("told nothing" in event.reason for event in again)


async def test_a_try_that_goes_well_after_a_stuck_one_is_a_success(begin: Begin, tmp_path: Path) -> None:
    service = await begin(gated(tmp_path), stuck=SHORT, **QUICK)
    gate = uuid.uuid4().hex
    with service.feed.subscribe() as subscription:
        job = await service.submit(waits(gate))
        async for message in subscription:
            if isinstance(message.event, JobRequeued):
                nodes.GATES[gate].set()
                break
        job = await service.wait(job.id, PATIENCE_S)
    assert (job.state, job.attempts) == (JobState.COMPLETED, 2)


async def test_a_node_that_reports_steps_is_not_stuck(begin: Begin, tmp_path: Path) -> None:
    service = await begin(make_worker("inline", tmp_path), stuck=SHORT, **QUICK)
    job = await service.submit(submission(single("Sleep", seconds=0.8, steps=40)))
    assert (await service.wait(job.id, PATIENCE_S)).attempts == 1


async def test_a_kind_of_node_has_a_longest_time_whatever_it_reports(begin: Begin, tmp_path: Path) -> None:
    service = await begin(make_worker("inline", tmp_path), stuck=StuckLimits(longest_s={"Sleep": 0.2}), **QUICK)
    job = await service.wait((await service.submit(submission(single("Sleep", seconds=60.0, steps=6000)))).id, PATIENCE_S)
    assert job.state is JobState.FAILED
    assert "node node (Sleep) ran for more than the 0.2 s that its kind may take" in reasons(job)


async def test_a_kind_of_node_may_be_silent_for_longer(begin: Begin, tmp_path: Path) -> None:
    service = await begin(make_worker("inline", tmp_path), stuck=StuckLimits(alone_s=0.2, silence_s={"Spin": 50.0}), **QUICK)
    job = await service.wait((await service.submit(submission(single("Spin", seconds=0.6)))).id, PATIENCE_S)
    assert (job.state, job.attempts) == (JobState.COMPLETED, 1)


async def test_what_never_looks_up_is_ended_by_force_and_others_are_not_blamed(begin: Begin, tmp_path: Path) -> None:
    limits = StuckLimits(alone_s=0.3, silence_s={"Sleep": 50.0})
    service = await begin(make_worker("process", tmp_path), stuck=limits, **QUICK)
    give_up_soon(service)
    stuck = await service.submit(submission(single("Spin", seconds=600.0)))
    other = await service.submit(submission(single("Sleep", seconds=0.9, steps=30)))
    ended = [await service.wait(job.id, PATIENCE_S) for job in (stuck, other)]
    assert [(job.state, job.attempts) for job in ended] == [(JobState.FAILED, 3), (JobState.COMPLETED, 1)]
    assert "told nothing" in reasons(ended[0])


async def test_a_worker_without_a_process_of_its_own_fails_such_a_job(begin: Begin, tmp_path: Path) -> None:
    service = await begin(make_worker("inline", tmp_path), stuck=SHORT, **QUICK)
    give_up_soon(service)
    job = await service.wait((await service.submit(submission(single("Spin", seconds=3.0)))).id, PATIENCE_S)
    assert (job.state, job.error.code if job.error else "") == (JobState.FAILED, "stuck")


@pytest.mark.parametrize(("owner", "stuck"), [("alice", True), ("", False)])
async def test_servers_of_one_person_are_more_patient(owner: str, stuck: bool, begin: Begin, tmp_path: Path) -> None:
    service = await begin(make_worker("inline", tmp_path), stuck=StuckLimits(shared_s=0.15, alone_s=50.0), **QUICK)
    job = await service.submit(submission(single("Sleep", seconds=0.6, steps=1), owner=owner))
    assert ((await service.wait(job.id, PATIENCE_S)).attempts > 1) is stuck


def give_up_soon(service: JobService) -> None:
    service._dispatcher.grace_s = 0.1
