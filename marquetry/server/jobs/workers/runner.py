"""Runner: begins tasks on an executor, wherever that lives, and makes sure that each ends with a JobFinished event."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

import orjson

from marquetry.engine.events import JobFinished, Listener
from marquetry.engine.graph import Graph
from marquetry.engine.sealed import opened, told
from marquetry.server.jobs.workers.parts import EngineParts
from marquetry.server.jobs.workers.tidy import Tidy
from marquetry.server.jobs.workers.worker import Task

KEPT_GRAPHS = 64
KEPT_GRAPH_BYTES = 1 << 20


class Runner:
    """`listener` hears the events of all jobs, from the threads of the lanes."""

    def __init__(self, parts: EngineParts, listener: Listener) -> None:
        self.parts = parts
        self._listener = listener
        self._graphs: OrderedDict[bytes, Graph] = OrderedDict()  # the executor keeps plans by graph: equal bytes, same plan
        self._tidy = Tidy(lambda: bool(parts.executor.running()))

    def run(self, task: Task, graph: Graph | None = None) -> None:
        """Begin a job."""
        executor = self.parts.executor
        self._tidy.worked()
        try:
            extra: dict[str, Any] = orjson.loads(task.extra) if len(task.extra) > 2 else {}
            graph = graph or self._parse(task.graph)
            if task.published:
                graph = self._opened(graph, task)
            executor.begin(
                graph,
                job_id=task.job_id,
                outputs=task.outputs,
                listener=self._listener,
                owner=task.owner,
                extra=extra,
            )
        except Exception as error:  # whatever it is, it is this job's and nobody else's
            code, message = told(graph, error)
            time_ms = time.time_ns() // 1_000_000
            self._listener(JobFinished(job_id=task.job_id, time_ms=time_ms, state="failed", code=code, message=message))

    def cancel(self, job_id: str) -> None:
        """Stop a job, if it runs."""
        run = self.parts.executor.find(job_id)
        if run is not None:
            run.cancel()

    def close(self) -> None:
        """Cancel what runs and end the lanes."""
        self._tidy.close()
        self.parts.executor.close()

    def _opened(self, graph: Graph, task: Task) -> Graph:
        """The graph with published graphs in place; the same object for the same job again."""
        from marquetry.server.published.definitions import unpack

        key = task.graph + b"\0" + task.published
        known = self._graphs.get(key)
        if known is None:
            known = opened(graph, unpack(task.published), self.parts.executor.limits.nodes)
            self._keep(key, known)
        return known

    def _parse(self, data: bytes) -> Graph:
        known = self._graphs.get(data)
        if known is not None:
            self._graphs.move_to_end(data)
            return known
        graph = Graph.from_api(orjson.loads(data), self.parts.executor.limits)
        self._keep(data, graph)
        return graph

    def _keep(self, key: bytes, graph: Graph) -> None:
        if len(key) <= KEPT_GRAPH_BYTES:
            self._graphs[key] = graph
            if len(self._graphs) > KEPT_GRAPHS:
                self._graphs.popitem(last=False)
