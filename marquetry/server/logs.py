"""Logs: one JSON object a line on the error stream, and the newest lines kept in memory for the terminal in the editor.

Lines are written by a thread, many at once: what serves requests never waits for the stream. Warnings and errors are written at once.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

import orjson

KEPT_LINES = 300
MAX_LINE_CHARACTERS = 8_000
GATHER_S = 0.05
PLAIN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time, level, logger, message, and whatever was given as `extra` (a request id, for instance)."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in vars(record).items():
            if name not in PLAIN:
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class LineWriter(logging.Handler):
    """Writes records to a stream from a thread of its own. `flush` writes what waits."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._waiting: deque[logging.LogRecord] = deque()
        self._woken = threading.Event()
        self._writing = threading.Lock()
        threading.Thread(target=self._serve, name="log", daemon=True).start()

    def createLock(self) -> None:
        """None is needed: taking a record in is one step."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        self._waiting.append(record)
        if record.levelno >= logging.WARNING:
            self.flush()
        elif not self._woken.is_set():
            self._woken.set()

    def flush(self) -> None:
        with self._writing:
            lines: list[str] = []
            while self._waiting:
                record = self._waiting.popleft()
                try:
                    lines.append(self.format(record) + "\n")
                except Exception:  # what was given to be logged can't be told
                    self.handleError(record)
            if lines:
                try:
                    self._stream.write("".join(lines))
                    self._stream.flush()
                except (OSError, ValueError):  # nobody reads any more
                    return

    def _serve(self) -> None:
        while True:
            self._woken.wait()
            self._woken.clear()
            time.sleep(GATHER_S)
            self.flush()


class LogBuffer(logging.Handler):
    """Keeps the newest lines as text, and tells listeners of each new one. Requests are left out, they would drown the rest."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.entries: deque[dict[str, str]] = deque(maxlen=KEPT_LINES)  # {"t": time, "m": text}, as the editor's terminal shows them
        self.listeners: list[Callable[[dict[str, str]], None]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "marquetry.server.requests" and record.levelno < logging.WARNING:
            return
        entry = {"t": _time(record), "m": self.format(record)[:MAX_LINE_CHARACTERS] + "\n"}
        self.entries.append(entry)
        for listener in tuple(self.listeners):
            listener(entry)


def configure(level: str, buffer: LogBuffer) -> None:
    """Send all logging of this process to the error stream and into `buffer`."""
    stream = LineWriter(sys.stderr)
    stream.setFormatter(JsonFormatter())
    logging._srcfile = None  # lines don't say where in the program they come from, nor from which thread: finding out takes time
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    for handler in (stream, buffer):
        if not any(type(known) is type(handler) for known in root.handlers):
            root.addHandler(handler)
    root.setLevel(level)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
