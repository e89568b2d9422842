"""Session: a graph that is edited and run again and again. What an edit costs follows what it changes, not the size of the graph."""

from __future__ import annotations

import heapq
from typing import Any

from marquetry.engine.errors import GraphError
from marquetry.engine.events import JobFinished, Listener
from marquetry.engine.execution.executor import Executor
from marquetry.engine.execution.plan import Plan, arrange
from marquetry.engine.execution.run import Run
from marquetry.engine.graph import Graph, Link, Node
from marquetry.engine.input_check import Finding, check_constant


class Session:
    """A persistent plan with its keys. `set_input` marks what changed; `run` makes new keys for that and for what follows from it.

    Keys stop spreading where they come out equal. Output nodes that nothing changed for are not looked at again.
    """

    def __init__(self, executor: Executor, graph: Graph, outputs: tuple[str, ...], owner: str = "") -> None:
        self.executor = executor
        self.owner = owner
        self._nodes = dict(graph.nodes)
        self._outputs = outputs
        self._replan()

    @property
    def graph(self) -> Graph:
        """The graph as it is now."""
        return Graph(dict(self._nodes))

    def set_input(self, id: str, name: str, value: Any) -> Finding | None:
        """Change one input to a constant or a Link. A finding says why the constant can't be used; nothing is changed then.

        Raises KeyError for an unknown node.
        """
        node = self._nodes[id]
        index = self._plan.index.get(id)
        before = node.inputs.get(name)
        if type(value) is not Link:
            node_type = self.executor.registry.find(node.type_id)
            declared = node_type.input(name)
            if declared is not None:
                value, finding = check_constant(declared, value, self.executor.services.folders.of(self.owner), custom=False)
                if finding is not None:
                    return finding
        changed = Node(id, node.type_id, {**node.inputs, name: value}, node.title, node.display_id, node.policy)
        self._nodes[id] = changed
        if type(before) is Link or type(value) is Link:
            self._stale = True
        elif index is not None:
            planned = self._plan.nodes[index]
            self._plan.nodes[index] = arrange(changed, planned.type, self._plan.index)
            self._plan.forget_api()
            self._dirty.add(index)
        return None

    def run(self, job_id: str, listener: Listener) -> Run:
        """Run what changed since the last run that was completed. Raises GraphError when an edit closed a cycle."""
        if self._stale:
            self._replan()
        focus = self._spread()
        outputs = [index for index in self._plan.outputs if index in self._pending]
        run = self.executor.open(self._plan, job_id, self.owner, {}, listener)
        run.keys, run.volatile, run.outputs, run.focus = self._keys, self._volatile, outputs, focus
        run.done.add_done_callback(lambda done: self._ended(done.result(), outputs))
        run.post()
        return run

    def _replan(self) -> None:
        missing = [id for id in self._outputs if id not in self._nodes]
        if missing:
            raise GraphError(f"the output node '{missing[0]}' is not in the graph", node_id=missing[0])
        self._plan = Plan(Graph(self._nodes), self.executor.registry, self._outputs)
        keys, self._volatile = self.executor.keys_of(self._plan, self.owner)
        self._keys = list(keys)
        self._children: list[list[int]] = [[] for _ in self._plan.nodes]
        for index, planned in enumerate(self._plan.nodes):
            for parent in {*planned.parents, *(parent for _, parent, _ in planned.lazy or ())}:
                self._children[parent].append(index)
        self._dirty: set[int] = set()
        self._always = [index for index, planned in enumerate(self._plan.nodes) if planned.type.fingerprint is not None or planned.files]
        self._pending = set(self._plan.outputs)
        self._fresh = True
        self._stale = False

    def _spread(self) -> list[int]:
        """New keys from the changed nodes downwards; gives the nodes that were looked at."""
        if self._fresh:
            self._fresh = False
            return list(range(len(self._keys)))
        identifier = self.executor.identifier(self.owner, self._plan)
        waiting = sorted({*self._dirty, *self._always})
        known = set(waiting)
        self._dirty.clear()
        looked_at: list[int] = []
        outputs = set(self._plan.outputs) if len(self._plan.outputs) > 8 else self._plan.outputs
        while waiting:
            index = heapq.heappop(waiting)
            looked_at.append(index)
            planned = self._plan.nodes[index]
            parents = [*planned.parents, *(parent for _, parent, _ in planned.lazy or ())]
            key, stable = identifier.key(planned, [self._keys[parent] for parent in parents])
            if stable and self._volatile.isdisjoint(parents):
                self._volatile.discard(index)
            else:
                self._volatile.add(index)
            if key == self._keys[index]:
                continue
            self._keys[index] = key
            if index in outputs:
                self._pending.add(index)
            for child in self._children[index]:
                if child not in known:
                    known.add(child)
                    heapq.heappush(waiting, child)
        return looked_at

    def _ended(self, last: JobFinished, outputs: list[int]) -> None:
        if last.state == "completed":
            self._pending.difference_update(outputs)
