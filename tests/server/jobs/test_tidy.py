"""Tidy: the pause after jobs is used, and only that."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from marquetry.server.jobs.workers import tidy
from marquetry.server.jobs.workers.tidy import Tidy


class Loop:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidy, "QUIET_S", 0.01)


def test_garbage_goes_once_nothing_runs() -> None:
    gone = threading.Event()
    busy = threading.Event()
    busy.set()
    kept = Tidy(busy.is_set)
    garbage = weakref.ref(Loop(), lambda _: gone.set())
    gc.disable()
    try:
        kept.worked()
        assert not gone.wait(0.2) and garbage() is not None
        busy.clear()
        assert gone.wait(60)
    finally:
        gc.enable()
        kept.close()


def test_an_endless_run_of_jobs_does_not_put_it_off_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidy, "BUSY_S", 0.05)
    done = threading.Event()
    monkeypatch.setattr(tidy, "give_back", done.set)
    kept = Tidy(lambda: True)
    kept.worked()
    assert done.wait(10)
    kept.close()


def test_a_closed_one_ends_its_thread() -> None:
    kept = Tidy(lambda: False)
    kept.close()
    kept._thread.join(10)
    assert not kept._thread.is_alive()
