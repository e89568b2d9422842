"""ResultCache: results by identity, within a budget of bytes, and the executions that are making one right now.

Evicts what is cheapest to remake per byte held. Who asks for a key that is being made waits for it instead of making it again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Protocol

from marquetry.engine.identity import Key

ENTRY_BYTES = 512  # what an entry costs beside its values


class Result:
    """The outputs of a node execution, one list of values per slot, with what clients are shown.

    A result that is not `shareable` (blocked values, a bypassed node behind it) is used in its own run only. `inner_ui` holds (node id, display id, ui) of output nodes inside the node's expansion, `made_by` the id that they begin with.
    """

    ui: dict[str, Any] | None = None
    cost_s = 0.0
    inner_ui: list[tuple[str, str, dict[str, Any]]] | None = None
    made_by = ""
    shareable = True
    nbytes = 0
    priority = 0.0

    def __init__(self, outputs: tuple[list[Any], ...], ui: dict[str, Any] | None = None, cost_s: float = 0.0) -> None:
        self.outputs = outputs
        if ui is not None:
            self.ui = ui
        self.cost_s = cost_s


class Maker(Protocol):
    """Who makes a result, or waits for it: a run."""

    def woken(self, index: int, result: Result | None) -> None: ...


class Making:
    """An execution under way: by whom, as which of its nodes, and who waits for it."""

    __slots__ = ("index", "maker", "waiters")

    def __init__(self, maker: Maker, index: int) -> None:
        self.maker = maker
        self.index = index
        self.waiters: list[tuple[Maker, int]] = []


class Store(Protocol):
    """A second tier: keeps results that are worth it beyond the memory, and beyond the process."""

    def load(self, key: Key) -> Result | None: ...

    def offer(self, key: Key, result: Result) -> None: ...

    def __contains__(self, key: object) -> bool: ...


class ResultCache:
    """Thread-safe. `memory_bytes` bounds what the results hold; `store` is the next tier, if there is one."""

    def __init__(self, memory_bytes: int, store: Store | None = None) -> None:
        self.memory_bytes = memory_bytes
        self.store = store
        self.held_bytes = 0
        self.hits = 0
        self.misses = 0
        self.evictions = 0
        self._results: dict[Key, Result] = {}
        self._making: dict[Key, Making] = {}
        self._lock = threading.Lock()
        self._clock = 0.0  # rises to the priority of what was evicted last, so that old entries age (GreedyDual-Size)

    def __len__(self) -> int:
        return len(self._results)

    def get(self, key: Key) -> Result | None:
        """The result, from memory or from the store."""
        result = self._results.get(key)
        if result is None:
            return self._from_store(key)
        result.priority = self._clock + result.cost_s / result.nbytes
        return result

    def peek(self, keys: Iterable[Key]) -> list[Result | None]:
        """What memory holds of many keys; counts as no use."""
        get = self._results.get
        return [get(key) for key in keys]

    def claim(self, key: Key, maker: Maker, index: int) -> Result | Making | None:
        """The result if it is there; None when the caller is to make it and then `complete` or `abandon` it.

        Otherwise another execution is making it: that is given back, and `maker.woken(index, result)` will be called once, from the other
        maker's thread, with the result, or with None when that one gave up: then claim again.
        """
        if self.store is not None:
            self.get(key)
        with self._lock:
            result = self._results.get(key)
            if result is not None:
                self.hits += 1
                return result
            making = self._making.get(key)
            if making is None:
                self._making[key] = Making(maker, index)
                self.misses += 1
                return None
            making.waiters.append((maker, index))
            return making

    def complete(self, key: Key, result: Result) -> None:
        """Keep the result, and hand it to who waits for it."""
        nbytes = result.nbytes = size_of(result)
        result.priority = self._clock + result.cost_s / nbytes
        with self._lock:
            making = self._making.pop(key, None)
            if nbytes <= self.memory_bytes:
                old = self._results.get(key)
                self._results[key] = result
                self.held_bytes += nbytes if old is None else nbytes - old.nbytes
                if self.held_bytes > self.memory_bytes:
                    self._evict(self.memory_bytes * 9 // 10)
        if self.store is not None:
            self.store.offer(key, result)
        if making is not None and making.waiters:
            for waiter, index in making.waiters:
                waiter.woken(index, result)

    def abandon(self, key: Key) -> None:
        """The maker gives up; who waits must claim again."""
        with self._lock:
            making = self._making.pop(key, None)
        if making is not None:
            for waiter, index in making.waiters:
                waiter.woken(index, None)

    def shrink(self, to_bytes: int) -> int:
        """Evict until at most that much is held; gives the bytes that were let go."""
        with self._lock:
            before = self.held_bytes
            self._evict(to_bytes)
            return before - self.held_bytes

    def clear(self) -> None:
        """Let go of everything in memory; what is being made goes on."""
        with self._lock:
            self._results.clear()
            self.held_bytes = 0

    def _from_store(self, key: Key) -> Result | None:
        if self.store is None or key not in self.store:
            return None
        result = self.store.load(key)
        if result is None:
            return None
        result.nbytes = size_of(result)
        result.priority = self._clock + result.cost_s / result.nbytes
        with self._lock:
            known = self._results.setdefault(key, result)
            if known is result:
                self.held_bytes += result.nbytes
                if self.held_bytes > self.memory_bytes:
                    self._evict(self.memory_bytes * 9 // 10)
        return known

    def _evict(self, to_bytes: int) -> None:
        if self.held_bytes <= to_bytes:
            return
        for key, result in sorted(self._results.items(), key=lambda item: item[1].priority):
            del self._results[key]
            self.held_bytes -= result.nbytes
            self.evictions += 1
            self._clock = max(self._clock, result.priority)
            if self.held_bytes <= to_bytes:
                break


PLAIN_KINDS = frozenset({int, float, bool, type(None)})


def size_of(result: Result) -> int:
    """The bytes that a result holds: tensors and arrays by their data, other values roughly. Weights are not counted: Residency owns them."""
    total = ENTRY_BYTES
    for values in result.outputs:
        for value in values:
            if type(value) not in PLAIN_KINDS:
                total += _size(value)
    if result.ui is not None:
        total += _size(result.ui)
    return total


def _size(value: Any) -> int:
    total = 0
    pending = [value]
    seen: set[int] = set()
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            total += 50 + len(part)
        elif isinstance(part, (bytes, bytearray)):
            total += 33 + len(part)
        elif isinstance(part, (int, float)) or part is None:
            total += 16
        elif id(part) in seen:
            continue
        else:
            seen.add(id(part))
            nbytes = getattr(part, "nbytes", None)
            if isinstance(nbytes, int):
                total += nbytes
            elif isinstance(part, dict):
                total += 64
                pending.extend(part.values())
            elif isinstance(part, (list, tuple, set, frozenset)):
                total += 56
                pending.extend(part)
            else:
                total += 64
    return total
