"""Fairness: how long one person's single job takes while another has a thousand waiting, and while nobody has.

    python tests/bench/fair_queue.py [inline|process ...] [--crowd 1000] [--runs 60] [--job-ms 100] [--places 1] [--url sqlite:///...]

Every job computes for the same time. The crowd is kept at its size while the victim submits one job after the other. Beside the times: how
many of the crowd's jobs began between a submission of the victim and its beginning, which may be one for each place that is free.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import uvloop

from marquetry.engine.events import JobFinished
from marquetry.server.database.database import Database
from marquetry.server.jobs.job import Submission
from marquetry.server.jobs.message import JobLeased
from marquetry.server.jobs.service import JobService
from marquetry.server.jobs.workers.inline import InlineWorker
from marquetry.server.jobs.workers.process import ProcessWorker
from marquetry.server.jobs.workers.worker import Worker
from tests.server.jobs import trivial


def _submission(owner: str, value: int, job_s: float) -> Submission:
    return Submission(trivial.single("Sleep", seconds=job_s, steps=1, value=value), ("show",), owner=owner, client_id=owner)


async def victim_ms(service: JobService, runs: int, job_s: float, first: int) -> tuple[list[float], list[int]]:
    """Submission to end of single jobs, one after the other; and how many others began before each."""
    times: list[float] = []
    overtaken: list[int] = []
    for number in range(runs):
        with service.feed.subscribe() as heard:
            started = time.perf_counter()
            job = await service.submit(_submission("victim", first + number, job_s))
            others, begun = 0, False
            async for message in heard:
                event = message.event
                if type(event) is JobLeased:
                    begun = begun or event.job_id == job.id
                    others += not begun
                elif type(event) is JobFinished and event.job_id == job.id:
                    break
            times.append((time.perf_counter() - started) * 1000)
            overtaken.append(others)
        await asyncio.sleep(job_s * 0.37)  # not in step with the crowd
    return times, overtaken


async def keep_crowd(service: JobService, crowd: int, job_s: float) -> None:
    """Submit as many as end."""
    number = crowd
    with service.feed.subscribe(client_id="crowd") as heard:
        async for message in heard:
            if type(message.event) is JobFinished:
                number += 1
                await service.submit(_submission("crowd", number, job_s))


async def measure(kind: str, url: str, data: Path, crowd: int, runs: int, job_s: float, places: int) -> str:
    options = {"data": str(data)}
    worker: Worker = InlineWorker(lambda: trivial.build_engine(options)) if kind == "inline" else ProcessWorker(trivial.FACTORY, options)
    database = await Database.open(url)
    service = JobService(database, [worker], concurrent_jobs=places, quick_jobs=places)
    await service.start()
    while not service.ready:
        await asyncio.sleep(0.01)
    await victim_ms(service, 5, job_s, -1000)
    alone, _ = await victim_ms(service, runs, job_s, 0)
    await asyncio.gather(*(service.submit(_submission("crowd", number, job_s)) for number in range(crowd)))
    keeping = asyncio.create_task(keep_crowd(service, crowd, job_s))
    beside, overtaken = await victim_ms(service, runs, job_s, 100_000)
    keeping.cancel()
    waiting = (await service.outlook.overview(None)).backlog.waiting
    await service.clear_pending()
    await service.stop()
    await database.close()
    low, high = _p99(alone), _p99(beside)
    return (
        f"{kind:8} {database.dialect:10} jobs of {job_s * 1000:.0f} ms, {places} at a time, {waiting} of the crowd waiting: alone p50 {statistics.median(alone):.1f} ms,"
        f" p99 {low:.1f} ms; beside the crowd p50 {statistics.median(beside):.1f} ms, p99 {high:.1f} ms ({high / low:.2f} times);"
        f" others that began before it: at most {max(overtaken)}"
    )


def _p99(times: Sequence[float]) -> float:
    return sorted(times)[min(int(len(times) * 0.99), len(times) - 1)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=["inline", "process"])
    parser.add_argument("--crowd", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--job-ms", type=float, default=100.0)
    parser.add_argument("--places", type=int, default=1)
    parser.add_argument("--url", default=None)
    given = parser.parse_args(arguments)
    for kind in given.kinds:
        with tempfile.TemporaryDirectory() as folder:
            url = given.url or f"sqlite:///{folder}/jobs.db"
            measured = measure(kind, url, Path(folder), given.crowd, given.runs, given.job_ms / 1000, given.places)
            print(uvloop.run(measured), flush=True)


if __name__ == "__main__":
    main()
