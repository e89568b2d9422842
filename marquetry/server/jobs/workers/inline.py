"""The worker `inline`: the executor in the server's own process. Shortest way for a job; what crashes it takes the server along."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence

from marquetry.engine.graph import Graph
from marquetry.server.jobs.errors import WorkerUnavailable
from marquetry.server.jobs.workers import answers
from marquetry.server.jobs.workers.parts import EngineParts
from marquetry.server.jobs.workers.relay import Relay
from marquetry.server.jobs.workers.runner import Runner
from marquetry.server.jobs.workers.worker import Description, Task, ValidationReply, WorkerListener, WorkerStats

logger = logging.getLogger(__name__)


class InlineWorker:
    """`build` makes the engine, in a thread."""

    def __init__(self, build: Callable[[], EngineParts], name: str = "inline") -> None:
        self.name = name
        self._build = build
        self._runner: Runner | None = None
        self._relay: Relay | None = None
        self._warm = False
        self._building: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        return self._runner is not None

    async def start(self, listener: WorkerListener) -> None:
        self._relay = Relay(asyncio.get_running_loop(), listener.events)
        self._building = asyncio.create_task(self._begin(self._relay, listener))

    async def _begin(self, relay: Relay, listener: WorkerListener) -> None:
        try:
            parts = await asyncio.to_thread(self._build)
        except Exception:
            logger.exception("the engine of worker %s can't be built", self.name)
            return
        self._runner = Runner(parts, relay.add)
        loop = asyncio.get_running_loop()
        parts.voice.speak_through(lambda name, data, client_id: loop.call_soon_threadsafe(listener.said, name, data, client_id))
        listener.changed()
        await asyncio.to_thread(parts.warm_up)
        self._warm = True
        listener.changed()

    def run(self, task: Task, graph: Graph | None = None) -> None:
        self._running().run(task, graph)

    def cancel(self, job_id: str) -> None:
        self._running().cancel(job_id)

    def restart(self) -> bool:
        return False  # it would have to end the server

    async def describe(self) -> Description:
        return await asyncio.to_thread(answers.describe, self._running().parts)

    async def validate(
        self, graph: bytes, targets: Sequence[str] | None = None, owner: str = "", published: bytes = b""
    ) -> ValidationReply:
        return await answers.validate(self._running().parts, graph, targets, owner, published)

    async def free(self, *, unload_models: bool = False, free_memory: bool = False) -> None:
        executor = self._running().parts.executor
        await asyncio.to_thread(executor.free, unload_models=unload_models, free_memory=free_memory)

    async def stats(self) -> WorkerStats:
        running = 0 if self._runner is None else len(self._runner.parts.executor.running())
        return WorkerStats(
            self.name, "inline", self.ready, self._warm, running, 0, os.getpid(), answers.resident_bytes(), answers.devices(),
            answers.libraries(),
        )  # fmt: skip

    async def stop(self) -> None:
        if self._building is not None:
            await asyncio.wait((self._building,))
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def _running(self) -> Runner:
        if self._runner is None:
            raise WorkerUnavailable(f"worker {self.name} is not ready yet; try again in a moment")
        return self._runner
