"""What a node costs beside its work: validation, planning, keys, calls and events on chains, fans, ladders and dense DAGs of trivial nodes.

Goals 1 and 2 of the performance plan. Side by side: a bare loop that calls the same functions in topological order, and a small
reference model of the ancestor-signature algorithm (every node's key is the whole structure of its ancestors, made anew each time).
CPU time, best of several rounds. The guard: same outputs, same executed set. Run: `python tests/bench/engine.py`. Exits with 1 when a
limit or the guard fails.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from marquetry.engine.cache import ResultCache
from marquetry.engine.collector import calm
from marquetry.engine.context import Services
from marquetry.engine.declare import node, node_type
from marquetry.engine.events import AnyEvent, NodeFinished, NodeStarted
from marquetry.engine.execution.executor import Executor
from marquetry.engine.execution.session import Session
from marquetry.engine.folders import Folders
from marquetry.engine.graph import Graph, Link
from marquetry.engine.outcome import NodeOutput
from marquetry.engine.registry import Registry
from marquetry.engine.validation import Validation, topological_order, validate

SIZES = (30, 100, 1_000, 10_000)
COLD_LIMIT_US, CACHED_LIMIT_US, EDIT_LIMIT = 10.0, 3.0, 3.0
ROUNDS = 7
WAIT_S = 120


@node(id="Number", title="Number", category="bench")
def number(value: int = 0) -> int:
    """A number."""
    return value


@node(id="Sum", title="Sum", category="bench")
def add(a: int, b: int, offset: int = 0) -> int:
    """A sum."""
    return (a + b + offset) & 0xFFFFFFFF


@node(id="Out", title="Out", category="bench", output_node=True)
def out(value: int) -> NodeOutput[None]:
    """Shows a number."""
    return NodeOutput(ui={"values": [value]})


def chain(size: int) -> dict[str, Any]:
    nodes: dict[str, Any] = {"0": _n("Number", value=1)}
    nodes |= {str(i): _n("Sum", a=[str(i - 1), 0], b=[str(i - 1), 0], offset=i) for i in range(1, size - 1)}
    return nodes | {"out": _n("Out", value=[str(size - 2), 0])}


def fan(size: int) -> dict[str, Any]:
    """One source, many different branches, joined two by two."""
    branches = (size - 1) // 2
    nodes: dict[str, Any] = {"0": _n("Number", value=1)}
    nodes |= {f"b{i}": _n("Sum", a=["0", 0], b=["0", 0], offset=i) for i in range(branches)}
    level, made = [f"b{i}" for i in range(branches)], 0
    while len(level) > 1:
        joined: list[str] = []
        for left, right in zip(level[::2], level[1::2], strict=False):
            name = f"j{made}"
            made += 1
            nodes[name] = _n("Sum", a=[left, 0], b=[right, 0], offset=0)
            joined.append(name)
        level = joined + level[len(level) - len(level) % 2 :]
    return nodes | {"out": _n("Out", value=[level[0], 0])}


def ladder(size: int) -> dict[str, Any]:
    """Two rails, each rung linked to both of the one before: 2**depth paths."""
    nodes: dict[str, Any] = {"l0": _n("Number", value=1), "r0": _n("Number", value=2)}
    for i in range(1, size // 2):
        nodes[f"l{i}"] = _n("Sum", a=[f"l{i - 1}", 0], b=[f"r{i - 1}", 0], offset=1)
        nodes[f"r{i}"] = _n("Sum", a=[f"r{i - 1}", 0], b=[f"l{i - 1}", 0], offset=2)
    return nodes | {"out": _n("Out", value=[f"l{size // 2 - 1}", 0])}


def dense(size: int) -> dict[str, Any]:
    """Each node linked to its neighbour and to one half-way back."""
    nodes: dict[str, Any] = {"0": _n("Number", value=1)}
    nodes |= {str(i): _n("Sum", a=[str(i - 1), 0], b=[str(i // 2), 0], offset=i) for i in range(1, size - 1)}
    return nodes | {"out": _n("Out", value=[str(size - 2), 0])}


def _n(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


FUNCTIONS: dict[str, Callable[..., Any]] = {"Number": number, "Sum": add, "Out": out}


def bare(graph: Graph, order: list[str]) -> Any:
    """The floor: the same calls, nothing else."""
    values: dict[str, Any] = {}
    for id in order:
        entry = graph.nodes[id]
        values[id] = FUNCTIONS[entry.type_id](**{name: values[v.node_id] if type(v) is Link else v for name, v in entry.inputs.items()})
    return values["out"].ui["values"]


def by_ancestor_signatures(graph: Graph, order: list[str], known: dict[Any, Any]) -> tuple[Any, set[str]]:
    """The published algorithm in small: the key of a node is the frozen signature of every ancestor, walked for each node."""
    values: dict[str, Any] = {}
    executed: set[str] = set()
    for id in order:
        names: dict[str, int] = {}
        pending = [id]
        while pending:
            current = pending.pop()
            if current in names:
                continue
            names[current] = len(names)
            pending += [v.node_id for v in graph.nodes[current].inputs.values() if type(v) is Link]
        signature = []
        for ancestor in names:
            entry = graph.nodes[ancestor]
            parts = ((name, ("link", names[v.node_id], v.slot) if type(v) is Link else v) for name, v in sorted(entry.inputs.items()))
            signature.append((entry.type_id, frozenset(parts)))
        key = tuple(signature)
        if key in known:
            values[id] = known[key]
            continue
        entry = graph.nodes[id]
        arguments = {name: values[v.node_id] if type(v) is Link else v for name, v in entry.inputs.items()}
        values[id] = known[key] = FUNCTIONS[entry.type_id](**arguments)
        executed.add(id)
    return values["out"].ui["values"], executed


def best_us(action: Callable[[], Any], count: int, rounds: int = ROUNDS, before: Callable[[], Any] = lambda: None) -> float:
    """CPU microseconds per node."""
    best = float("inf")
    for _ in range(rounds):
        before()
        gc.collect()
        started_s = time.process_time()
        action()
        best = min(best, time.process_time() - started_s)
    return best / count * 1e6


def now(coroutine: Coroutine[Any, Any, Validation]) -> Validation:
    """Drive a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: Validation = end.value
        return result
    raise RuntimeError("the validation waited for something")


class Bench:
    def __init__(self, folder: Path) -> None:
        self.registry = Registry()
        for function in (number, add, out):
            self.registry.add(node_type(function))
        self.folders = Folders(folder)
        self.executor = Executor(self.registry, Services(self.folders), ResultCache(2**31))

    def validated(self, prompt: dict[str, Any]) -> Validation:
        validation = now(validate(Graph.from_api(prompt), self.registry, self.folders))
        assert validation.ok, validation.problems[:2]
        return validation

    def run(self, validation: Validation) -> tuple[Any, set[str]]:
        events: list[AnyEvent] = []
        run = self.executor.submit(validation.graph, job_id="bench", outputs=validation.outputs, listener=events.append)
        assert run.done.result(WAIT_S).state == "completed"
        shown = next(event.ui for event in reversed(events) if isinstance(event, NodeFinished) and event.ui)
        return shown["values"], {event.node_id for event in events if isinstance(event, NodeStarted)}

    def row(self, shape: Callable[[int], dict[str, Any]], size: int) -> tuple[list[float], bool]:
        prompt = shape(size)
        validation = self.validated(prompt)
        graph = validation.graph
        count = len(graph)
        order, _ = topological_order(graph, ["out"])
        self.executor.cache.clear()
        shown, executed = self.run(validation)
        expected = bare(graph, order)
        guard = shown == expected and executed == set(order)
        if size <= 300:
            reference, reference_executed = by_ancestor_signatures(graph, order, {})
            guard = guard and reference == shown and reference_executed == executed
        validate_us = best_us(lambda: self.validated(prompt), count)
        cold_us = best_us(lambda: self.run(validation), count, before=self.forget)
        cached_us = best_us(lambda: self.run(validation), count)
        again_us = best_us(lambda: self.run(validation), count, before=self.executor._plans.clear)
        guard = guard and self.run(validation)[1] == set()
        bare_us = best_us(lambda: bare(graph, order), count)
        slow = float("nan")
        if size <= 300:
            slow = best_us(lambda: by_ancestor_signatures(graph, order, {}), count, rounds=3)
        return [validate_us, cold_us, cached_us, again_us, bare_us, cold_us / bare_us, slow / cold_us], guard

    def forget(self) -> None:
        """Nothing was ever run."""
        self.executor.cache.clear()
        self.executor._plans.clear()

    def edit_us(self, size: int) -> float:
        """CPU time of changing one widget ten nodes above the output of a dense graph, and running what follows."""
        validation = self.validated(chain(size))
        session = Session(self.executor, validation.graph, validation.outputs)
        session.run("bench", lambda event: None).done.result(WAIT_S)
        target = str(size - 12)
        best = float("inf")
        for value in range(60):
            started_s = time.process_time()
            session.set_input(target, "offset", 10**6 + value)
            assert session.run("bench", lambda event: None).done.result(WAIT_S).state == "completed"
            best = min(best, time.process_time() - started_s)
        return best * 1e6


def main() -> int:
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        calm()  # as every worker does
        print(
            "CPU µs per node; 'again' is a cached run whose plan was forgotten; ratios of the cold run against the bare loop and the reference model"
        )
        print(
            f"{'shape':8}{'nodes':>7}{'validate':>10}{'cold':>8}{'cached':>8}{'again':>8}{'bare':>7}{'cold/bare':>11}{'reference/cold':>16}  guard"
        )
        for shape in (chain, fan, ladder, dense):
            for size in SIZES:
                values, guard = bench.row(shape, size)
                print(f"{shape.__name__:8}{size:7}" + "".join(f"{value:{width}.2f}" for value, width in zip(values, (10, 8, 8, 8, 7, 11, 16), strict=True))
                      + f"  {'ok' if guard else 'BROKEN'}")  # fmt: skip
                failed |= not guard or (size >= 100 and (values[1] > COLD_LIMIT_US or values[2] > CACHED_LIMIT_US))
        small, large = bench.edit_us(100), bench.edit_us(10_000)
        print(
            f"one widget changed, eleven nodes behind it: {small:.0f} µs in 100 nodes, {large:.0f} µs in 10,000: ratio {large / small:.2f} (limit {EDIT_LIMIT})"
        )
        failed |= large / small > EDIT_LIMIT
        bench.executor.close()
    print("a limit or the guard failed" if failed else "all limits hold")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
