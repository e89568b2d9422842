"""Residency: which networks are in memory now. One byte budget per device; what is in use stays, the rest leaves by cost.

Loading is single-flight: who asks for a network that is being loaded waits for it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

from marquetry.engine.errors import OutOfMemory

T = TypeVar("T")
GIB = 2**30
RECENCY_HALF_LIFE_S = 600.0


@dataclass(eq=False)
class _Entry:
    key: Hashable
    label: str
    size_bytes: int
    load: Callable[[], Any]
    value: Any = None
    users: int = 0
    loading: bool = False
    resident: bool = False
    load_cost_s: float = 0.0
    last_used_s: float = 0.0
    loads: int = 0


@dataclass(frozen=True, slots=True)
class ResidentStatus:
    """One network on a status page; sizes in bytes, times in seconds."""

    label: str
    size_bytes: int
    users: int
    resident: bool
    loads: int
    load_cost_s: float
    idle_s: float


class Resident(Generic[T]):
    """A claim on one network: `use` brings it into memory and keeps it there for as long as the block runs."""

    def __init__(self, residency: Residency, entry: _Entry) -> None:
        self._residency = residency
        self._entry = entry

    @property
    def key(self) -> Hashable:
        """Equal keys, one network."""
        return self._entry.key

    @contextmanager
    def use(self) -> Iterator[T]:
        """The network itself. Raises OutOfMemory when it can't be made to fit, and whatever loading it raises."""
        thread = threading.get_ident()
        value: T = self._residency._acquire(self._entry)
        try:
            yield value
        finally:
            self._residency._release(self._entry, thread)


class Residency:
    """The networks of one device within `budget_bytes`. Safe to use from many threads.

    `clock` gives seconds and only ever grows; tests may pass their own.
    """

    def __init__(self, budget_bytes: int, *, device: str = "cpu", clock: Callable[[], float] = time.monotonic) -> None:
        self.budget_bytes = budget_bytes
        self.device = device
        self._clock = clock
        self._known: WeakValueDictionary[Hashable, _Entry] = WeakValueDictionary()  # for as long as somebody has a claim
        self._present: dict[Hashable, _Entry] = {}  # in memory, or on the way
        self._held: dict[int, int] = {}  # networks in use by thread
        self._changed = threading.Condition()
        self.used_bytes = 0
        self.peak_bytes = 0

    def register(self, key: Hashable, *, label: str, size_bytes: int, load: Callable[[], T]) -> Resident[T]:
        """Make a network known without loading it. A key that is known keeps its first loader."""
        with self._changed:
            entry = self._known.get(key)
            if entry is None:
                entry = self._known[key] = _Entry(key, label, size_bytes, load)
        return Resident(self, entry)

    def _acquire(self, entry: _Entry) -> Any:
        """Load if need be, count one more user, give the network. Every call is paired with `_release`.

        A network that fits the budget but not beside what others use now waits for them, unless this thread itself holds
        one: who waits holds nothing, so nobody waits in a circle.
        """
        thread = threading.get_ident()
        with self._changed:
            while True:
                if entry.resident:
                    self._held[thread] = self._held.get(thread, 0) + 1
                    entry.users += 1
                    entry.last_used_s = self._clock()
                    return entry.value
                if not entry.loading:
                    if self._make_room(entry):
                        break
                    if self._held.get(thread) or entry.size_bytes > self.budget_bytes:
                        raise self._refusal(entry)
                self._changed.wait()
            entry.loading = True
            self._present[entry.key] = entry
            self._hold(entry.size_bytes)
        return self._load(entry, thread)

    def _release(self, entry: _Entry, thread: int) -> None:
        """One user less; `thread` is the one that acquired."""
        with self._changed:
            self._held[thread] -= 1
            if not self._held[thread]:
                del self._held[thread]
            assert entry.users > 0, "released more often than acquired"
            entry.users -= 1
            entry.last_used_s = self._clock()
            self._changed.notify_all()

    def free(self, size_bytes: int) -> int:
        """Let go of unused networks until `size_bytes` are freed or none is left; gives the bytes freed."""
        with self._changed:
            freed = 0
            for entry in self._idle():
                if freed >= size_bytes:
                    break
                freed += self._evict(entry)
            return freed

    def unload_all(self) -> int:
        """Let go of every network that is not in use; gives the bytes freed."""
        return self.free(self.used_bytes + 1)

    @property
    def available_bytes(self) -> int:
        """What could be loaded now: the budget less what is in use."""
        with self._changed:
            return self.budget_bytes - self._busy_bytes()

    def snapshot(self) -> Mapping[str, Any]:
        """The state for a status page: budget and use in bytes, and the networks, the most recently used first."""
        with self._changed:
            now = self._clock()
            order = sorted(self._present.values(), key=lambda entry: -entry.last_used_s)
            networks = tuple(
                ResidentStatus(
                    entry.label, entry.size_bytes, entry.users, entry.resident, entry.loads, entry.load_cost_s, now - entry.last_used_s
                )
                for entry in order
            )
            return {
                "device": self.device,
                "budget_bytes": self.budget_bytes,
                "used_bytes": self.used_bytes,
                "peak_bytes": self.peak_bytes,
                "networks": networks,
            }

    def _load(self, entry: _Entry, thread: int) -> Any:
        started = time.monotonic()
        try:
            value = entry.load()
        except BaseException:
            with self._changed:
                entry.loading = False
                del self._present[entry.key]
                self.used_bytes -= entry.size_bytes
                self._changed.notify_all()
            raise
        with self._changed:
            entry.value, entry.resident, entry.loading = value, True, False
            self._held[thread] = self._held.get(thread, 0) + 1
            entry.users += 1
            entry.loads += 1
            entry.load_cost_s = time.monotonic() - started
            entry.last_used_s = self._clock()
            self._changed.notify_all()
            return value

    def _make_room(self, entry: _Entry) -> bool:
        missing = self.used_bytes + entry.size_bytes - self.budget_bytes
        if missing <= 0:
            return True
        idle = self._idle()
        if sum(other.size_bytes for other in idle) < missing:
            return False
        for other in idle:
            if missing <= 0:
                break
            missing -= self._evict(other)
        return True

    def _idle(self) -> list[_Entry]:
        """Unused networks, the cheapest to lose first: reload cost per byte held, halved for every while of not being used."""
        now = self._clock()

        def worth(entry: _Entry) -> float:
            halvings = min(1000.0, (now - entry.last_used_s) / RECENCY_HALF_LIFE_S)
            return (entry.load_cost_s + 1e-6) / max(1, entry.size_bytes) * math.pow(0.5, halvings)

        idle = [entry for entry in self._present.values() if entry.resident and entry.users == 0]
        return sorted(idle, key=lambda entry: (worth(entry), entry.last_used_s))

    def _evict(self, entry: _Entry) -> int:
        entry.value, entry.resident = None, False
        del self._present[entry.key]
        self.used_bytes -= entry.size_bytes
        return entry.size_bytes

    def _hold(self, size_bytes: int) -> None:
        self.used_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)

    def _busy_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self._present.values() if entry.users or entry.loading)

    def _refusal(self, entry: _Entry) -> OutOfMemory:
        available = self.budget_bytes - self._busy_bytes()
        return OutOfMemory(
            f"{entry.label} needs {entry.size_bytes / GIB:.2f} GiB, {available / GIB:.2f} GiB available of "
            f"{self.budget_bytes / GIB:.2f} GiB on {self.device}",
            needed_bytes=entry.size_bytes,
            available_bytes=available,
            budget_bytes=self.budget_bytes,
        )
