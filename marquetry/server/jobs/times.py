"""NodeTimes: how long nodes of each type took lately, so that a waiting person can be told how long it will be.

Durations are kept by node type and by the weights of the job; where a node counts steps, by step. Medians move with the last runs and are
kept in the database. What runs is only noted here, and looked at later, beside the event loop.
"""

from __future__ import annotations

import asyncio
import statistics
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from sqlalchemy import Connection, delete, select

from marquetry.engine.graph import Graph
from marquetry.marketplace.accounts.upsert import insert_missing
from marquetry.server.automation.tables import node_times
from marquetry.server.database.database import Database
from marquetry.server.jobs.job import NodePhase, NodeState, origin_of

SAMPLES = 31
KINDS = 4096  # kinds of nodes that are remembered
NOTED = 64
LARGEST_BYTES = 1 << 20
LARGEST_NODES = 5_000
WHOLE_JOB = ""  # the node type under which the time of whole jobs stands

Kind = tuple[str, str]  # node type, weights


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a kind of node: microseconds, of a step where it counts steps."""

    node_type: str
    model: str
    median_us: int
    p95_us: int
    runs: int


@dataclass(frozen=True, slots=True)
class _Noted:
    graph: bytes
    model: str
    nodes: Mapping[str, NodeState]
    took_ms: int


@dataclass(frozen=True, slots=True)
class _Kept:
    node_type: str
    model: str
    samples: bytes
    updated_ms: int


@dataclass(slots=True)
class _Samples:
    last_us: deque[int] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    median_us: float = 0.0

    def add(self, values: Iterable[int]) -> None:
        self.last_us.extend(values)
        self.median_us = statistics.median(self.last_us)


class NodeTimes:
    """Of one server; `load` reads what servers before it measured."""

    def __init__(self) -> None:
        self._kinds: dict[Kind, _Samples] = {}
        self._medians: dict[str, dict[str, float]] = {}  # by weights, then by node type: every submission looks here
        self._noted: deque[_Noted] = deque(maxlen=NOTED)

    async def load(self, database: Database) -> None:
        """Go on with what is known."""
        for row in await database.read(_all_rows):
            self._add((row.node_type, row.model), orjson.loads(row.samples))

    def note(self, graph: bytes, model: str, nodes: Mapping[str, NodeState], took_ms: int) -> None:
        """A job ended. Costs nothing now; of many jobs at once only the last are looked at."""
        if len(graph) <= LARGEST_BYTES:
            self._noted.append(_Noted(graph, model, nodes, took_ms))

    async def digest(self, database: Database, now_ms: int) -> None:
        """Look at what was noted, and keep the new medians."""
        if not self._noted:
            return
        noted = [self._noted.popleft() for _ in range(len(self._noted))]
        found = await asyncio.to_thread(_durations, noted)
        for kind, values in found.items():
            if kind in self._kinds or len(self._kinds) < KINDS:
                self._add(kind, values)
        kept = [_Kept(*kind, orjson.dumps(list(self._kinds[kind].last_us)), now_ms) for kind in found if kind in self._kinds]
        await database.write(keep_times, tuple(kept))

    def _add(self, kind: Kind, values: Iterable[int]) -> None:
        samples = self._kinds.setdefault(kind, _Samples())
        samples.add(values)
        self._medians.setdefault(kind[1], {})[kind[0]] = samples.median_us

    def expected_ms(self, graph: Graph, model: str) -> int | None:
        """How long a graph will run if nothing of it is known already; None before its nodes were measured."""
        of_any = self._medians.get("")
        if of_any is None or len(graph) > LARGEST_NODES:
            return self.typical_ms()
        of_model = self._medians.get(model, of_any)
        total_us = 0.0
        for node in graph.nodes.values():
            each_us = of_model.get(node.type_id)
            if each_us is None and (each_us := of_any.get(node.type_id)) is None:
                return self.typical_ms()
            total_us += each_us * _steps(node.inputs) if "steps" in node.inputs else each_us
        return int(total_us / 1000)

    def typical_ms(self) -> int | None:
        """What the median of the last jobs took."""
        known = self._kinds.get((WHOLE_JOB, ""))
        return None if known is None else int(known.median_us / 1000)

    def measured(self, node_types: frozenset[str] | None = None) -> list[Measured]:
        """All that is known, by node type and weights."""
        found = [
            Measured(*kind, int(samples.median_us), sorted(samples.last_us)[int(0.95 * len(samples.last_us))], len(samples.last_us))
            for kind, samples in self._kinds.items()
            if kind[0] != WHOLE_JOB and (node_types is None or kind[0] in node_types)
        ]
        return sorted(found, key=lambda measured: (measured.node_type, measured.model))


def _durations(noted: Sequence[_Noted]) -> dict[Kind, list[int]]:
    """Microseconds by kind, of nodes that ran."""
    found: dict[Kind, list[int]] = {}
    for job in noted:
        found.setdefault((WHOLE_JOB, ""), []).append(job.took_ms * 1000)
        spent: dict[str, float] = {}
        for id, node in job.nodes.items():
            if node.state == NodePhase.FINISHED and not node.cached and not node.shared:
                origin = origin_of(job.nodes, id)
                spent[origin] = spent.get(origin, 0.0) + node.duration_s
        graph = orjson.loads(job.graph)
        for id, seconds in spent.items():
            node_type = graph.get(id, {}).get("class_type")
            if isinstance(node_type, str) and len(node_type) <= 256:
                each_us = int(seconds * 1e6 / _steps(graph[id].get("inputs", {})))
                for model in {"", job.model}:
                    found.setdefault((node_type, model), []).append(each_us)
    return found


def _steps(inputs: Mapping[str, object]) -> int:
    steps = inputs.get("steps")
    return steps if type(steps) is int and 0 < steps <= 10_000 else 1


def _all_rows(connection: Connection) -> list[_Kept]:
    statement = select(node_times).order_by(node_times.c.updated_ms.desc()).limit(KINDS)
    return [_Kept(row.node_type, row.model, row.samples, row.updated_ms) for row in connection.execute(statement)]


def keep_times(connection: Connection, groups: Sequence[tuple[_Kept, ...]]) -> list[Exception | None]:
    """Write samples; what stood there of the same kinds goes."""
    for group in groups:
        for kept in group:
            key = (node_times.c.node_type == kept.node_type, node_times.c.model == kept.model)
            connection.execute(delete(node_times).where(*key))
            values = {"node_type": kept.node_type, "model": kept.model, "samples": kept.samples, "updated_ms": kept.updated_ms}
            insert_missing(connection, node_times, **values)
    return [None] * len(groups)
