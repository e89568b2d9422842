"""The child process: an engine, and a thread that talks with the server and answers it whatever the nodes are doing.

Started with `python -m marquetry.server.jobs.workers.child FILE_DESCRIPTOR`. It never outlives its server.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, cast

import uvloop

from marquetry.engine.collector import calm
from marquetry.engine.errors import EngineError
from marquetry.engine.events import AnyEvent, JobFinished, NodeProgress
from marquetry.server.jobs.workers import answers, wire
from marquetry.server.jobs.workers.parts import EngineParts, build_from
from marquetry.server.jobs.workers.relay import Relay
from marquetry.server.jobs.workers.runner import Runner
from marquetry.server.jobs.workers.worker import WorkerStats

FLUSH_S = 0.004  # events that follow soon after others wait this long for company
PR_SET_PDEATHSIG = 1


class Conversation(asyncio.Protocol):
    """The child's side of the wire; lives in the talking thread."""

    def __init__(self, begin: Callable[[wire.Begin], None]) -> None:
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self._frames = wire.Frames()
        self._runner: Runner | None = None
        self._warm = False
        self._paused = False
        self._waiting: list[AnyEvent] = []
        self._flushed_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._relay = Relay(self._loop, self._deliver)
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not subclasses

    def connection_lost(self, error: Exception | None) -> None:
        os._exit(0)  # the server is gone, or wants no more: nothing here is worth keeping

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False

    def data_received(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            self._receive(wire.to_child.decode(frame))

    def _receive(self, message: wire.ToChild) -> None:
        if isinstance(message, wire.Begin):
            self._begin(message)
        elif isinstance(message, wire.Ask):
            task = self._loop.create_task(self._answer(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif isinstance(message, wire.Stop):
            os._exit(0)
        elif self._runner is not None:
            if isinstance(message, wire.Run):
                self._runner.run(message.task)
            else:
                self._runner.cancel(message.job_id)

    # What the main thread tells, by way of the loop

    def engine_built(self, parts: EngineParts) -> None:
        self._runner = Runner(parts, self._relay.add)
        parts.voice.speak_through(self.say)
        self._transport.write(wire.pack(wire.Ready()))

    def engine_warm(self) -> None:
        self._warm = True
        self._transport.write(wire.pack(wire.Warm()))

    def engine_broken(self, message: str) -> None:
        self._transport.write(wire.pack(wire.Broken(message)))
        self._transport.close()

    def say(self, name: str, data: bytes, client_id: str | None) -> None:
        """Tell clients something on behalf of a pack; from any thread."""
        self._loop.call_soon_threadsafe(self._transport.write, wire.pack(wire.Said(name, data, client_id)))

    # Events

    def _deliver(self, events: list[AnyEvent]) -> None:
        if self._paused:  # the server is behind: it needs no progress that is old by the time it reads it
            events = [event for event in events if type(event) is not NodeProgress]
        self._waiting += events
        since_s = self._loop.time() - self._flushed_s
        if since_s >= FLUSH_S or any(type(event) is JobFinished for event in events):
            self._flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(FLUSH_S - since_s, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._transport.write(wire.pack(wire.Events(self._waiting)))
            self._waiting = []
            self._flushed_s = self._loop.time()

    # Questions

    async def _answer(self, ask: wire.Ask) -> None:
        try:
            body = wire.encode(await self._reply(ask))
        except Exception as error:  # the question's, not the worker's
            code = error.code if isinstance(error, EngineError) else ""
            self._transport.write(wire.pack(wire.Refusal(ask.number, code, str(error) or repr(error))))
            return
        self._transport.write(wire.pack(wire.Answer(ask.number, body)))

    async def _reply(self, ask: wire.Ask) -> Any:
        if ask.question == "stats":
            return await asyncio.to_thread(self._stats)
        if self._runner is None:
            raise RuntimeError("the engine is still being built")
        parts = self._runner.parts
        questions: dict[str, Callable[[], Awaitable[Any]]] = {
            "describe": lambda: asyncio.to_thread(answers.describe, parts),
            "validate": lambda: answers.validate(parts, **ask.body),
            "free": lambda: asyncio.to_thread(parts.executor.free, **ask.body),
        }
        return await questions[ask.question]()

    def _stats(self) -> WorkerStats:
        running = 0 if self._runner is None else len(self._runner.parts.executor.running())
        return WorkerStats(
            "", "process", self._runner is not None, self._warm, running, 0, os.getpid(), answers.resident_bytes(), answers.devices(),
            answers.libraries(),
        )  # fmt: skip


class Child:
    """The process. Its main thread builds the engine, since packs expect to be imported there, and then only waits."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._told = threading.Event()
        self._order: wire.Begin | None = None
        self._loop = uvloop.new_event_loop()
        self._conversation: Conversation | None = None

    def run(self) -> None:
        """Serve until the server has gone."""
        threading.Thread(target=self._talk, name="talk", daemon=True).start()
        self._told.wait()
        talk = self._conversation
        if self._order is None or talk is None:
            return
        gc.disable()  # imports leave little garbage, and looking for it takes a fifth of their time
        try:
            parts = build_from(self._order.factory, self._order.options)
        except Exception as error:
            traceback.print_exc()
            self._loop.call_soon_threadsafe(talk.engine_broken, f"{type(error).__name__}: {error}")
        else:
            self._loop.call_soon_threadsafe(talk.engine_built, parts)
            try:
                parts.warm_up()
            except Exception:
                traceback.print_exc()
            calm()
            self._loop.call_soon_threadsafe(talk.engine_warm)
        threading.Event().wait()

    def _talk(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.create_task(self._connect())
        self._loop.run_forever()

    async def _connect(self) -> None:
        self._socket.setblocking(False)
        _, self._conversation = await self._loop.create_connection(lambda: Conversation(self._begin), sock=self._socket)

    def _begin(self, order: wire.Begin) -> None:
        self._order = order
        self._loop.call_soon(self._told.set)  # after `_connect` has kept the conversation


def die_with_parent() -> None:
    """Let the kernel kill this process when its server is killed, even while no thread of it can run."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)


def main() -> None:
    """Begin; the file descriptor of the socket is the only argument."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Child(int(sys.argv[1])).run()


if __name__ == "__main__":
    main()
