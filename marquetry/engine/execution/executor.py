"""Executor: runs graphs, many at once. A node that is ready runs as soon as its lane is free, whichever job it belongs to."""

from __future__ import annotations

import gc
import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from marquetry.engine.cache import ResultCache
from marquetry.engine.context import Services
from marquetry.engine.events import Listener
from marquetry.engine.execution.lanes import Lanes
from marquetry.engine.execution.later import Later
from marquetry.engine.execution.plan import Plan, PlannedNode
from marquetry.engine.execution.run import Run
from marquetry.engine.file_identity import FileIdentity
from marquetry.engine.graph import Graph, GraphLimits
from marquetry.engine.identity import FileToken, Identifier, Key, identify
from marquetry.engine.registry import Registry
from marquetry.engine.schema import NodeType

SLOW_S = 0.001  # a node that takes longer is worth a thread of its own
MAX_INSTANCES = 10_000
MAX_PLANS = 64
LARGE_GRAPH = 250  # nodes from which on planning takes longer than a lane's waking up


class Executor:
    """Lanes, the cache and what nodes may ask for, shared by all jobs of a worker.

    `numerics` names how the device computes (its kind and number format); results of device nodes are shared only where it is equal.
    `overload_backlog` is the number of jobs waiting for the accelerator from which on nodes marked optional are bypassed; None: never.
    """

    def __init__(
        self,
        registry: Registry,
        services: Services,
        cache: ResultCache,
        *,
        cpu_threads: int | None = None,
        limits: GraphLimits = GraphLimits(),
        numerics: str = "",
        file_token: FileToken | None = None,
        overload_backlog: int | None = None,
    ) -> None:
        self.registry = registry
        self.services = services
        self.cache = cache
        self.limits = limits
        self.numerics = numerics
        self.file_token = file_token or FileIdentity(services.folders)
        self.overload_backlog = overload_backlog
        self.lanes = Lanes(cpu_threads or max(2, os.cpu_count() or 2))
        self._numbers = itertools.count()
        self._runs: dict[str, Run | Later] = {}
        self._instances: OrderedDict[tuple[str, str, str, bytes], Any] = OrderedDict()
        self._plans: OrderedDict[tuple[int, tuple[str, ...]], tuple[Graph, int, Plan]] = OrderedDict()
        self.durations: dict[str, float] = {}
        self._lock = threading.Lock()

    def submit(
        self,
        graph: Graph,
        *,
        job_id: str,
        outputs: Iterable[str],
        listener: Listener,
        owner: str = "",
        extra: Mapping[str, Any] | None = None,
    ) -> Run:
        """Run what the output nodes need. The graph was validated; `outputs` are the good ones of the validation.

        `listener` hears every event of the job, in order, from the threads of the lanes; the last is JobFinished. Raises GraphError for a
        cycle and UnknownNodeType.
        """
        run = self.open(self.plan(graph, tuple(outputs)), job_id, owner, extra or {}, listener)
        run.post()
        return run

    def begin(self, graph: Graph, *, job_id: str, outputs: Iterable[str], listener: Listener, owner: str, extra: Mapping[str, Any]) -> None:
        """As `submit`, for who must not wait: a large graph is planned by a lane, and then all that is wrong is in JobFinished."""
        if len(graph) < LARGE_GRAPH:
            self.submit(graph, job_id=job_id, outputs=outputs, listener=listener, owner=owner, extra=extra)
            return
        later = Later(self, next(self._numbers), job_id, graph, tuple(outputs), owner, extra, listener)
        with self._lock:
            self._runs[job_id] = later
        self.lanes.cpu.post(later)

    def open(self, plan: Plan, job_id: str, owner: str, extra: Mapping[str, Any], listener: Listener, number: int | None = None) -> Run:
        """A run that begins when it is posted. `number` is its place among the jobs, where it has one already."""
        run = Run(self, plan, next(self._numbers) if number is None else number, job_id, owner, extra, listener)
        with self._lock:
            self._runs[job_id] = run
        return run

    def plan(self, graph: Graph, outputs: tuple[str, ...]) -> Plan:
        """The plan of a graph; kept for graphs that come again."""
        place = (id(graph), outputs)
        with self._lock:
            known = self._plans.get(place)
            if known is not None and known[0] is graph and known[1] == self.registry.revision and not known[2].dynamic:
                self._plans.move_to_end(place)
                return known[2]
        plan = Plan(graph, self.registry, outputs)
        with self._lock:
            self._plans[place] = (graph, self.registry.revision, plan)
            if len(self._plans) > MAX_PLANS:
                self._plans.popitem(last=False)
        return plan

    def find(self, job_id: str) -> Run | Later | None:
        """The run of a job that is not over."""
        return self._runs.get(job_id)

    def running(self) -> list[Run | Later]:
        """The runs that are not over."""
        with self._lock:
            return list(self._runs.values())

    def free(self, *, unload_models: bool = False, free_memory: bool = False) -> None:
        """Let go of models that nothing uses, and of all results in memory and the objects that nodes keep."""
        if unload_models and self.services.models is not None:
            from marquetry.engine.models.adapters.staging import STAGE

            self.services.models.residency.unload_all()
            STAGE.clear()
        if free_memory:
            self.cache.clear()
            with self._lock:
                self._instances.clear()
                self._plans.clear()
        gc.collect()

    def relieve(self) -> None:
        """Memory ran out: let go of everything that can be made again."""
        self.free(unload_models=True, free_memory=True)

    def close(self) -> None:
        """Cancel what runs and end the lanes."""
        for run in self.running():
            run.cancel()
        self.lanes.close()

    def ended(self, run: Run | Later) -> None:
        with self._lock:
            if self._runs.get(run.job_id) is run:
                del self._runs[run.job_id]

    # -- what runs ask ------------------------------------------------------------------------------------------------------------

    def identifier(self, owner: str, plan: Plan) -> Identifier:
        """What makes the keys of a plan's nodes for this owner."""
        token = self.file_token
        return Identifier(owner, token.of(owner) if isinstance(token, FileIdentity) else token, self.numerics, plan.api)

    def keys_of(self, plan: Plan, owner: str) -> tuple[list[Key], set[int]]:
        """The keys of all nodes of a plan, and the indexes of those that never come again."""
        known = plan.keys.get(owner)
        if known is not None:
            return known
        keys: list[Key] = []
        volatile: set[int] = set()
        identify(plan.nodes, self.identifier(owner, plan), keys, volatile)
        if not plan.dynamic and not volatile:
            plan.keys[owner] = keys, volatile
        return keys, volatile

    def instance(self, owner: str, planned: PlannedNode) -> Any:
        """The object of a stateful node: one for each owner, node id and class, kept between jobs."""
        make = planned.type.instance
        if make is None:
            return None
        place = (owner, planned.id, planned.type.id, b"" if planned.seal is None else planned.seal.domain)
        with self._lock:
            found = self._instances.get(place)
            if found is not None:
                self._instances.move_to_end(place)
                return found
        made = make()
        with self._lock:
            found = self._instances.setdefault(place, made)
            if len(self._instances) > MAX_INSTANCES:
                self._instances.popitem(last=False)
            return found

    def overloaded(self) -> bool:
        """Whether optional nodes are to be bypassed now."""
        return self.overload_backlog is not None and self.lanes.device.backlog() >= self.overload_backlog

    def learn(self, node_type: NodeType, duration_s: float) -> None:
        """Remember how long a node of this type takes."""
        known = self.durations.get(node_type.id)
        self.durations[node_type.id] = duration_s if known is None else 0.75 * known + 0.25 * duration_s

    def is_slow(self, node_type: NodeType) -> bool:
        """Whether other nodes should not wait for one of this type; unknown types count as slow."""
        return self.durations.get(node_type.id, SLOW_S) >= SLOW_S

    def expected_s(self, node_type: NodeType) -> float | None:
        """How long a node of this type took lately."""
        return self.durations.get(node_type.id)
