"""What the durable queue costs: trivial jobs through JobService, from submission to the event that they have finished.

python tests/bench/job_queue.py [inline|process ...] [--jobs 500] [--runs 200] [--url sqlite:///...] [--profile FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import orjson
import uvloop

from marquetry.engine.events import JobFinished
from marquetry.server.database.database import Database
from marquetry.server.jobs.job import Submission
from marquetry.server.jobs.service import JobService
from marquetry.server.jobs.workers.inline import InlineWorker
from marquetry.server.jobs.workers.process import ProcessWorker
from marquetry.server.jobs.workers.worker import Worker
from tests.server.jobs import trivial


async def _finished(service: JobService, count: int) -> list[float]:
    """When each of the next `count` ends was heard of."""
    times: list[float] = []
    with service.feed.subscribe(client_id="bench") as subscription:
        while len(times) < count:
            for message in await subscription.batch():
                if type(message.event) is JobFinished:
                    assert message.event.state == "completed", message.event
                    times.append(time.perf_counter())
    return times


def _submission(value: int) -> Submission:
    graph = trivial.chain(value)
    return Submission(graph, ("show",), client_id="bench", graph_json=orjson.dumps(graph.to_api()))


async def throughput(service: JobService, jobs: int, first: int) -> float:
    """Jobs a second, all submitted at once."""
    submissions = [_submission(first + index) for index in range(jobs)]
    ends = asyncio.create_task(_finished(service, jobs))
    await asyncio.sleep(0)
    started = time.perf_counter()
    await asyncio.gather(*(service.submit(submission) for submission in submissions))
    return jobs / ((await ends)[-1] - started)


async def latencies_ms(service: JobService, runs: int, first: int) -> list[float]:
    """One job at a time: submission to finished."""
    found: list[float] = []
    with service.feed.subscribe(client_id="bench") as subscription:
        for index in range(runs):
            submission = _submission(first + index)
            started = time.perf_counter()
            await service.submit(submission)
            async for message in subscription:
                if type(message.event) is JobFinished:
                    break
            found.append((time.perf_counter() - started) * 1000)
    return found


async def measure(kind: str, url: str, data: Path, jobs: int, runs: int, profile: str | None) -> str:
    worker: Worker
    if kind == "inline":
        worker = InlineWorker(lambda: trivial.build_engine({"data": str(data)}))
    else:
        worker = ProcessWorker(trivial.FACTORY, {"data": str(data)})
    database = await Database.open(url)
    service = JobService(database, [worker], concurrent_jobs=16)
    await service.start()
    while not service.ready:
        await asyncio.sleep(0.01)
    await latencies_ms(service, 20, -1000)
    latency = sorted(await latencies_ms(service, runs, 0))
    profiler = cProfile.Profile()
    if profile is not None:
        profiler.enable()
    cpu_s = time.process_time()
    rates = [await throughput(service, jobs, 100_000 * (1 + attempt)) for attempt in range(5)]
    cpu_ms = (time.process_time() - cpu_s) * 1000 / (5 * jobs)
    if profile is not None:
        profiler.disable()
        profiler.dump_stats(profile)
    await service.stop()
    await database.close()
    p50, p99 = statistics.median(latency), latency[int(len(latency) * 0.99)]
    return f"{kind:8} {database.dialect:10} p50 {p50:.2f} ms  p99 {p99:.2f} ms  {jobs} at once: median {statistics.median(rates):.0f}/s  best {max(rates):.0f}/s, {cpu_ms:.2f} ms CPU of the server each"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=["inline", "process"])
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--url", default=None)
    parser.add_argument("--profile", default=None)
    given = parser.parse_args(arguments)
    for kind in given.kinds:
        with tempfile.TemporaryDirectory() as folder:
            url = given.url or f"sqlite:///{folder}/jobs.db"
            print(uvloop.run(measure(kind, url, Path(folder), given.jobs, given.runs, given.profile)), flush=True)


if __name__ == "__main__":
    main()
