"""Lanes: where nodes run. One serial lane for each accelerator, a pool for the CPU, an event loop for input and output."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Protocol

from marquetry.engine.schema import Lane


class Work(Protocol):
    """Something with nodes that are ready, in the order in which it was submitted."""

    number: int

    def work(self, lane: Lane) -> None: ...


class ThreadLane:
    """Threads that take the work that was submitted first. Work that is posted twice before a thread takes it is taken twice."""

    def __init__(self, lane: Lane, threads: int) -> None:
        self.lane = lane
        self._heap: list[tuple[int, int, Work]] = []
        self._tickets = itertools.count()
        self._changed = threading.Condition(threading.Lock())
        self._closed = False
        self.idle = 0
        self.threads = [threading.Thread(target=self._serve, name=f"marquetry-{lane}-{number}", daemon=True) for number in range(threads)]
        for thread in self.threads:
            thread.start()

    def post(self, work: Work) -> None:
        """Let a thread call `work.work(lane)` soon."""
        with self._changed:
            heapq.heappush(self._heap, (work.number, next(self._tickets), work))
            self._changed.notify()

    def backlog(self) -> int:
        """How many pieces of work wait for a thread."""
        return len(self._heap)

    def close(self) -> None:
        """Let the threads end after what they do now."""
        with self._changed:
            self._closed = True
            self._heap.clear()
            self._changed.notify_all()

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._heap:
                    if self._closed:
                        return
                    self.idle += 1
                    self._changed.wait()
                    self.idle -= 1
                work = heapq.heappop(self._heap)[2]
            work.work(self.lane)
            del work


class LoopLane:
    """An event loop in a thread of its own, started when the first asynchronous node comes."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run a coroutine on the loop; cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def close(self) -> None:
        """Stop the loop; what still runs on it is cancelled."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(_stop, loop)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_serve, args=(self._loop,), name="marquetry-io", daemon=True).start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.call_soon(loop.stop)


class Lanes:
    """The lanes of one executor. `cpu_threads` is the size of the CPU pool."""

    def __init__(self, cpu_threads: int) -> None:
        self.device = ThreadLane("device", 1)
        self.cpu = ThreadLane("cpu", cpu_threads)
        self.io = LoopLane()
        self.post: dict[Lane, Callable[[Work], None]] = {"device": self.device.post, "cpu": self.cpu.post}

    def close(self) -> None:
        """End all threads after what they do now."""
        self.device.close()
        self.cpu.close()
        self.io.close()
