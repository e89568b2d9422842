"""Trivial jobs over HTTP and WebSocket: prompts a second, latency from POST to `execution_success`, bytes of events a node.

    python tests/bench/http_prompts.py [inline|process ...] [--jobs 500] [--runs 300] [--rounds 5] [--sizes 100 1000 10000] [--profile DIR]

The server is a process of its own and set up as `marquetry serve` does it: durable queue, log of every request. The client does as little
as it can, see `_raw_client`, and what it needs of the cores is told beside. For scale: the same POST to a route that does nothing.
The guard: every job's history entry shows what its graph makes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import psutil
import uvloop

from tests.bench import _raw_client as raw
from tests.server.nodes import chain

SERVER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import uvloop
from tests.bench.http_prompts import run_server
uvloop.run(run_server(Path(sys.argv[1]), sys.argv[2], sys.argv[4]))
"""


async def run_server(data: Path, kind: str, profile: str) -> None:
    """A server of trivial nodes that prints its address and serves until it is told to end."""
    import cProfile
    import signal

    from aiohttp import web

    from marquetry.engine.collector import calm
    from marquetry.engine.folders import Folders
    from marquetry.server.app import create_app
    from marquetry.server.database.database import Database
    from marquetry.server.jobs.service import JobService
    from marquetry.server.jobs.workers.inline import InlineWorker
    from marquetry.server.jobs.workers.process import ProcessWorker
    from marquetry.server.jobs.workers.worker import Worker
    from marquetry.server.logs import LogBuffer, configure
    from marquetry.server.settings import Settings
    from tests.server.jobs import trivial

    settings = Settings(data=data, workers="inline" if kind == "inline" else "process")
    configure(settings.log_level, LogBuffer())
    options = {"data": str(data)}
    worker: Worker = InlineWorker(lambda: trivial.build_engine(options)) if kind == "inline" else ProcessWorker(trivial.FACTORY, options)
    jobs = JobService(
        await Database.open(settings.database),
        [worker],
        concurrent_jobs=settings.concurrent_jobs,
        quick_jobs=settings.quick_jobs,
        queued_per_client=settings.limits.queued_jobs_per_client,
    )
    application = create_app(settings, jobs, trivial.registry(), Folders(data))

    async def nothing(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b"{}", content_type="application/json")

    application.router.add_post("/nothing", nothing)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    while not jobs.ready:
        await asyncio.sleep(0.01)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    calm()
    print(runner.addresses[0][1], flush=True)
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    await ended.wait()
    if profile:
        profiler.disable()
        profiler.dump_stats(f"{profile}/{kind}.prof")
    await runner.cleanup()


class Bench:
    """One server, and what is asked of it."""

    def __init__(self, port: int, process: psutil.Process) -> None:
        self.address = ("127.0.0.1", port)
        self.host = f"127.0.0.1:{port}"
        self.process = process

    def prompt(self, graph: dict[str, Any], client_id: str, path: str = "/prompt") -> bytes:
        return raw.request(self.host, path, json.dumps({"prompt": graph, "client_id": client_id}).encode())

    def latency_ms(self, runs: int, first: int) -> tuple[list[float], list[float], list[float]]:
        """One job at a time: from POST to `execution_success`, to the POST's answer, and to that of a route that does nothing."""
        ended: list[float] = []
        answered: list[float] = []
        floor: list[float] = []
        websocket, connection, frames = raw.open_websocket(self.address, "latency"), raw.connect(self.address), raw.Frames()
        for number in range(runs):
            request, empty = (self.prompt(chain(1, first + number), "latency", path) for path in ("/prompt", "/nothing"))
            started = time.perf_counter()
            connection.sendall(request)
            while not any(payload.startswith(raw.SUCCESS) for payload in frames.feed(websocket.recv(65536))):
                pass
            ended.append((time.perf_counter() - started) * 1000)
            raw.read_answer(connection)
            started = time.perf_counter()
            connection.sendall(empty)
            raw.read_answer(connection)
            floor.append((time.perf_counter() - started) * 1000)
        for number in range(runs):
            request = self.prompt(chain(1, first + runs + number), "latency")
            started = time.perf_counter()
            connection.sendall(request)
            raw.read_answer(connection)
            answered.append((time.perf_counter() - started) * 1000)
            while not any(payload.startswith(raw.SUCCESS) for payload in frames.feed(websocket.recv(65536))):
                pass
        websocket.close()
        connection.close()
        return ended, answered, floor

    async def throughput(self, jobs: int, first: int) -> tuple[float, float]:
        """Jobs a second to the last `execution_success`, and answers a second: all are posted at once over 16 connections."""
        requests = [self.prompt(chain(1, first + number), "throughput") for number in range(jobs)]
        answered_s, ended_s = await raw.post_all(self.address, "throughput", requests, 16)
        return jobs / ended_s, jobs / answered_s

    def bytes_per_node(self, nodes: int, first: int, features: dict[str, bool]) -> tuple[float, float]:
        """Bytes of one run's messages by node, and seconds from POST to the end."""
        client_id = f"bytes{first}"
        websocket, connection, frames = raw.open_websocket(self.address, client_id), raw.connect(self.address), raw.Frames()
        raw.send_text(websocket, json.dumps({"type": "feature_flags", "data": features}).encode())
        while not any(b'"feature_flags"' in payload for payload in frames.feed(websocket.recv(1 << 20))):
            pass
        request = self.prompt(chain(nodes, first), client_id)
        received, ended = 0, False
        started = time.perf_counter()
        connection.sendall(request)
        while not ended:
            for payload in frames.feed(websocket.recv(1 << 20)):
                received += len(payload)
                ended = ended or (payload.startswith(b'{"type":"executing"') and b'"node":null' in payload)
        took_s = time.perf_counter() - started
        job_id = json.loads(raw.read_answer(connection))["prompt_id"]
        connection.sendall(f"GET /history/{job_id} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
        entry = json.loads(raw.read_answer(connection))[job_id]
        assert entry["outputs"] == {"show": {"value": [first + nodes]}}, entry["outputs"]
        websocket.close()
        connection.close()
        return received / (nodes + 2), took_s

    def core_s(self) -> tuple[float, float, float]:
        """What server, workers and this client had of the cores so far."""
        own, children = self.process.cpu_times(), [child.cpu_times() for child in self.process.children(recursive=True)]
        return own.user + own.system, sum(times.user + times.system for times in children), time.process_time()


def measure(kind: str, options: argparse.Namespace) -> None:
    """Start a server with workers of that kind and print its figures."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(__file__).parents[2]
        arguments = [sys.executable, "-c", SERVER, folder, kind, str(root), options.profile]
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert server.stdout is not None
            line = server.stdout.readline().strip()
            if not line:
                raise RuntimeError((Path(folder) / "log").read_text()[-4000:])
            bench = Bench(int(line), psutil.Process(server.pid))
            bench.latency_ms(50, 10_000_000)
            took, answered, floor = bench.latency_ms(options.runs, 20_000_000)
            low, high = statistics.median(took), statistics.quantiles(took, n=100)[98]
            print(f"{kind}: POST to execution_success p50 {low:.2f} ms, p99 {high:.2f} ms, best {min(took):.2f} ms", end="; ")
            print(f"to its answer {statistics.median(answered):.2f} ms; an empty POST {statistics.median(floor):.2f} ms")
            before = bench.core_s()
            rates = [uvloop.run(bench.throughput(options.jobs, 30_000_000 + turn * options.jobs)) for turn in range(options.rounds)]
            spent = [(after - then) * 1000 / (options.jobs * options.rounds) for then, after in zip(before, bench.core_s(), strict=True)]
            ends, answers = [rate[0] for rate in rates], [rate[1] for rate in rates]
            print(
                f"{kind}: {options.jobs} prompts at once: {max(ends):.0f} a second at best, {statistics.median(ends):.0f} median", end="; "
            )
            print(f"accepted at {statistics.median(answers):.0f} a second", end="; ")
            print(f"core time of each: server {spent[0]:.2f} ms, worker {spent[1]:.2f} ms, client {spent[2]:.2f} ms", flush=True)
            for number, size in enumerate(options.sizes):
                whole, whole_s = bench.bytes_per_node(size, 40_000_000 + number * 100_000, {})
                few, few_s = bench.bytes_per_node(size, 50_000_000 + number * 100_000, {"supports_progress_deltas": True})
                print(f"{kind}: {size} nodes: {whole:.0f} bytes a node in {whole_s:.2f} s; conflating {few:.0f} bytes in {few_s:.2f} s")
        finally:
            server.terminate()
            server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=["inline", "process"])
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 1_000, 10_000])
    parser.add_argument("--profile", default="", help="a folder for cProfile's figures of the server")
    options = parser.parse_args()
    for kind in options.kinds or ["inline", "process"]:
        measure(kind, options)


if __name__ == "__main__":
    main()
