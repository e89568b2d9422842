"""Link: a child process and the socket to it. What the child prints goes to the server's log."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import cast

from marquetry.server.jobs.workers import wire

LINE_END = re.compile(rb"[\r\n]+")
LONGEST_LINE = 8192


class Link(asyncio.Protocol):
    """`receive` is called with each message of the child. `closed` is done when the child has hung up or died."""

    def __init__(self, process: subprocess.Popen[bytes], receive: Callable[[wire.ToServer], None]) -> None:
        self._process = process
        self._receive = receive
        self._frames = wire.Frames()
        self._transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def start(cls, name: str, receive: Callable[[wire.ToServer], None], environment: Mapping[str, str] | None = None) -> Link:
        """Start a child process that finds the same modules as this one. Raises OSError."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        variables = {
            **os.environ,
            **(environment or {}),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONUNBUFFERED": "1",
        }
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "marquetry.server.jobs.workers.child", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                env=variables,
                start_new_session=True,  # Ctrl-C is the server's
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        _, link = await loop.create_connection(lambda: cls(process, receive), sock=ours)
        await loop.connect_read_pipe(lambda: Printed(name), process.stdout)
        return link

    @property
    def process_id(self) -> int:
        return self._process.pid

    def send(self, message: wire.ToChild) -> None:
        """Say something to the child; to a dead one, nothing."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(wire.pack(message))

    def kill(self) -> None:
        """End the child at once; `closed` tells when it is gone."""
        self._process.kill()

    async def end(self, patience_s: float) -> str:
        """Make sure that the child is dead, and say how it died."""
        try:
            code = await asyncio.to_thread(self._process.wait, patience_s) if patience_s else self._process.poll()
        except subprocess.TimeoutExpired:
            code = None
        if code is None:  # its end may follow its last word by a moment
            try:
                code = await asyncio.to_thread(self._process.wait, 0.2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                code = await asyncio.to_thread(self._process.wait)
        if self._transport is not None:
            self._transport.close()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not subclasses

    def data_received(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            self._receive(wire.to_server.decode(frame))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


class Printed(asyncio.Protocol):
    """What the child prints, line by line."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"marquetry.worker.{name}")
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = LINE_END.split(self._rest + data)
        if len(self._rest) > LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._print(line)

    def connection_lost(self, error: Exception | None) -> None:
        self._print(self._rest)

    def _print(self, line: bytes) -> None:
        if line.strip():
            self._logger.info("%s", line[:LONGEST_LINE].decode(errors="replace"))
