"""Goal 11: how long `marquetry serve` takes until it answers, beside `import torch` in the same run; and what an idle server holds.

    python tests/bench/startup.py [--rounds 5]

A first start makes the data folder; the starts after it find one. Limits: a later start listens and answers `object_info` in full
within 1.5 s, and takes at most half of the time on a core that `import torch` takes. Guard: the answer is the same once the worker is
there, and no model library is in the server's memory. On a busy machine the time that the server waited for a core is taken off; the
table shows it. Exits with 1 when a limit or the guard fails.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench._served import MIB, Served, core_time, environment, mapped, memory_bytes

ANSWER_LIMIT_S, TORCH_LIMIT = 1.5, 0.5
FOREIGN = ("torch", "numpy", "scipy", "PIL", "pillow", "tokenizers", "safetensors")


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the process. `running_s` and `waiting_s` are those until the answer."""

    listening_s: float
    answered_s: float
    running_s: float
    waiting_s: float
    ready_s: float = 0.0
    warm_s: float = 0.0
    same: bool = True
    foreign: tuple[str, ...] = ()

    @property
    def alone_s(self) -> float:
        """Until the answer, as if no other process had wanted the cores."""
        return self.answered_s - self.waiting_s


def start(data: Path, *, whole: bool) -> Start:
    """One start; `whole`: until the worker is warm, and then what both processes hold."""
    with Served(data) as served:
        first = served.json("GET", "/api/object_info")
        answered_s = time.perf_counter() - served.begun_s
        spent = core_time(served.process_id)
        if not whole:
            return Start(served.listening_s, answered_s, spent.running_s, spent.waiting_s)
        ready_s, warm_s = served.until_ready(), served.until_warm()
        time.sleep(2)
        same = served.json("GET", "/api/object_info") == first and len(first) > 100
        for name, process_id in (("server", served.process_id), *(("worker", id) for id in served.worker_ids)):
            resident, own = memory_bytes(process_id)
            print(f"idle {name}: {resident / MIB:.0f} MiB resident, {own / MIB:.0f} MiB of it its own")
        foreign = tuple(mapped(served.process_id, FOREIGN))
        return Start(served.listening_s, answered_s, spent.running_s, spent.waiting_s, ready_s, warm_s, same, foreign)


def import_torch() -> tuple[float, float]:
    """Seconds by the wall, and on a core."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun_s = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True, env=environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - begun_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args(arguments).rounds
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        first = start(data, whole=True)
        later: list[Start] = []
        torch: list[tuple[float, float]] = []
        for _ in range(rounds):
            torch.append(import_torch())
            later.append(start(data, whole=False))
        later.append(start(data, whole=True))
    print(f"{'start':12}{'listens s':>10}{'answers s':>10}{'on a core':>10}{'waited s':>10}{'ready s':>9}{'warm s':>8}")
    for name, one in (("first", first), *((f"later {number}", one) for number, one in enumerate(later, 1))):
        worker = f"{one.ready_s:9.2f}{one.warm_s:8.2f}" if one.ready_s else ""
        print(f"{name:12}{one.listening_s:10.2f}{one.answered_s:10.2f}{one.running_s:10.2f}{one.waiting_s:10.2f}{worker}")
    wall_s, core_s = statistics.median(wall for wall, _ in torch), statistics.median(core for _, core in torch)
    running_s = statistics.median(one.running_s for one in later)
    alone_s = statistics.median(one.alone_s for one in later)
    ratio = running_s / core_s
    print(f"import torch: {wall_s:.2f} s, {core_s:.2f} s on a core")
    print(f"a later start answers after {alone_s:.2f} s, waiting for a core not counted (limit {ANSWER_LIMIT_S})")
    print(f"on a core it takes {ratio:.2f} of `import torch` (limit {TORCH_LIMIT})")
    foreign = sorted({*first.foreign, *later[-1].foreign})
    if foreign:
        print(f"in the server's memory: {', '.join(foreign)}")
    same = first.same and later[-1].same
    if not same:
        print("object_info changed when the worker was there")
    failed = alone_s > ANSWER_LIMIT_S or ratio > TORCH_LIMIT or bool(foreign) or not same
    print("a limit or the guard failed" if failed else "all limits hold")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
