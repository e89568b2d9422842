"""Writer: one thread that commits for everybody. What is asked for at about the same moment shares one transaction.

An answer is given after the commit, never before.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from marquetry.marketplace.changed import take_changed
from marquetry.server.database.errors import DatabaseClosed

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

logger = logging.getLogger(__name__)
Argument = TypeVar("Argument")
Result = TypeVar("Result")
Operation: TypeAlias = "Callable[[Connection, Sequence[Argument]], Sequence[Result | Exception]]"
LARGEST_BATCH = 1024
GATHER_S = 0.0003


@dataclass(slots=True)
class _Pending:
    operation: Operation[Any, Any]
    argument: Any
    future: asyncio.Future[Any]
    outcome: Any = None


class Writer:
    """Runs operations. An operation takes all arguments that wait for it and gives one result, or one exception, for each.

    An operation may be run a second time, alone, after its first transaction was rolled back because another one failed in it.
    """

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop
        self._waiting: SimpleQueue[_Pending | None] = SimpleQueue()
        self._closed = False
        self._connection: Connection | None = None
        self.hear: Callable[[set[str]], None] | None = None
        self._thread = threading.Thread(target=self._run, name="database-writer", daemon=True)
        self._thread.start()

    def write(self, operation: Operation[Argument, Result], argument: Argument) -> asyncio.Future[Result]:
        """The future of one result; it is done after the commit. Call it in the event loop."""
        future: asyncio.Future[Result] = self._loop.create_future()
        if self._closed:
            future.set_exception(DatabaseClosed("the database is closed"))
        else:
            self._waiting.put(_Pending(operation, argument, future))
        return future

    async def close(self) -> None:
        """Commit what waits, then end."""
        if not self._closed:
            self._closed = True
            self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        closing = False
        while not closing:
            batch: list[_Pending] = []
            if not self._waiting.empty():  # under load, a moment's patience makes fewer and larger transactions
                time.sleep(GATHER_S)
            pending = self._waiting.get()
            while True:
                if pending is None:
                    closing = True
                    break
                batch.append(pending)
                if len(batch) >= LARGEST_BATCH:
                    break
                try:
                    pending = self._waiting.get_nowait()
                except Empty:
                    break
            if batch:
                self._commit(batch)
                try:
                    self._loop.call_soon_threadsafe(_resolve, batch)
                except RuntimeError:
                    logger.warning("the event loop ended before %d database operations were answered", len(batch))
        if self._connection is not None:
            self._connection.close()

    def _commit(self, batch: list[_Pending]) -> None:
        try:
            self._transact(batch)
        except Exception as error:
            if len(batch) == 1:
                batch[0].outcome = error
                return
            for pending in batch:
                self._commit([pending])

    def _transact(self, batch: list[_Pending]) -> None:
        if self._connection is None or self._connection.invalidated:
            if self._connection is not None:
                self._connection.close()
            self._connection = self._engine.connect()
        with self._connection.begin():
            for operation, group in groupby(batch, key=lambda pending: pending.operation):
                members = list(group)
                results = operation(self._connection, [pending.argument for pending in members])
                for pending, result in zip(members, results, strict=True):
                    pending.outcome = result
        changed = take_changed(self._connection)
        if changed and self.hear is not None:
            with suppress(RuntimeError):  # the event loop ended
                self._loop.call_soon_threadsafe(self.hear, changed)


def _resolve(batch: list[_Pending]) -> None:
    for pending in batch:
        if pending.future.done():
            continue
        if isinstance(pending.outcome, Exception):
            pending.future.set_exception(pending.outcome)
        else:
            pending.future.set_result(pending.outcome)
