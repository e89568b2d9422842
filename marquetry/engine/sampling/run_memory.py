"""RunMemory: what functions that nodes put on a model remember between the steps of one sampling run, and nothing of any other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

T = TypeVar("T")


@dataclass
class RunMemory:
    """`approximations` give a sentence each about what was not computed exactly, once the run is over."""

    kept: dict[Hashable, Any] = field(default_factory=dict)
    approximations: dict[Hashable, Callable[[], str]] = field(default_factory=dict)

    def of(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is kept under a key; made when it is first asked for."""
        if key not in self.kept:
            self.kept[key] = make()
        return cast(T, self.kept[key])


_current: ContextVar[RunMemory | None] = ContextVar("run_memory", default=None)


@contextmanager
def fresh_memory() -> Iterator[RunMemory]:
    """A memory for the run that the block does."""
    memory = RunMemory()
    token = _current.set(memory)
    try:
        yield memory
    finally:
        _current.reset(token)


def run_memory() -> RunMemory:
    """That of the run that is going on; outside of any, one that is forgotten at once."""
    return _current.get() or RunMemory()
