"""ResultCache: results by identity, within a budget of bytes, and the executions that are making one right now.

Evicts what is cheapest to remake per byte held. Who asks for a key that is being made waits for it instead of making it again.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias

from marquetry.engine.identity import Key

ENTRY_BYTES = 512  # what an entry costs beside its values
MAX_ADDED = 64


class Result:
    """The outputs of a node execution, one list of values per slot, with what clients are shown.

    A result that is not `shareable` (blocked values, a bypassed node behind it) is used in its own run only. `inner_ui` holds (node id, display id, ui) of output nodes inside the node's expansion, `made_by` the id that they begin with.
    """

    ui: dict[str, Any] | None = None
    cost_s = 0.0
    inner_ui: list[tuple[str, str, dict[str, Any]]] | None = None
    made_by = ""
    shareable = True
    lasting = True  # may outlive this run of the server
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


Making: TypeAlias = tuple[Maker, int]  # an execution under way: by whom, and as which of its nodes


class Store(Protocol):
    """A second tier: keeps results that are worth it beyond the memory, and beyond the process."""

    def load(self, key: Key) -> Result | None: ...

    def offer(self, key: Key, result: Result) -> None: ...

    def __contains__(self, key: object) -> bool: ...

    def holds_any(self, keys: Iterable[Key]) -> bool: ...


class ResultCache:
    """Thread-safe. `memory_bytes` bounds what the results hold, `max_entries` how many there are; `store` is the next tier, if there is one."""

    def __init__(self, memory_bytes: int, store: Store | None = None, max_entries: int | None = None) -> None:
        self.memory_bytes = memory_bytes
        self.max_entries = max_entries or sys.maxsize
        self.store = store
        self.hits = 0
        self.misses = 0
        self.evictions = 0
        self._results: dict[Key, Result] = {}
        self._making: dict[Key, Making] = {}
        self._waiting: dict[Key, list[Making]] = {}  # who waits for what is being made
        self._lock = threading.Lock()
        self._held_bytes = 0
        self._added: list[int] = []  # bytes that are not yet among those held
        self._notable_bytes = memory_bytes // (100 * MAX_ADDED)
        self._clock = 0.0  # rises to the priority of what was evicted last, so that old entries age (GreedyDual-Size)

    def __len__(self) -> int:
        return len(self._results)

    def get(self, key: Key) -> Result | None:
        """The result, from memory or from the store."""
        result = self._results.get(key)
        if result is None:
            return self._from_store(key)
        return self.touch(result)

    def peek(self, keys: Iterable[Key]) -> list[Result | None]:
        """What memory holds of many keys; counts as no use until `touch`."""
        get = self._results.get
        return [get(key) for key in keys]

    def touch(self, result: Result) -> Result:
        """The result is used: it is worth keeping longer."""
        result.priority = self._clock + result.cost_s / result.nbytes
        return result

    def claim(self, key: Key, maker: Maker, index: int) -> Result | Making | None:
        """The result if it is there; None when the caller is to make it and then `complete` or `abandon` it.

        Otherwise another execution is making it: that is given back, and `maker.woken(index, result)` will be called once, from the other
        maker's thread, with the result, or with None when that one gave up: then claim again.
        """
        if self.store is not None:
            self.get(key)
        own = (maker, index)
        while True:
            result = self._results.get(key)
            if result is not None:
                self.hits += 1
                return result
            making = self._making.setdefault(key, own)  # one step under the interpreter's lock: one caller wins
            if making is own:
                result = self._results.get(key)
                if result is None:
                    self.misses += 1
                    return None
                self.abandon(key)  # it was completed between the two looks
                return result
            with self._lock:
                waiting = self._waiting.setdefault(key, [])
                waiting.append(own)
                if self._making.get(key) is making or own not in self._waiting.get(key, ()):
                    return making
                waiting.remove(own)  # the maker ended before it could see who waits

    def complete(self, key: Key, result: Result, nbytes: int = 0) -> None:
        """Keep the result, and hand it to who waits for it. `nbytes` is what `size_of` gives, where the caller knows it."""
        nbytes = result.nbytes = nbytes or size_of(result)
        result.priority = self._clock + result.cost_s / nbytes
        if nbytes <= self.memory_bytes:
            old = self._results.get(key)
            self._results[key] = result
            added = self._added
            added.append(nbytes if old is None else nbytes - old.nbytes)
            if nbytes > self._notable_bytes or len(added) > MAX_ADDED or len(self._results) > self.max_entries:
                self._account()
        self._making.pop(key, None)
        if self.store is not None:
            self.store.offer(key, result)
        if self._waiting:
            self._wake(key, result)

    def abandon(self, key: Key) -> None:
        """The maker gives up; who waits must claim again."""
        self._making.pop(key, None)
        if self._waiting:
            self._wake(key, None)

    def _wake(self, key: Key, result: Result | None) -> None:
        with self._lock:
            waiting = self._waiting.pop(key, ())
        for maker, index in waiting:
            maker.woken(index, result)

    @property
    def held_bytes(self) -> int:
        """What the results in memory hold."""
        self._account()
        return self._held_bytes

    def _account(self) -> None:
        """Add up what was added lately, and evict what is too much. Small results are added up many at a time."""
        with self._lock:
            while self._added:
                self._held_bytes += self._added.pop()
            if self._held_bytes > self.memory_bytes:
                self._evict(self.memory_bytes * 9 // 10)
            if len(self._results) > self.max_entries:
                self._evict(self.memory_bytes, self.max_entries * 9 // 10)

    def shrink(self, to_bytes: int) -> int:
        """Evict until at most that much is held; gives the bytes that were let go."""
        before = self.held_bytes
        with self._lock:
            self._evict(to_bytes)
            return before - self._held_bytes

    def clear(self) -> None:
        """Let go of everything in memory; what is being made goes on."""
        with self._lock:
            self._results.clear()
            self._added.clear()
            self._held_bytes = 0

    def _from_store(self, key: Key) -> Result | None:
        if self.store is None or key not in self.store:
            return None
        result = self.store.load(key)
        if result is None:
            return None
        result.nbytes = size_of(result)
        result.priority = self._clock + result.cost_s / result.nbytes
        known = self._results.setdefault(key, result)
        if known is result:
            self._added.append(result.nbytes)
            self._account()
        return known

    def _evict(self, to_bytes: int, to_entries: int = sys.maxsize) -> None:
        if self._held_bytes <= to_bytes and len(self._results) <= to_entries:
            return
        for key, result in sorted(self._results.items(), key=lambda item: item[1].priority):
            if self._results.pop(key, None) is None:
                continue
            self._held_bytes -= result.nbytes
            self.evictions += 1
            self._clock = max(self._clock, result.priority)
            if self._held_bytes <= to_bytes and len(self._results) <= to_entries:
                break


PLAIN_KINDS = frozenset({int, float, bool, type(None)})


def size_of(result: Result) -> int:
    """The bytes that a result holds: tensors and arrays by their data, other values roughly. Weights are not counted: Residency owns them."""
    outputs = result.outputs
    if len(outputs) == 1 and len(outputs[0]) == 1 and type(outputs[0][0]) in PLAIN_KINDS and result.ui is None:
        return ENTRY_BYTES
    total = ENTRY_BYTES
    for values in outputs:
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
