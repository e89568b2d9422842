"""A small server to be killed: a JobService over a database file, run as `python -m tests.server.jobs.server KIND DATABASE_URL DATA JOB...`.

It submits each job (JSON API graphs whose output is `show`), says `submitted ID`, and then says `ended ID STATE` for each end.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import orjson

from marquetry.engine.events import JobFinished
from marquetry.engine.graph import Graph
from marquetry.server.database.database import Database
from marquetry.server.jobs.job import Submission
from marquetry.server.jobs.service import JobService
from marquetry.server.jobs.workers.inline import InlineWorker
from marquetry.server.jobs.workers.process import ProcessWorker
from marquetry.server.jobs.workers.worker import Worker
from tests.server.jobs import trivial


async def serve(kind: str, url: str, data: str, graphs: list[str]) -> None:
    worker: Worker = ProcessWorker(trivial.FACTORY, {"data": data})
    if kind == "inline":
        worker = InlineWorker(lambda: trivial.build_engine({"data": data}))
    database = await Database.open(url)
    service = JobService(database, [worker], concurrent_jobs=2)
    await service.start()
    print("modules", *(name for name in ("torch", "numpy", "diffusers", "transformers") if name in sys.modules), flush=True)
    with service.feed.subscribe() as subscription:
        for text in graphs:
            graph = Graph.from_api(orjson.loads(text))
            job = await service.submit(Submission(graph, ("show",), graph_json=text.encode()))
            print("submitted", job.id, flush=True)
        while not service.ready:
            await asyncio.sleep(0.01)
        (stats,) = await service.stats()
        print("worker", stats.process_id, flush=True)
        async for message in subscription:
            if type(message.event) is JobFinished:
                print("ended", message.event.job_id, message.event.state, flush=True)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], str(Path(sys.argv[3])), sys.argv[4:]))
