"""A server as its users start it: a process of its own, with ComfyUI's flags."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from marquetry.engine.expansion import GraphBuilder
from tests.compat.client import Client

HERE = Path(__file__).parent
START_S = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Server:
    """`marquetry serve` below `folder`, with the testing pack. What it prints is in `folder/server.log`."""

    def __init__(self, folder: Path, *flags: str, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.output = folder / "pictures"
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [str(Path(sys.executable).with_name("marquetry")), "serve", "--output-directory", str(self.output)]
        command += ["--listen", "127.0.0.1", "--port", str(self.port), "--extra-model-paths-config", str(HERE / "extra_model_paths.yaml")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MARQUETRY_CACHE_DISK_BYTES": str(2**28)}
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--cpu", *self._flags], cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self._until_it_answers()
        return self

    def warm_up(self) -> None:
        """Run a first graph: nodes load, a picture is saved."""
        graph = GraphBuilder(prefix="warm.")
        graph.node("PreviewImage", images=graph.node("CompatFlat", level=0.5).out(0))
        with Client(self.address) as client:
            client.run(graph)

    def kill(self) -> None:
        """SIGKILL, as test suites end their servers."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Ask it to end, and see to it that it and its workers do."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _until_it_answers(self) -> None:
        assert self._process is not None
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            assert self._process.poll() is None, (self.folder / "server.log").read_text()[-4000:]
            try:
                with urllib.request.urlopen(f"{self.address}/prompt", timeout=5):
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        raise TimeoutError((self.folder / "server.log").read_text()[-4000:])
