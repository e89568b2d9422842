"""A real `marquetry serve` in a child process, as benchmarks of the whole system use it: its address, its memory, its time on the cores."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import psutil

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300.0
MIB = 2**20


@dataclass(frozen=True)
class CoreTime:
    """Seconds on a core, and seconds of wanting one while others had it."""

    running_s: float
    waiting_s: float


def environment() -> dict[str, str]:
    """That of an ordinary installation: byte code is kept, and one thread per library, so that figures can be compared."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return variables | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


def core_time(process_id: int) -> CoreTime:
    """What all threads of a process had so far. Waiting is that of the main thread: the others don't hold up a start."""
    running_ns = 0
    for thread in Path(f"/proc/{process_id}/task").iterdir():
        running_ns += int((thread / "schedstat").read_text().split()[0])
    waiting_ns = int(Path(f"/proc/{process_id}/schedstat").read_text().split()[1])
    return CoreTime(running_ns / 1e9, waiting_ns / 1e9)


def memory_bytes(process_id: int) -> tuple[int, int]:
    """Resident memory, and the part of it that no other process shares."""
    fields = {}
    for line in Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()[1:]:
        name, size, *_ = line.split()
        fields[name] = int(size) * 1024
    return fields["Rss:"], fields["Private_Clean:"] + fields["Private_Dirty:"]


def mapped(process_id: int, libraries: tuple[str, ...]) -> list[str]:
    """Which of these packages have native code in the memory of a process."""
    maps = Path(f"/proc/{process_id}/maps").read_text()
    return [name for name in libraries if f"/{name}/" in maps or f"/{name}.libs/" in maps]


class Served:
    """A server on a free port. Used with `with`; after that its process is gone."""

    def __init__(self, data: Path, *options: str) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.data = data
        self._options = options

    def __enter__(self) -> Served:
        self.begun_s = time.perf_counter()
        self._log = (self.data / "bench.log").open("ab")
        program = "from marquetry.server.command_line import main; main()"
        command = [sys.executable, "-c", program, "serve", "--data", str(self.data), "--port", "0", *self._options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, env=environment(), cwd=self.data)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if b"listens on" in line:
                break
        else:
            raise RuntimeError(f"the server did not start: {(self.data / 'bench.log').read_text()}")
        self.listening_s = time.perf_counter() - self.begun_s
        self.address = line.split()[-1].decode()
        self._connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=PATIENCE_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()

    @property
    def process_id(self) -> int:
        return self.process.pid

    @property
    def worker_ids(self) -> list[int]:
        """The processes that run graphs, when they are not this one."""
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body of an answer."""
        encoded = None if body is None else json.dumps(body)
        self._connection.request(method, path, encoded, {"Content-Type": "application/json"} if encoded else {})
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer that went well."""
        status, data = self.ask(method, path, body)
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {data[:500]!r}")
        return json.loads(data) if data else None

    def until_ready(self) -> float:
        """Seconds from the start until a job would run now."""
        return self._until(lambda: self.ask("GET", "/api/v1/ready")[0] == 200)

    def until_warm(self) -> float:
        """Seconds from the start until the model libraries are imported."""
        return self._until(lambda: all(worker["warm"] for worker in self.json("GET", "/api/v1/stats")["workers"]))

    def _until(self, well: Any) -> float:
        while not well():
            if time.perf_counter() - self.begun_s > PATIENCE_S:
                raise TimeoutError((self.data / "bench.log").read_text()[-4000:])
            time.sleep(0.02)
        return time.perf_counter() - self.begun_s
