"""Facts: what a run told of its nodes that matters for charges."""

from __future__ import annotations

from dataclasses import dataclass

from marquetry.engine.usage import Usage


@dataclass(frozen=True, slots=True)
class FinishedNode:
    """A node has its outputs. `origin_id` is the node of the terms that it grew from, or itself; `free`: it came from a cache, or another
    job made it at the same time; `grew`: it went on as a graph of its own, whose nodes are told of by themselves."""

    node_id: str
    origin_id: str
    free: bool
    grew: bool
    usage: tuple[Usage, ...]
    duration_ms: int
    finished_ms: int


@dataclass(frozen=True, slots=True)
class Report:
    """What is new of one run. `spared` are nodes that failed, were bypassed or blocked: they pay nothing."""

    run_id: str
    token: str
    finished: tuple[FinishedNode, ...]
    spared: frozenset[str] = frozenset()
