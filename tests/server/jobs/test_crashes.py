"""Processes that are killed: no finished job is lost, no job is forgotten, nobody waits for ever."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from marquetry.engine.graph import Graph
from marquetry.server.jobs.errors import WorkerUnavailable
from marquetry.server.jobs.job import JobState
from marquetry.server.jobs.message import JobRequeued
from marquetry.server.jobs.workers.process import ProcessWorker
from tests.server.jobs.conftest import Begin, make_worker
from tests.server.jobs.test_service import PATIENCE_S, run, started, submission
from tests.server.jobs.trivial import FACTORY, chain, single

ROOT = Path(__file__).parents[3]


@pytest.fixture
def worker(tmp_path: Path) -> ProcessWorker:
    return ProcessWorker(FACTORY, {"data": str(tmp_path)})


def alive(process_id: int) -> bool:
    try:
        with open(f"/proc/{process_id}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_worker_killed_in_the_middle_loses_no_finished_job_and_the_job_runs_again(begin: Begin, worker: ProcessWorker) -> None:
    service = await begin(worker)
    done = [await run(service, chain(value)) for value in range(3)]
    job = await service.submit(submission(single("Sleep", seconds=1.0, value=3)))
    await started(service, job.id)
    with service.feed.subscribe(job_id=job.id) as subscription:
        os.kill(worker.process_id, signal.SIGKILL)
        ended = await service.wait(job.id, PATIENCE_S)
        told = [message.event for message in subscription.take() if type(message.event) is JobRequeued]
    assert (ended.state, ended.attempts, ended.outputs) == (JobState.COMPLETED, 2, {"show": {"value": [3]}})
    assert [event.attempts for event in told] == [1]
    assert "SIGKILL" in told[0].reason
    for job in done:
        assert await service.find(job.id) == job


async def test_the_service_answers_while_its_worker_is_away(begin: Begin, worker: ProcessWorker) -> None:
    service = await begin(worker)
    os.kill(worker.process_id, signal.SIGKILL)
    job = await service.submit(submission(chain(1)))
    while worker.ready:
        await asyncio.sleep(0.001)
    with pytest.raises(WorkerUnavailable):
        await service.validate(b"{}")
    assert [stats.ready for stats in await service.stats()] == [False]
    assert (await service.wait(job.id, PATIENCE_S)).state is JobState.COMPLETED


async def test_a_job_that_kills_its_worker_is_set_aside_and_takes_nobody_with_it(
    begin: Begin, worker: ProcessWorker, tmp_path: Path
) -> None:
    service = await begin(worker)
    innocent = [await service.submit(submission(single("Sleep", seconds=0.5, value=value))) for value in range(2)]
    poison = await service.submit(submission(single("Crash", times_file=str(tmp_path / "times"))))
    behind = await service.submit(submission(chain(1)))
    dead = await service.wait(poison.id, PATIENCE_S)
    assert (dead.state, dead.set_aside, dead.attempts) == (JobState.FAILED, True, 3)
    assert dead.error is not None and dead.error.code == "set_aside" and "SIGKILL" in dead.error.message
    assert [name for name, _ in dead.messages] == ["execution_error"]
    for job in (*innocent, behind):
        assert (await service.wait(job.id, PATIENCE_S)).state is JobState.COMPLETED


async def test_a_job_whose_worker_died_once_completes(begin: Begin, worker: ProcessWorker, tmp_path: Path) -> None:
    service = await begin(worker)
    job = await run(service, single("Crash", times_file=str(tmp_path / "times"), times=2, value=4))
    assert (job.state, job.attempts, job.set_aside) == (JobState.COMPLETED, 3, False)
    assert worker.restarts == 2


async def test_a_job_that_should_stop_does_not_come_back_after_a_crash(begin: Begin, worker: ProcessWorker) -> None:
    service = await begin(worker)
    job = await service.submit(submission(single("Spin", seconds=60.0)))
    await started(service, job.id)
    await service.cancel(job.id)
    os.kill(worker.process_id, signal.SIGKILL)
    assert (await service.wait(job.id, PATIENCE_S)).state is JobState.CANCELLED


async def test_what_nodes_print_is_in_the_servers_log(begin: Begin, worker: ProcessWorker, caplog: pytest.LogCaptureFixture) -> None:
    service = await begin(worker)
    with caplog.at_level(logging.INFO, "marquetry.worker"):
        await run(service, single("Speak", text="a word"))
        while caplog.text.count("a word") < 2:
            await asyncio.sleep(0.01)
    assert {record.name for record in caplog.records if record.message == "a word"} == {"marquetry.worker.process"}


async def test_an_engine_that_cant_be_built_is_tried_again_and_says_why(
    begin: Begin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worker = make_worker("process", tmp_path, broken=True)
    with caplog.at_level(logging.ERROR):
        await begin(worker, ready=False)
        while not (isinstance(worker, ProcessWorker) and worker.restarts >= 2):
            await asyncio.sleep(0.02)
    assert "this engine is broken" in caplog.text


async def test_jobs_wait_for_a_worker_that_takes_its_time(begin: Begin, tmp_path: Path) -> None:
    service = await begin(make_worker("process", tmp_path, slow_s=0.5), ready=False)
    assert not service.ready
    assert (await run(service, chain(1))).state is JobState.COMPLETED


async def test_what_ran_when_the_service_stopped_begins_again_without_blame(begin: Begin, tmp_path: Path) -> None:
    first = await begin(make_worker("process", tmp_path))
    job = await first.submit(submission(single("Sleep", seconds=0.8, value=2)))
    waiting = await first.submit(submission(chain(5), number=99.0))
    await started(first, job.id)
    await first.stop(drain_s=0.05)
    second = await begin(make_worker("inline", tmp_path))
    assert (await second.wait(job.id, PATIENCE_S)).attempts == 1
    assert (await second.wait(waiting.id, PATIENCE_S)).state is JobState.COMPLETED


async def test_stopping_waits_for_what_is_nearly_done(begin: Begin, tmp_path: Path) -> None:
    first = await begin(make_worker("process", tmp_path))
    job = await first.submit(submission(single("Sleep", seconds=0.3)))
    await started(first, job.id)
    await first.stop(drain_s=PATIENCE_S)
    second = await begin(make_worker("inline", tmp_path))
    ended = await second.find(job.id)
    assert ended is not None and ended.state is JobState.COMPLETED


async def test_numbers_go_on_after_a_restart(begin: Begin, tmp_path: Path) -> None:
    first = await begin(make_worker("inline", tmp_path))
    before = await run(first, chain(1))
    await first.stop()
    second = await begin(make_worker("inline", tmp_path))
    assert (await run(second, chain(2))).number > before.number


class Server:
    """A server process and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.lines = iter(process.stdout)

    def hear(self, word: str) -> list[str]:
        """The next line that begins with the word, without it."""
        for line in self.lines:
            first, *rest = line.split()
            if first == word:
                return rest
        raise AssertionError(f"the server ended before it said '{word}'")


@contextmanager
def serving(kind: str, tmp_path: Path, *graphs: Graph) -> Iterator[Server]:
    texts = [orjson.dumps(graph.to_api()).decode() for graph in graphs]
    command = [sys.executable, "-m", "tests.server.jobs.server", kind, f"sqlite:///{tmp_path}/jobs.db", str(tmp_path), *texts]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


@pytest.mark.parametrize("kind", ["inline", "process"])
async def test_a_server_killed_at_any_moment_goes_on_where_it_was(begin: Begin, tmp_path: Path, kind: str) -> None:
    with serving(
        kind, tmp_path, chain(1), single("Sleep", seconds=1.5, value=1), chain(2), single("Sleep", seconds=1.5, value=2)
    ) as server:
        submitted = [server.hear("submitted")[0] for _ in range(4)]
        finished = [server.hear("ended") for _ in range(2)]
        server.process.kill()
    assert {state for _, state in finished} == {"completed"}
    service = await begin(make_worker("inline", tmp_path))
    for id in submitted:
        assert (await service.wait(id, PATIENCE_S)).state is JobState.COMPLETED
    for id, _ in finished:
        done = await service.find(id)
        assert done is not None and done.attempts == 1
    assert len(await service.history()) == 4


def test_a_worker_dies_with_its_server(tmp_path: Path) -> None:
    with serving("process", tmp_path, single("Spin", seconds=60.0)) as server:
        (worker_id,) = server.hear("worker")
        assert alive(int(worker_id))
        server.process.kill()
        until = time.monotonic() + 20
        while alive(int(worker_id)):
            assert time.monotonic() < until
            time.sleep(0.05)


def test_a_server_with_process_workers_imports_no_model_library(tmp_path: Path) -> None:
    with serving("process", tmp_path) as server:
        assert server.hear("modules") == []
