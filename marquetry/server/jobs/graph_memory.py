"""GraphMemory: graphs of jobs that wait, kept parsed while they are few and small."""

from __future__ import annotations

from collections import OrderedDict

from marquetry.engine.graph import Graph

MAX_NODES = 100_000


class GraphMemory:
    """Bounded by nodes; what was kept first goes first. What is not here is parsed again from the database."""

    def __init__(self, max_nodes: int = MAX_NODES) -> None:
        self._graphs: OrderedDict[str, Graph] = OrderedDict()
        self._max_nodes = max_nodes
        self._nodes = 0

    def keep(self, job_id: str, graph: Graph) -> None:
        """Keep a graph until it is taken, if there is room."""
        self.take(job_id)
        self._graphs[job_id] = graph
        self._nodes += len(graph)
        while self._nodes > self._max_nodes:
            _, oldest = self._graphs.popitem(last=False)
            self._nodes -= len(oldest)

    def take(self, job_id: str) -> Graph | None:
        """The graph, if it was kept; once."""
        graph = self._graphs.pop(job_id, None)
        if graph is not None:
            self._nodes -= len(graph)
        return graph
