"""Agenda: which nodes of a run are done, ready, or wait for what. Bookkeeping only: it calls no node and tells nobody."""

from __future__ import annotations

import threading
from collections import deque

from marquetry.engine.cache import Result, ResultCache
from marquetry.engine.execution.plan import Plan, PlannedNode
from marquetry.engine.identity import Key
from marquetry.engine.schema import Lane


class Agenda:
    """The lock is held wherever that is said; a node is known by its index."""

    def __init__(self, plan: Plan, cache: ResultCache) -> None:
        self.nodes: list[PlannedNode] = plan.nodes
        self.index: dict[str, int] = plan.index
        self.keys: list[Key] = []
        self.volatile: set[int] = set()
        self.cache = cache
        self.lock = threading.RLock()
        self.results: dict[int, Result] = {}
        self.ready: dict[Lane, deque[int]] = {"cpu": deque(), "device": deque(), "io": deque()}
        self.active = 0  # nodes that are ready, running, or wait for another job: while there are any, the run moves
        self.outstanding = 0
        self.asked: dict[int, list[str]] = {}  # lazy inputs that were asked for
        self._waiting: dict[int, int] = {}
        self._dependents: dict[int, list[int]] = {}
        self._uses: dict[int, int] = {}

    def activate(self, index: int, known: list[Result | None] | None = None) -> bool:
        """Plan to make a node, and first what it needs. True when its result is there already. The lock is held.

        `known` is what is known to be in the cache, by index, where somebody has just looked; otherwise it is asked.
        """
        if index in self.results:
            return True
        waiting, results, uses, nodes = self._waiting, self.results, self._uses, self.nodes
        pending = [index]
        while pending:
            current = pending.pop()
            if current in waiting or current in results:
                continue
            result = self._look(current) if known is None else known[current]
            if result is not None and current not in self.volatile:
                results[current] = self.cache.touch(result)
                continue
            count = 0
            for parent in nodes[current].parents:
                uses[parent] = uses.get(parent, 0) + 1
                if parent in results:
                    continue
                if parent not in waiting:
                    result = self._look(parent) if known is None else known[parent]
                    if result is not None and parent not in self.volatile:
                        results[parent] = self.cache.touch(result)
                        continue
                    pending.append(parent)
                dependents = self._dependents.get(parent)
                if dependents is None:
                    self._dependents[parent] = [current]
                else:
                    dependents.append(current)
                count += 1
            waiting[current] = count
            self.outstanding += 1
            if not count:
                self.enqueue(current)
        return index in results

    def _look(self, index: int) -> Result | None:
        return None if index in self.volatile else self.cache.get(self.keys[index])

    def _depend(self, index: int, parent: int) -> None:
        dependents = self._dependents.get(parent)
        if dependents is None:
            self._dependents[parent] = [index]
        else:
            dependents.append(index)

    def require(self, index: int, parents: list[int]) -> int:
        """Make a node wait for further parents; gives how many of them are not there yet. The lock is held."""
        count = 0
        for parent in parents:
            self._uses[parent] = self._uses.get(parent, 0) + 1
            if not self.activate(parent):
                self._depend(index, parent)
                count += 1
        self._waiting[index] = count
        return count

    def hand_on(self, index: int, planned: PlannedNode, result: Result) -> None:
        """Let those begin that waited for this node only, and let go of what it was the last to use. The lock is held."""
        uses, results = self._uses, self.results
        if index in uses or index in self.volatile:
            results[index] = result
        self._waiting.pop(index, None)
        self.outstanding -= 1
        self.active -= 1
        waiting = self._waiting
        for dependent in self._dependents.pop(index, ()):
            left = waiting[dependent] - 1
            waiting[dependent] = left
            if not left:
                self.enqueue(dependent)
        for parent in planned.parents:
            left = uses.get(parent, 1) - 1
            if left > 0:
                uses[parent] = left
            else:
                uses.pop(parent, None)
                if parent not in self.volatile:
                    results.pop(parent, None)
        if self.asked and (asked := self.asked.pop(index, None)) is not None:
            for name, parent, _ in planned.lazy or ():
                if name in asked:
                    self.release(parent)

    def release(self, index: int) -> None:
        """One use of a result fewer; without uses it is let go. The lock is held."""
        left = self._uses.get(index, 1) - 1
        if left > 0:
            self._uses[index] = left
        else:
            self._uses.pop(index, None)
            if index not in self.volatile:  # what can't be had again stays for nodes that are yet to come
                self.results.pop(index, None)

    def pause(self, index: int) -> None:
        """The node goes back to waiting for what it now requires. The lock is held."""
        self.active -= 1

    def own_lists(self) -> None:
        """Copy what the plan shares with other runs, before nodes are added. The lock is held."""
        self.nodes, self.index = list(self.nodes), dict(self.index)
        self.keys, self.volatile = list(self.keys), set(self.volatile)

    def dependents_of(self, index: int) -> list[int]:
        """The nodes that wait for this one now."""
        return self._dependents.get(index, [])

    def enqueue(self, index: int) -> None:
        """The node is ready. The lock is held."""
        self.active += 1
        self.ready[self.nodes[index].type.lane].append(index)
