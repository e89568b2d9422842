"""Residency: the budget holds, what is in use stays, and everybody shares one loading."""

import gc
import threading
import weakref
from collections import Counter
from contextlib import AbstractContextManager

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from marquetry.engine.errors import OutOfMemory
from marquetry.engine.models.residency import GIB, Residency


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class ResidencyMachine(RuleBasedStateMachine):
    """Any order of using, leaving and freeing, against a plain count of what must be true."""

    BUDGET = 100

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.residency = Residency(self.BUDGET, clock=self.clock)
        self.loads: Counter[int] = Counter()
        self.sizes = {key: 10 + 17 * key for key in range(6)}
        self.open: list[tuple[int, object, AbstractContextManager[object]]] = []

    def _load(self, key: int) -> object:
        self.loads[key] += 1
        return object()

    @rule(key=st.integers(0, 5), pause=st.floats(0, 2000))
    def use(self, key: int, pause: float) -> None:
        self.clock.now += pause
        resident = self.residency.register(key, label=str(key), size_bytes=self.sizes[key], load=lambda: self._load(key))
        held = {other for other, _, _ in self.open}
        fits = sum(self.sizes[other] for other in held | {key}) <= self.BUDGET
        use = resident.use()
        try:
            value = use.__enter__()
        except OutOfMemory:
            assert not fits, "refused what would have fitted"
            return
        assert fits
        if key in held:
            assert all(value is known for other, known, _ in self.open if other == key), "evicted while in use"
        self.open.append((key, value, use))

    @precondition(lambda self: bool(self.open))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))[2].__exit__(None, None, None)

    @rule(size=st.integers(0, 200))
    def free(self, size: int) -> None:
        before = self.residency.used_bytes
        assert self.residency.free(size) == before - self.residency.used_bytes

    @invariant()
    def budget_holds_and_users_keep_theirs(self) -> None:
        assert 0 <= self.residency.used_bytes <= self.residency.peak_bytes <= self.BUDGET
        assert self.residency.available_bytes == self.BUDGET - sum(self.sizes[key] for key in {key for key, _, _ in self.open})


TestResidencyMachine = ResidencyMachine.TestCase
TestResidencyMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_many_threads_load_once() -> None:
    residency, loads, together = Residency(100), [], threading.Barrier(8)
    gate = threading.Event()

    def load() -> object:
        loads.append(1)
        gate.wait(5)
        return object()

    resident = residency.register("x", label="x", size_bytes=10, load=load)
    seen: list[object] = []

    def use() -> None:
        together.wait(5)
        with resident.use() as value:
            seen.append(value)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(5)

    assert len(loads) == 1
    assert len(seen) == 8 and len({id(value) for value in seen}) == 1


def test_failed_loading_gives_its_room_back_and_is_tried_again() -> None:
    residency, attempts = Residency(100), []

    def load() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("damaged")
        return "ready"

    resident = residency.register("x", label="x", size_bytes=100, load=load)
    with pytest.raises(ValueError, match="damaged"), resident.use():
        pass

    assert residency.used_bytes == 0
    with resident.use() as value:
        assert value == "ready"


def test_what_never_fits_is_refused_with_the_numbers() -> None:
    residency = Residency(4 * GIB)
    small = residency.register("small", label="small", size_bytes=GIB, load=object)
    huge = residency.register("huge", label="huge.safetensors (denoiser)", size_bytes=5 * GIB, load=object)

    with (
        small.use(),
        pytest.raises(OutOfMemory, match=r"huge\.safetensors \(denoiser\) needs 5\.00 GiB, 3\.00 GiB available of 4\.00 GiB"),
        huge.use(),
    ):
        pass


def test_network_waits_until_others_leave_where_it_fits_the_budget() -> None:
    residency = Residency(100)
    first = residency.register("first", label="first", size_bytes=80, load=object)
    second = residency.register("second", label="second", size_bytes=80, load=object)
    entered, order = threading.Event(), []

    def wait_for_room() -> None:
        entered.set()
        with second.use():
            order.append("second")

    thread = threading.Thread(target=wait_for_room)
    with first.use():
        thread.start()
        entered.wait(5)
        order.append("first")
    thread.join(5)

    assert order == ["first", "second"]


def test_who_holds_one_network_is_refused_rather_than_kept_waiting() -> None:
    residency = Residency(100)
    first = residency.register("first", label="first", size_bytes=80, load=object)
    second = residency.register("second", label="second", size_bytes=80, load=object)

    with first.use(), pytest.raises(OutOfMemory), second.use():
        pass


def test_cheap_and_stale_networks_leave_first() -> None:
    clock = Clock()
    residency = Residency(100, clock=clock)
    residents = {name: residency.register(name, label=name, size_bytes=40, load=object) for name in ("dear", "cheap", "new")}
    for name, cost_s in (("dear", 10.0), ("cheap", 0.1)):
        with residents[name].use():
            pass
        residency._present[name].load_cost_s = cost_s

    with residents["new"].use():
        pass

    assert {entry.label for entry in residency.snapshot()["networks"] if entry.resident} == {"new", "dear"}
    clock.now += 100_000.0
    residency._present["new"].load_cost_s = 0.01
    with residents["new"].use():
        pass
    assert residency.free(1) == 40
    assert {entry.label for entry in residency.snapshot()["networks"] if entry.resident} == {"new"}


def test_unload_all_leaves_what_is_in_use() -> None:
    residency = Residency(100)
    kept = residency.register("kept", label="kept", size_bytes=10, load=object)
    idle = residency.register("idle", label="idle", size_bytes=20, load=object)
    with idle.use():
        pass

    with kept.use():
        assert residency.unload_all() == 20
        assert residency.used_bytes == 10
    assert residency.unload_all() == 10


def test_network_that_nobody_claims_any_more_is_forgotten() -> None:
    residency, files = Residency(100), [object()]
    left = weakref.ref(loader := Loader(files))
    resident = residency.register("x", label="x", size_bytes=10, load=loader)
    with resident.use():
        pass
    del loader, resident
    gc.collect()
    assert left() is not None, "it is in memory still"

    residency.unload_all()
    gc.collect()

    assert left() is None


class Loader:
    """What loads a network; holds the file that it reads."""

    def __init__(self, files: list[object]) -> None:
        self.files = files

    def __call__(self) -> object:
        return self.files[0]
