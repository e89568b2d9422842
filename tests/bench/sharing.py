"""Goal 4: what is asked for by many is made once.

    python tests/bench/sharing.py [--owners 64] [--rounds 5]

Many owners submit at the same moment: all the same graph; then graphs of which the first 80 % are the same; then graphs that begin with
something private. Every node takes the same work, about 2 ms. Beside it: executors of their own for each owner. Limits: work done /
distinct work 1 when one comes after the other and at most 1.02 when all come at once; the mix takes at most a quarter of the time on a
core that it takes apart. Guard: results equal those of the executors apart, and private graphs share nothing. Exits with 1 when one of
them fails.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from marquetry.engine.cache import ResultCache
from marquetry.engine.context import Services
from marquetry.engine.declare import node, node_type
from marquetry.engine.events import AnyEvent, NodeFinished, NodesCached
from marquetry.engine.execution.executor import Executor
from marquetry.engine.execution.run import Run
from marquetry.engine.folders import Folders
from marquetry.engine.graph import Graph
from marquetry.engine.outcome import NodeOutput
from marquetry.engine.registry import Registry

WORK_LIMIT, SPEED_LIMIT = 1.02, 4.0
LENGTH, SHARED = 10, 8  # nodes of a chain, and how many of them everybody has
BLOCK, PASSES = b"\0" * 2**16, 40  # about 2 ms
WAIT_S = 300

calls: Counter[str] = Counter()
counting = threading.Lock()


def _work(text: str) -> str:
    digest = hashlib.blake2b(text.encode())
    for _ in range(PASSES):
        digest.update(BLOCK)
    with counting:
        calls["work"] += 1
    return digest.hexdigest()


@node(id="Begin", title="Begin", category="bench")
def begin(text: str = "") -> str:
    """Work on a text."""
    return _work(text)


@node(id="BeginPrivately", title="Begin privately", category="bench", private=True)
def begin_privately(text: str = "") -> str:
    """As `begin`, on something of the owner's own."""
    return _work(text)


@node(id="Continue", title="Continue", category="bench")
def go_on(text: str, more: str = "") -> str:
    """Work on what came before."""
    return _work(text + more)


@node(id="Show", title="Show", category="bench", output_node=True)
def show(text: str) -> NodeOutput[None]:
    """Shows a text."""
    return NodeOutput(ui={"text": [text]})


def chain(owner: int, shared: int, first: str = "Begin") -> Graph:
    """`LENGTH` nodes of work and one that shows; from the node `shared` on they are the owner's alone."""
    nodes: dict[str, Any] = {"0": {"class_type": first, "inputs": {"text": "" if shared else str(owner)}}}
    for number in range(1, LENGTH):
        inputs = {"text": [str(number - 1), 0], "more": str(number if number < shared else (owner, number))}
        nodes[str(number)] = {"class_type": "Continue", "inputs": inputs}
    nodes["show"] = {"class_type": "Show", "inputs": {"text": [str(LENGTH - 1), 0]}}
    return Graph.from_api(nodes)


@dataclass(frozen=True)
class Outcome:
    """What all owners were shown; nodes that did work; nodes that were found made; seconds by the wall and on a core."""

    shown: list[str]
    worked: int
    cached: int
    wall_s: float
    core_s: float


class Bench:
    def __init__(self, folder: Path) -> None:
        self.registry = Registry()
        for function in (begin, begin_privately, go_on, show):
            self.registry.add(node_type(function))
        self.folders = Folders(folder)

    def executor(self) -> Executor:
        return Executor(self.registry, Services(self.folders), ResultCache(2**28), cpu_threads=4)

    def together(self, graphs: Sequence[Graph]) -> Outcome:
        """One executor; each graph is another owner's; all are submitted at once, from as many threads."""
        executor = self.executor()
        gate = threading.Barrier(len(graphs) + 1)
        heard: list[list[AnyEvent]] = [[] for _ in graphs]
        runs: list[Run | None] = [None] * len(graphs)

        def submit(index: int) -> None:
            gate.wait()
            runs[index] = self._submit(executor, graphs[index], index, heard[index])

        threads = [threading.Thread(target=submit, args=(index,)) for index in range(len(graphs))]
        for thread in threads:
            thread.start()

        def go() -> None:
            gate.wait()
            for thread in threads:
                thread.join()
            for run in runs:
                assert run is not None and run.done.result(WAIT_S).state == "completed"

        found = self._measured(go, heard)
        executor.close()
        return found

    def in_turn(self, graphs: Sequence[Graph]) -> Outcome:
        """One executor; each owner submits when the one before has the result."""
        return self._one_by_one(graphs, [self.executor()] * len(graphs))

    def apart(self, graphs: Sequence[Graph]) -> Outcome:
        """An executor for each owner."""
        return self._one_by_one(graphs, [self.executor() for _ in graphs])

    def _one_by_one(self, graphs: Sequence[Graph], executors: Sequence[Executor]) -> Outcome:
        heard: list[list[AnyEvent]] = [[] for _ in graphs]

        def go() -> None:
            for index, (executor, graph) in enumerate(zip(executors, graphs, strict=True)):
                assert self._submit(executor, graph, index, heard[index]).done.result(WAIT_S).state == "completed"

        found = self._measured(go, heard)
        for executor in executors:
            executor.close()
        return found

    def _submit(self, executor: Executor, graph: Graph, index: int, events: list[AnyEvent]) -> Run:
        return executor.submit(graph, job_id=f"job-{index}", outputs=("show",), listener=events.append, owner=f"owner-{index}")

    def _measured(self, go: Callable[[], None], heard: list[list[AnyEvent]]) -> Outcome:
        calls.clear()
        begun_s, core_s = time.perf_counter(), time.process_time()
        go()
        wall_s, core_s = time.perf_counter() - begun_s, time.process_time() - core_s
        shown = [
            next(event.ui["text"][0] for event in reversed(events) if isinstance(event, NodeFinished) and event.ui) for events in heard
        ]
        cached = sum(len(event.node_ids) for events in heard for event in events if isinstance(event, NodesCached))
        cached += sum(event.cached for events in heard for event in events if isinstance(event, NodeFinished))
        return Outcome(shown, calls["work"], cached, wall_s, core_s)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--owners", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    owners = range(given.owners)
    equal = [chain(owner, LENGTH) for owner in owners]
    mix = [chain(owner, SHARED) for owner in owners]
    private = [chain(owner, LENGTH, "BeginPrivately") for owner in owners]
    distinct = {"equal": LENGTH, "mix": SHARED + (LENGTH - SHARED) * given.owners, "private": LENGTH * given.owners}
    failed = False
    ones: list[float] = []
    found: dict[str, list[Outcome]] = {name: [] for name in distinct}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        kinds = {"equal": equal, "mix": mix, "private": private}
        apart = {name: bench.apart(graphs) for name, graphs in kinds.items()}
        in_turn = {name: bench.in_turn(graphs) for name, graphs in kinds.items()}
        for _ in range(given.rounds):
            ones.append(bench.together(equal[:1]).core_s)
            for name, graphs in kinds.items():
                found[name].append(bench.together(graphs))
    print(f"{given.owners} owners at once; chains of {LENGTH} nodes with work")
    print(f"{'graphs':9}{'distinct':>9}{'done':>6}{'done/distinct':>15}{'core s':>8}{'apart s':>9}{'faster':>8}  results")
    for name, outcomes in found.items():
        worst = max(outcomes, key=lambda outcome: outcome.worked)
        core_s = statistics.median(outcome.core_s for outcome in outcomes)
        share, faster = worst.worked / distinct[name], apart[name].core_s / core_s
        same = all(outcome.shown == apart[name].shown for outcome in outcomes)
        alone = name != "private" or all(outcome.cached == 0 for outcome in outcomes)
        print(
            f"{name:9}{distinct[name]:9}{worst.worked:6}{share:15.3f}{core_s:8.3f}{apart[name].core_s:9.3f}{faster:7.1f}x"
            f"  {'the same' if same else 'DIFFER'}{'' if alone else ', SHARED'}"
        )
        failed |= share > WORK_LIMIT or share < 1 or not same or not alone
        failed |= name == "mix" and faster < SPEED_LIMIT
    failed |= any(in_turn[name].worked != distinct[name] or in_turn[name].shown != apart[name].shown for name in distinct)
    print("in turn: " + ", ".join(f"{name} {one.worked / distinct[name]:.3f}" for name, one in in_turn.items()))
    one_s, all_s = statistics.median(ones), statistics.median(outcome.core_s for outcome in found["equal"])
    each_ms = (all_s - one_s) / max(1, given.owners - 1) * 1000
    print(f"{given.owners} equal submissions take {all_s / one_s:.2f} of one's time on a core: {each_ms:.2f} ms for each further one")
    print("a limit or the guard failed" if failed else "all limits hold")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
