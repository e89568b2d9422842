"""Database: opened once per process. Writes go through one writer, reads run beside it in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from marquetry.server.database.connect import make_engine
from marquetry.server.database.migrate import migrate
from marquetry.server.database.writer import Operation, Writer

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

Parameters = ParamSpec("Parameters")
Argument = TypeVar("Argument")
Result = TypeVar("Result")
READERS = 2


class Database:
    """The queue of record's home. `await Database.open(url)` makes and migrates it."""

    def __init__(self, writing: Engine, reading: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self._writing = writing
        self._reading = reading
        self._loop = loop
        self._writer = Writer(writing, loop)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="database-reader")

    @classmethod
    async def open(cls, url: str) -> Database:
        """Connect, make what is missing, bring the tables to this version. Raises UnknownDatabase and NewerDatabase."""
        loop = asyncio.get_running_loop()
        writing, reading = await asyncio.to_thread(_prepare, url)
        return cls(writing, reading, loop)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._writing.dialect.name

    def write(self, operation: Operation[Argument, Result], argument: Argument) -> asyncio.Future[Result]:
        """Run an operation in the next transaction; the future is done after its commit. See `Writer`."""
        return self._writer.write(operation, argument)

    def hear_changes(self, hear: Callable[[set[str]], None]) -> None:
        """Call `hear` in the event loop with the owners whose books a commit of this process changed."""
        self._writer.hear = hear

    async def read(
        self, function: Callable[Concatenate[Connection, Parameters], Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Run a function that only reads, in a thread with a connection of its own."""
        return await self._loop.run_in_executor(self._readers, lambda: self._read(function, *args, **kwargs))

    async def close(self) -> None:
        """Commit what waits and let go of all connections."""
        await self._writer.close()
        await asyncio.to_thread(self._readers.shutdown)
        self._reading.dispose()
        self._writing.dispose()

    def _read(
        self, function: Callable[Concatenate[Connection, Parameters], Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        with self._reading.connect() as connection:
            return function(connection, *args, **kwargs)


def one_by_one(function: Callable[[Connection, Argument], Result]) -> Operation[Argument, Result]:
    """An operation of a function that takes one argument. Keep what this gives: equal operations share a batch by identity."""

    def run(connection: Connection, arguments: Sequence[Argument]) -> list[Result | Exception]:
        return [function(connection, argument) for argument in arguments]

    return run


def _prepare(url: str) -> tuple[Engine, Engine]:
    writing = make_engine(url, write=True)
    if writing.dialect.name == "sqlite" and writing.url.database is not None:
        Path(writing.url.database).parent.mkdir(parents=True, exist_ok=True)
    try:
        with writing.begin() as connection:
            migrate(connection)
        return writing, make_engine(url, write=False, connections=READERS)
    except BaseException:
        writing.dispose()
        raise
