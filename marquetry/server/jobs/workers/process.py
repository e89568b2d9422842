"""The worker `process`: the executor in a child process. It may crash; then it starts again, and the server never stops answering."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from marquetry.engine.errors import GraphError
from marquetry.engine.events import JobFinished
from marquetry.engine.graph import Graph
from marquetry.server.jobs.errors import WorkerFailed, WorkerUnavailable
from marquetry.server.jobs.workers import wire
from marquetry.server.jobs.workers.link import Link
from marquetry.server.jobs.workers.worker import Description, Task, ValidationReply, WorkerListener, WorkerStats

logger = logging.getLogger(__name__)
Reply = TypeVar("Reply")
FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 10.0
STABLE_S = 10.0  # a child that was ready for so long was not broken from the start
STOP_S = 2.0
STATS_S = 1.0


class ProcessWorker:
    """`factory` names the function `module:function` that builds the engine from `options`, in the child."""

    def __init__(
        self, factory: str, options: Mapping[str, Any], name: str = "process", environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.restarts = 0
        self._begin = wire.Begin(factory, dict(options))
        self._environment = environment
        self._link: Link | None = None
        self._living: asyncio.Task[None] | None = None
        self._ready = False
        self._warm = False
        self._ready_s = 0.0
        self._numbers = 0
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._running: set[str] = set()
        self._broken = ""

    @property
    def ready(self) -> bool:
        return self._ready

    @property
    def process_id(self) -> int:
        """The child's, or 0 while there is none."""
        return 0 if self._link is None else self._link.process_id

    async def start(self, listener: WorkerListener) -> None:
        self._listener = listener
        self._living = asyncio.create_task(self._live())

    def run(self, task: Task, graph: Graph | None = None) -> None:
        if self._link is None or not self._ready:
            raise WorkerUnavailable(f"worker {self.name} is not ready")
        self._running.add(task.job_id)
        self._link.send(wire.Run(task))

    def cancel(self, job_id: str) -> None:
        if self._link is not None:
            self._link.send(wire.Cancel(job_id))

    def restart(self) -> bool:
        if self._link is not None:
            self._link.kill()
        return True

    async def describe(self) -> Description:
        return await self._ask("describe", Description)

    async def validate(
        self, graph: bytes, targets: Sequence[str] | None = None, owner: str = "", published: bytes = b""
    ) -> ValidationReply:
        chosen = None if targets is None else list(targets)
        return await self._ask("validate", ValidationReply, graph=graph, targets=chosen, owner=owner, published=published)

    async def free(self, *, unload_models: bool = False, free_memory: bool = False) -> None:
        await self._ask("free", type(None), unload_models=unload_models, free_memory=free_memory)

    async def stats(self) -> WorkerStats:
        known = WorkerStats(self.name, "process", self._ready, self._warm, len(self._running), self.restarts, self.process_id)
        if not self._ready:
            return known
        try:
            found = await asyncio.wait_for(self._ask("stats", WorkerStats), STATS_S)
        except (TimeoutError, WorkerUnavailable, WorkerFailed):
            return known
        return msgspec.structs.replace(found, name=self.name, restarts=self.restarts)

    async def stop(self) -> None:
        if self._living is not None:
            self._living.cancel()
            with suppress(asyncio.CancelledError):
                await self._living
        if self._link is not None:
            self._link.send(wire.Stop())
            await self._link.end(STOP_S)
        self._lost("the worker was stopped")
        self._link = None

    async def _live(self) -> None:
        """Start a child, hear of its end, wait, and again."""
        delay_s = FIRST_DELAY_S
        while True:
            started_s = time.monotonic()
            try:
                self._link = await Link.start(self.name, self._receive, self._environment)
            except OSError as error:
                logger.error("worker %s can't be started: %s", self.name, error)
            else:
                self._link.send(self._begin)
                await self._link.closed
                reason = f"{await self._link.end(0.0)}{': ' + self._broken if self._broken else ''}"
                logger.error("worker %s is gone (%s); it starts again", self.name, reason)
                if self._ready and time.monotonic() - self._ready_s > STABLE_S:
                    delay_s = FIRST_DELAY_S
                self._link = None
                self._lost(f"its worker was lost: {reason}")
                self._listener.lost(f"its worker was lost: {reason}")
            self.restarts += 1
            logger.debug("worker %s lived %.1f s", self.name, time.monotonic() - started_s)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, LONGEST_DELAY_S)

    def _lost(self, reason: str) -> None:
        self._ready = self._warm = False
        self._running.clear()
        asked, self._asked = self._asked, {}
        for future in asked.values():
            if not future.done():
                future.set_exception(WorkerUnavailable(f"worker {self.name} could not answer: {reason}"))

    def _receive(self, message: wire.ToServer) -> None:
        if isinstance(message, wire.Events):
            for event in message.events:
                if type(event) is JobFinished:
                    self._running.discard(event.job_id)
            self._listener.events(message.events)
        elif isinstance(message, wire.Answer | wire.Refusal):
            self._answered(message)
        elif isinstance(message, wire.Said):
            self._listener.said(message.name, message.data, message.client_id)
        elif isinstance(message, wire.Ready):
            self._ready, self._ready_s, self._broken = True, time.monotonic(), ""
            self._listener.changed()
        elif isinstance(message, wire.Warm):
            self._warm = True
            self._listener.changed()
        else:
            self._broken = message.message

    def _answered(self, message: wire.Answer | wire.Refusal) -> None:
        future = self._asked.pop(message.number, None)
        if future is None or future.done():
            return
        if isinstance(message, wire.Answer):
            future.set_result(message.body)
        elif message.code == GraphError.code:
            future.set_exception(GraphError(message.message))
        else:
            future.set_exception(WorkerFailed(message.message))

    async def _ask(self, question: str, reply: type[Reply], **body: Any) -> Reply:
        if self._link is None or not self._ready:
            raise WorkerUnavailable(f"worker {self.name} is not ready yet; try again in a moment")
        self._numbers += 1
        number = self._numbers
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        self._link.send(wire.Ask(number, question, body))
        try:
            return wire.decode(await future, reply)
        finally:
            self._asked.pop(number, None)
