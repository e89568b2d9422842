"""Goal 14: the memory of server and worker after 1,000 mixed jobs, beside that after 50.

    python tests/bench/memory.py [--jobs 1000] [--workers process|inline] [--marks 50,200,500]

Trivial, picture (empty, scaled, blurred, inverted, saved), failing, cancelled, expanding and list jobs, in turn and all different, over
HTTP with a listening WebSocket. The cache of results is small, so that it is full before the first mark. Limit: resident memory at the
end at most 1.05 times that at the first mark. Guard: every job ended as it was meant to. Exits with 1 when one of them fails.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import aiohttp
import orjson

from tests.bench._served import MIB, Served, memory_bytes

LIMIT = 1.05
AT_ONCE = 8
SETTLE_S = 4.0
SIDE = 256
PACK = Path(__file__).parent / "_pack"
Prompt = dict[str, dict[str, Any]]


def _n(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def trivial(number: int) -> Prompt:
    return {"1": _n("PrimitiveInt", value=number), "2": _n("PreviewAny", source=["1", 0])}


def picture(number: int) -> Prompt:
    return {
        "1": _n("EmptyImage", width=SIDE, height=SIDE, batch_size=1, color=number),
        "2": _n("ImageScale", image=["1", 0], upscale_method="bilinear", width=2 * SIDE, height=2 * SIDE, crop="disabled"),
        "3": _n("ImageBlur", image=["2", 0], blur_radius=2, sigma=1.0),
        "4": _n("ImageInvert", image=["3", 0]),
        "5": _n("SaveImage", images=["4", 0], filename_prefix="bench"),
    }


def failing(number: int) -> Prompt:
    made = _n("EmptyImage", width=SIDE, height=SIDE, batch_size=1, color=number)
    return {"1": made, "2": _n("BenchFails", image=["1", 0], number=number)}


def cancelled(number: int) -> Prompt:
    made = _n("EmptyImage", width=SIDE, height=SIDE, batch_size=1, color=number)
    return {"1": made, "2": _n("BenchWaits", image=["1", 0], number=number)}


def expanding(number: int) -> Prompt:
    return {
        "1": _n("EmptyImage", width=SIDE, height=SIDE, batch_size=1, color=number),
        "2": _n("BenchExpands", image=["1", 0], count=4),
        "3": _n("PreviewImage", images=["2", 0]),
    }


def listing(number: int) -> Prompt:
    return {
        "1": _n("BenchNumbers", first=number, count=8),
        "2": _n("EmptyImage", width=64, height=64, batch_size=1, color=["1", 0]),
        "3": _n("ImageInvert", image=["2", 0]),
        "4": _n("PreviewImage", images=["3", 0]),
    }


MIX: tuple[tuple[Callable[[int], Prompt], str], ...] = (
    (trivial, "execution_success"),
    (picture, "execution_success"),
    (failing, "execution_error"),
    (trivial, "execution_success"),
    (expanding, "execution_success"),
    (cancelled, "execution_interrupted"),
    (listing, "execution_success"),
)
ENDS = {end for _, end in MIX}


class Client:
    """One client: a WebSocket that hears how jobs go on, and submissions, a few at once."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._ends: dict[str, asyncio.Future[str]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def listen(self) -> None:
        async with self._session.ws_connect("/ws?clientId=bench", max_msg_size=0) as socket:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                heard = orjson.loads(message.data)
                id = heard["data"].get("prompt_id", "") if isinstance(heard.get("data"), dict) else ""
                if heard["type"] in ENDS and id in self._ends:
                    self._ends[id].set_result(heard["type"])

    async def job(self, number: int) -> None:
        make, expected = MIX[number % len(MIX)]
        async with self._room:
            id = f"job-{number}"
            end = self._ends[id] = asyncio.get_running_loop().create_future()
            body = {"prompt": make(number), "client_id": "bench", "prompt_id": id}
            async with self._session.post("/api/prompt", json=body) as answer:
                if answer.status != 200:
                    raise RuntimeError(await answer.text())
            if make is cancelled:
                await self._begun(id)  # a client hears of its jobs one after the other: this one may run before its turn to be told
                async with self._session.post("/api/interrupt", json={"prompt_id": id}) as answer:
                    assert answer.status == 200
            heard = await asyncio.wait_for(end, 120)
            del self._ends[id]
            self.counts[make.__name__] += 1
            if heard != expected:
                self.wrong.append(f"{make.__name__} {number}: {heard}")

    async def _begun(self, id: str) -> None:
        while True:
            async with self._session.get(f"/api/v1/jobs/{id}") as answer:
                if (await answer.json())["state"] != "queued":
                    return
            await asyncio.sleep(0.05)


async def measure(served: Served, marks: Sequence[int]) -> tuple[list[dict[str, int]], Client]:
    """Resident bytes of each process at each mark."""
    found: list[dict[str, int]] = []
    async with aiohttp.ClientSession(served.address) as session:
        client = Client(session)
        listening = asyncio.create_task(client.listen())
        done = 0
        for mark in marks:
            await asyncio.gather(*(client.job(number) for number in range(done, mark)))
            done = mark
            await asyncio.sleep(SETTLE_S)
            sizes = {"server": memory_bytes(served.process_id)[0]}
            sizes |= {f"worker {index}": memory_bytes(id)[0] for index, id in enumerate(served.worker_ids, 1)}
            found.append(sizes)
            print(f"{mark:6} jobs: " + ", ".join(f"{name} {size / MIB:.1f} MiB" for name, size in sizes.items()), flush=True)
        listening.cancel()
    return found, client


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--workers", choices=("process", "inline"), default="process")
    parser.add_argument("--marks", default="50,200,500")
    given = parser.parse_args(arguments)
    marks = [mark for mark in map(int, given.marks.split(",")) if mark < given.jobs] + [given.jobs]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        shutil.copytree(PACK, data / "custom_nodes" / "bench_pack", ignore=shutil.ignore_patterns("__pycache__"))
        with Served(data, "--cpu", "--workers", given.workers, "--cache-memory-mib", "32") as served:
            served.until_ready()
            served.until_warm()
            found, client = asyncio.run(measure(served, marks))
    failed = bool(client.wrong)
    for name, first in found[0].items():
        ratio = found[-1].get(name, 0) / first
        print(f"{name}: {ratio:.3f} of what it held after {marks[0]} jobs (limit {LIMIT})")
        failed |= not 0 < ratio <= LIMIT
    print("jobs: " + ", ".join(f"{count} {name}" for name, count in sorted(client.counts.items())))
    for wrong in client.wrong[:10]:
        print(f"ended otherwise: {wrong}")
    print("a limit or the guard failed" if failed else "all limits hold")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
