"""Watchdog: finds tries of jobs that are stuck: a node that tells nothing for too long, or that runs longer than its kind may."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import orjson

from marquetry.server.jobs.job import NodePhase, NodeState, origin_of
from marquetry.server.jobs.live import Live, now_ms
from marquetry.server.jobs.workers.worker import Worker

FOREVER_S = 1e9
EVERY_KIND = "*"


@dataclass(frozen=True, slots=True)
class StuckLimits:
    """How long a node may be silent, in seconds: of jobs with an owner, and of jobs on a server that one person has to themselves.

    `silence_s` gives more to some node types; `longest_s` bounds a whole node, whatever it tells, and has `*` for all others.
    """

    shared_s: float = 120.0
    alone_s: float = 1800.0
    silence_s: Mapping[str, float] = field(default_factory=dict)
    longest_s: Mapping[str, float] = field(default_factory=dict)

    def of(self, live: Live) -> float:
        """How long a node of this job may be silent, unless its type says otherwise."""
        return self.shared_s if live.leased.owner else self.alone_s


class Watchdog:
    """Looks at what runs, now and then."""

    def __init__(self, limits: StuckLimits) -> None:
        self.limits = limits

    def look(self, running: Collection[Live]) -> list[tuple[Live, str]]:
        """Which tries are stuck, and why."""
        now_s = time.monotonic()
        heard: dict[Worker, float] = {}
        for live in running:
            heard[live.worker] = max(heard.get(live.worker, 0.0), live.heard_s)
        found = ((live, self._reason(live, now_s, heard[live.worker])) for live in running if live.end is None and not live.stuck)
        return [(live, reason) for live, reason in found if reason]

    def _reason(self, live: Live, now_s: float, worker_heard_s: float) -> str:
        silent_s = now_s - live.heard_s
        busy = {id: node for id, node in live.view.nodes.items() if node.state == NodePhase.RUNNING}
        if not busy:  # it waits for its turn in the worker, unless nobody gets one
            limit_s = self.limits.of(live)
            return f"nothing was heard of it, nor of its worker, for {limit_s:g} s" if now_s - worker_heard_s > limit_s else ""
        begun_ms = min((node.started_ms for node in busy.values() if node.started_ms is not None), default=now_ms())
        if silent_s <= self.limits.of(live) and now_ms() - begun_ms <= min(self.limits.longest_s.values(), default=FOREVER_S) * 1000:
            return ""  # whatever kinds they are; most of the time nothing more is looked at
        types = _types(live.leased.graph)
        return next((reason for id, node in busy.items() if (reason := self._of_node(live, id, node, types, silent_s))), "")

    def _of_node(self, live: Live, id: str, node: NodeState, types: Mapping[str, str], silent_s: float) -> str:
        kind = types.get(origin_of(live.view.nodes, id), "")
        name = f"node {node.display_id} ({kind})"
        silence_s = max(self.limits.of(live), self.limits.silence_s.get(kind, 0.0))
        if silent_s > silence_s:
            return f"{name} told nothing for {silence_s:g} s"
        longest_s = self.limits.longest_s.get(kind, self.limits.longest_s.get(EVERY_KIND, FOREVER_S))
        if node.started_ms is not None and now_ms() - node.started_ms > longest_s * 1000:
            return f"{name} ran for more than the {longest_s:g} s that its kind may take"
        return ""


def _types(graph: bytes) -> dict[str, str]:
    return {id: str(node.get("class_type", "")) for id, node in orjson.loads(graph).items()}
