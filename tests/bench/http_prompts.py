"""Trivial jobs over HTTP and WebSocket: prompts a second, latency from POST to `execution_success`, bytes of events a node.

    python tests/bench/http_prompts.py [inline|process ...] [--jobs 500] [--runs 300] [--sizes 100 1000 10000]

Server and client share the machine; the server is a process of its own. Side by side for scale: the same POSTs to a route that does nothing.
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

import aiohttp
import uvloop

from tests.server.nodes import chain

SERVER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import uvloop
from tests.bench.http_prompts import run_server
uvloop.run(run_server(Path(sys.argv[1]), sys.argv[2]))
"""
WAIT_S = 120


async def run_server(data: Path, kind: str) -> None:
    """A server of trivial nodes that prints its address and serves until it is killed."""
    from aiohttp import web

    from marquetry.engine.folders import Folders
    from marquetry.server.app import create_app
    from marquetry.server.database.database import Database
    from marquetry.server.jobs.service import JobService
    from marquetry.server.jobs.workers.inline import InlineWorker
    from marquetry.server.jobs.workers.process import ProcessWorker
    from marquetry.server.jobs.workers.worker import Worker
    from marquetry.server.settings import Settings
    from tests.server.jobs import trivial

    settings = Settings(data=data, workers="inline" if kind == "inline" else "process")
    options = {"data": str(data)}
    worker: Worker = InlineWorker(lambda: trivial.build_engine(options)) if kind == "inline" else ProcessWorker(trivial.FACTORY, options)
    jobs = JobService(await Database.open(settings.database), [worker], concurrent_jobs=settings.concurrent_jobs)
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
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def trivial_graph(number: int) -> dict[str, Any]:
    """Three nodes that no earlier job has made."""
    return chain(1, value=number)


async def latency_ms(session: aiohttp.ClientSession, runs: int, first: int) -> tuple[list[float], list[float]]:
    """From POST to `execution_success`, one job at a time; and the same POST to a route that does nothing."""
    took: list[float] = []
    floor: list[float] = []
    async with session.ws_connect("/ws?clientId=latency") as socket:
        for number in range(runs):
            body = json.dumps({"prompt": trivial_graph(first + number), "client_id": "latency"}).encode()
            started = time.perf_counter()
            posting = asyncio.create_task(post(session, "/prompt", body))
            while True:
                message = await socket.receive(WAIT_S)
                if message.type is aiohttp.WSMsgType.TEXT and '"execution_success"' in message.data:
                    break
            took.append((time.perf_counter() - started) * 1000)
            await posting
            started = time.perf_counter()
            await post(session, "/nothing", body)
            floor.append((time.perf_counter() - started) * 1000)
    return took, floor


async def throughput(session: aiohttp.ClientSession, jobs: int, first: int) -> float:
    """Jobs a second: all are posted at once over 16 connections, the clock stops with the last `execution_success`."""
    waiting = asyncio.Queue[bytes]()
    for number in range(jobs):
        waiting.put_nowait(json.dumps({"prompt": trivial_graph(first + number), "client_id": "throughput"}).encode())

    async def send() -> None:
        while not waiting.empty():
            await post(session, "/prompt", waiting.get_nowait())

    async with session.ws_connect("/ws?clientId=throughput", max_msg_size=0) as socket:
        await socket.receive(WAIT_S)
        started = time.perf_counter()
        senders = [asyncio.create_task(send()) for _ in range(16)]
        done = 0
        while done < jobs:
            message = await socket.receive(WAIT_S)
            if message.type is aiohttp.WSMsgType.TEXT and message.data.startswith('{"type":"execution_success"'):
                done += 1
        took_s = time.perf_counter() - started
        await asyncio.gather(*senders)
    return jobs / took_s


async def bytes_per_node(session: aiohttp.ClientSession, nodes: int, first: int, features: dict[str, bool]) -> tuple[float, float]:
    """Bytes of one run's messages by node, and seconds from POST to the end."""
    client_id = f"bytes{first}"
    async with session.ws_connect(f"/ws?clientId={client_id}", max_msg_size=0) as socket:
        await socket.send_json({"type": "feature_flags", "data": features})
        while '"feature_flags"' not in (await socket.receive(WAIT_S)).data:
            pass
        received = 0
        started = time.perf_counter()
        posting = asyncio.create_task(
            post(session, "/prompt", json.dumps({"prompt": chain(nodes, first), "client_id": client_id}).encode())
        )
        while True:
            message = await socket.receive(WAIT_S)
            received += len(message.data)
            if message.type is aiohttp.WSMsgType.TEXT and '"executing"' in message.data and '"node":null' in message.data:
                break
        took_s = time.perf_counter() - started
        answer = await posting
    async with session.get(f"/history/{answer['prompt_id']}") as found:
        entry = (await found.json())[answer["prompt_id"]]
    assert entry["outputs"] == {"show": {"value": [first + nodes]}}, entry["outputs"]
    return received / (nodes + 2), took_s


async def post(session: aiohttp.ClientSession, path: str, body: bytes) -> dict[str, Any]:
    async with session.post(path, data=body) as answer:
        assert answer.status == 200, await answer.text()
        said: dict[str, Any] = await answer.json()
        return said


async def measure(kind: str, options: argparse.Namespace) -> None:
    """Start a server with workers of that kind and print its figures."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [sys.executable, "-c", SERVER, folder, kind, str(Path(__file__).parents[2])]
        server = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert server.stdout is not None
            address = (await asyncio.to_thread(server.stdout.readline)).strip()
            async with aiohttp.ClientSession(address, connector=aiohttp.TCPConnector(limit=32)) as session:
                await latency_ms(session, 50, 10_000_000)
                took, floor = await latency_ms(session, options.runs, 20_000_000)
                rates = [await throughput(session, options.jobs, 30_000_000 + round * options.jobs) for round in range(5)]
                low, high = statistics.median(took), statistics.quantiles(took, n=100)[98]
                print(f"{kind}: POST to execution_success p50 {low:.2f} ms, p99 {high:.2f} ms, best {min(took):.2f} ms", end="; ")
                print(f"an empty POST p50 {statistics.median(floor):.2f} ms")
                print(f"{kind}: {options.jobs} prompts at once: {max(rates):.0f} a second at best, {statistics.median(rates):.0f} median")
                for number, size in enumerate(options.sizes):
                    whole, whole_s = await bytes_per_node(session, size, 40_000_000 + number * 100_000, {})
                    few, few_s = await bytes_per_node(session, size, 50_000_000 + number * 100_000, {"supports_progress_deltas": True})
                    print(f"{kind}: {size} nodes: {whole:.0f} bytes a node in {whole_s:.2f} s; conflating {few:.0f} bytes in {few_s:.2f} s")
        finally:
            server.kill()
            server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=["inline", "process"])
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 1_000, 10_000])
    options = parser.parse_args()
    for kind in options.kinds or ["inline", "process"]:
        uvloop.run(measure(kind, options))


if __name__ == "__main__":
    main()
