"""Several servers over one PostgreSQL: they share the queue, and each job runs once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from marquetry.engine.events import JobFinished
from marquetry.server.jobs.job import JobState
from tests.server.jobs import postgresql
from tests.server.jobs.conftest import Begin, make_worker
from tests.server.jobs.test_service import PATIENCE_S, started, submission
from tests.server.jobs.trivial import chain, single


@pytest.fixture
def url(postgresql_server: str) -> Iterator[str]:
    yield from postgresql.scratch_database(postgresql_server)


async def test_two_servers_share_a_queue_and_no_job_runs_twice(begin: Begin, url: str, tmp_path: Path) -> None:
    first = await begin(make_worker("inline", tmp_path), url=url, heartbeat_s=0.2)
    second = await begin(make_worker("inline", tmp_path), url=url, heartbeat_s=0.2)
    with first.feed.subscribe(client_id="tab") as here, second.feed.subscribe(client_id="tab") as there:
        jobs = await asyncio.gather(*(service.submit(submission(chain(place))) for place in range(60) for service in (first, second)))
        ended = await asyncio.gather(*(first.wait(job.id, PATIENCE_S) for job in jobs))
        ends = [message.event.job_id for side in (here, there) for message in side.take() if isinstance(message.event, JobFinished)]
    assert {(job.state, job.attempts) for job in ended} == {(JobState.COMPLETED, 1)}
    assert sorted(ends) == sorted(job.id for job in jobs)


async def test_a_server_without_workers_queues_for_the_others_and_cancels_there(begin: Begin, url: str, tmp_path: Path) -> None:
    front = await begin(url=url, heartbeat_s=0.2)
    back = await begin(make_worker("inline", tmp_path), url=url, heartbeat_s=0.2)
    job = await front.submit(submission(single("Sleep", seconds=60.0, steps=6000)))
    await started(back, job.id)
    await front.cancel(job.id)
    assert (await front.wait(job.id, PATIENCE_S)).state is JobState.CANCELLED
