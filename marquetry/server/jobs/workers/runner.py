"""Runner: begins tasks on an executor, wherever that lives, and makes sure that each ends with a JobFinished event."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

import orjson

from marquetry.engine.errors import EngineError
from marquetry.engine.events import JobFinished, Listener
from marquetry.engine.graph import Graph
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
            executor.begin(
                graph or self._parse(task.graph),
                job_id=task.job_id,
                outputs=task.outputs,
                listener=self._listener,
                owner=task.owner,
                extra=extra,
            )
        except Exception as error:  # whatever it is, it is this job's and nobody else's
            code = error.code if isinstance(error, EngineError) else "job_failed"
            self._listener(
                JobFinished(
                    job_id=task.job_id, time_ms=time.time_ns() // 1_000_000, state="failed", code=code, message=str(error) or repr(error)
                )
            )

    def cancel(self, job_id: str) -> None:
        """Stop a job, if it runs."""
        run = self.parts.executor.find(job_id)
        if run is not None:
            run.cancel()

    def close(self) -> None:
        """Cancel what runs and end the lanes."""
        self._tidy.close()
        self.parts.executor.close()

    def _parse(self, data: bytes) -> Graph:
        known = self._graphs.get(data)
        if known is not None:
            self._graphs.move_to_end(data)
            return known
        graph = Graph.from_api(orjson.loads(data), self.parts.executor.limits)
        if len(data) <= KEPT_GRAPH_BYTES:
            self._graphs[data] = graph
            if len(self._graphs) > KEPT_GRAPHS:
                self._graphs.popitem(last=False)
        return graph
