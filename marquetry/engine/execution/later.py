"""Later: a job whose graph is so large that a lane makes its plan. Who submits it, an event loop for instance, goes on at once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from marquetry.engine.events import JobFinished, Listener
from marquetry.engine.execution.clock import now_ms
from marquetry.engine.graph import Graph
from marquetry.engine.schema import Lane
from marquetry.engine.sealed import told

if TYPE_CHECKING:
    from marquetry.engine.execution.executor import Executor
    from marquetry.engine.execution.run import Run


class Later:
    """Stands for the run in the executor until there is one, with its place in the order of jobs."""

    def __init__(
        self,
        executor: Executor,
        number: int,
        job_id: str,
        graph: Graph,
        outputs: tuple[str, ...],
        owner: str,
        extra: Mapping[str, Any],
        listener: Listener,
    ) -> None:
        self.number = number
        self.job_id = job_id
        self._executor = executor
        self._graph = graph
        self._outputs = outputs
        self._owner = owner
        self._extra = extra
        self._listener = listener
        self._run: Run | None = None
        self._cancelled = False
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """As `Run.cancel`."""
        with self._lock:
            self._cancelled = True
            run = self._run
        if run is not None:
            run.cancel()

    def work(self, lane: Lane) -> None:
        """Make the plan and begin; called by the lane's thread."""
        try:
            plan = self._executor.plan(self._graph, self._outputs)
        except Exception as error:  # node types of packs may raise anything when they describe themselves
            self._executor.ended(self)
            code, message = told(self._graph, error)
            self._listener(JobFinished(job_id=self.job_id, time_ms=now_ms(), state="failed", code=code, message=message))
            return
        run = self._executor.open(plan, self.job_id, self._owner, self._extra, self._listener, self.number)
        with self._lock:
            self._run = run
            cancelled = self._cancelled
        if cancelled:
            run.cancel()
        else:
            run.post()
