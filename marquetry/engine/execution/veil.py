"""Veil: between a run and its listener. What happens inside sealed graphs is told as happening to the nodes that stand for them, or not at all.

Of the inside only usage goes on, as InnerFinished, for metering. Steps and previews go on where the sealed graph says so. How far a sealed
graph is else, is told by the time that it took before, so that nothing about its parts can be read from it.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from marquetry.engine.events import (
    AnyEvent,
    InnerFinished,
    JobFinished,
    Listener,
    NodeEvent,
    NodeFailed,
    NodeFinished,
    NodeProgress,
    NodesCached,
    NodeStarted,
    StillRunning,
)

if TYPE_CHECKING:
    from marquetry.engine.execution.plan import PlannedNode
    from marquetry.engine.execution.run import Run
    from marquetry.engine.sealed import Opened, Seal

TOLD_CODES = frozenset({"out_of_memory", "execution_blocked"})
FAILED = "published_graph_failed"
ALIVE_S = 5.0
PARTS = 10  # in which progress by time is told


class Veil:
    """Called as the listener is: one event of the job after the other."""

    def __init__(self, run: Run, opened: Opened, listener: Listener) -> None:
        self._run = run
        self._opened = opened
        self._listener = listener
        self._began_s: dict[str, float] = {}  # of submitted nodes that stand for sealed graphs
        self._told_parts: dict[str, int] = {}
        self._alive_s = perf_counter()
        self._hidden_messages: dict[str, NodeFailed] = {}  # what failed inside said, and what is said instead

    def __call__(self, event: AnyEvent) -> None:
        if isinstance(event, NodeEvent):
            seal = self._seal_of(event)
            if seal is not None:
                self._inside(event, seal)
            elif event.node_id in self._opened.gates:
                self._gate(event)
            elif isinstance(event, NodeFailed):
                self._listener(replace(event, executed=self._outer_only(event.executed)))
            else:
                self._listener(event)
        elif isinstance(event, NodesCached):
            self._cached(event)
        elif isinstance(event, JobFinished):
            self._end(event)
        else:
            self._listener(event)

    def _cached(self, event: NodesCached) -> None:
        outer = self._outer_only(event.node_ids)
        self._listener(replace(event, node_ids=outer))
        for id in event.node_ids if len(outer) < len(event.node_ids) else ():
            seal = self._run.nodes[self._run.index[id]].seal
            if seal is not None:
                self._listener(InnerFinished(job_id=event.job_id, time_ms=event.time_ms, node_id=id, display_id=seal.outer_id,
                                             parent_id=seal.gate_id, listing=seal.outer.type_id, cached=True))  # fmt: skip

    def _seal_of(self, event: NodeEvent) -> Seal | None:
        """Where the event's node is inside, also when the node itself was never made: what a cached expansion showed."""
        run = self._run
        index = run.index.get(event.node_id)
        if index is None and event.parent_id is not None:
            index = run.index.get(event.parent_id)
        return None if index is None else run.nodes[index].seal

    def _inside(self, event: NodeEvent, seal: Seal) -> None:
        if isinstance(event, NodeStarted):
            self._begin(event, seal.outer_id)
        elif isinstance(event, NodeFinished):
            self._used(event, seal)
        elif isinstance(event, NodeProgress):
            self._progress(event, seal)
        elif isinstance(event, NodeFailed) and not event.caught:
            self._fail(event, seal)
        self._advance(event, seal.outer_id)
        if perf_counter() > self._alive_s + ALIVE_S:
            self._alive_s = perf_counter()
            self._listener(StillRunning(job_id=event.job_id, time_ms=event.time_ms, node_id=seal.outer_id, display_id=seal.outer_id))

    def _begin(self, event: NodeEvent, outer_id: str) -> None:
        if outer_id not in self._began_s:
            self._began_s[outer_id] = perf_counter()
            self._listener(NodeStarted(job_id=event.job_id, time_ms=event.time_ms, node_id=outer_id, display_id=outer_id))

    def _used(self, event: NodeFinished, seal: Seal) -> None:
        if event.usage:
            self._listener(InnerFinished(
                job_id=event.job_id, time_ms=event.time_ms, node_id=event.node_id, display_id=seal.outer_id, parent_id=event.parent_id,
                listing=seal.outer.type_id, cached=event.cached, shared=event.shared, duration_s=event.duration_s, usage=event.usage,
            ))  # fmt: skip

    def _progress(self, event: NodeProgress, seal: Seal) -> None:
        if event.node_id in self._opened.previews:
            self._listener(replace(event, node_id=seal.outer_id, display_id=seal.outer_id, parent_id=None))

    def _advance(self, event: NodeEvent, outer_id: str) -> None:
        """Tell how far the sealed graph is by the time that it took before."""
        began_s = self._began_s.get(outer_id)
        sealed = self._opened.gates[outer_id]
        expected_s = self._run.executor.expected_s(self._opened.types[sealed.type_id])
        if began_s is None or not expected_s or sealed.previews:
            return
        part = min(PARTS - 1, int(PARTS * (perf_counter() - began_s) / expected_s))
        if part > self._told_parts.get(outer_id, 0):
            self._told_parts[outer_id] = part
            self._listener(NodeProgress(job_id=event.job_id, time_ms=event.time_ms, node_id=outer_id, display_id=outer_id,
                                        value=part, total=PARTS))  # fmt: skip

    def _gate(self, event: NodeEvent) -> None:
        """What happens to the node that gives the sealed graph's outputs happens to the whole."""
        if isinstance(event, NodeStarted):
            self._begin(event, event.node_id)
        elif isinstance(event, NodeFinished):
            began_s = self._began_s.pop(event.node_id, None)
            if began_s is None or event.cached or event.shared:
                self._listener(event)
                return
            duration_s = perf_counter() - began_s
            self._run.executor.learn(self._opened.types[self._opened.gates[event.node_id].type_id], duration_s)
            self._listener(replace(event, duration_s=duration_s))
        elif isinstance(event, NodeFailed):
            index = self._run.index[event.node_id]
            self._listener(self._veiled(event, self._run.nodes[index], event.node_id))

    def _fail(self, event: NodeFailed, seal: Seal) -> None:
        index = self._run.index.get(event.node_id)
        veiled = self._veiled(event, None if index is None else self._run.nodes[index], seal.outer_id)
        self._hidden_messages[event.message] = self._hidden_messages[event.message.removeprefix("Execution Blocked: ")] = veiled
        self._listener(veiled)

    def _veiled(self, event: NodeFailed, planned: PlannedNode | None, outer_id: str) -> NodeFailed:
        sealed = self._opened.gates[outer_id]
        names = [] if planned is None else self._reached_by(planned)
        given = f", working on its input{'s' * (len(names) > 1)} {', '.join(repr(name) for name in names)}" if names else ""
        reason = " because memory ran out" if event.code == "out_of_memory" else ""
        advice = "try a smaller one" if reason else "try another value, or ask its creator"
        return replace(
            event,
            node_id=outer_id,
            display_id=outer_id,
            parent_id=None,
            node_type=sealed.type_id,
            error_type="PublishedGraphFailed",
            code=event.code if event.code in TOLD_CODES else FAILED,
            message=f"'{sealed.title}' ({sealed.type_id}) failed{reason}{given}; {advice}",
            traceback=[],
            current_inputs={},
            current_outputs=[],
            executed=self._outer_only(event.executed),
        )

    def _reached_by(self, planned: PlannedNode) -> list[str]:
        """The inputs of the submitted node that lead to a node inside: to itself or, if none does, to the nearest that it is made of."""
        run, names = self._run, self._opened.names
        level, seen = [planned], {planned.id}
        while level:
            found = [name for node in level for name in names.get(node.id, ())]
            if found:
                return sorted(set(found))
            parents = [run.nodes[parent] for node in level for parent in node.parents]
            level = [parent for parent in parents if parent.seal is not None and parent.id not in seen]
            seen.update(parent.id for parent in level)
        return []

    def _end(self, event: JobFinished) -> None:
        changes: dict[str, object] = {"executed": self._outer_only(event.executed)}
        hidden = self._hidden_messages.get(event.message)
        at = None if event.node_id is None else self._run.index.get(event.node_id)
        seal = None if at is None else self._run.nodes[at].seal
        if seal is not None:
            changes |= {"node_id": seal.outer_id, "node_type": seal.outer.type_id}
        unplanned = event.node_id is None and event.code != "execution_blocked"
        if event.state == "failed" and (hidden is not None or seal is not None or unplanned):
            changes["code"] = event.code if event.code in TOLD_CODES else FAILED
            changes["message"] = hidden.message if hidden is not None else "a published graph failed"
        self._listener(replace(event, **changes))

    def _outer_only(self, ids: list[str]) -> list[str]:
        run = self._run
        return [id for id in ids if (index := run.index.get(id)) is None or run.nodes[index].seal is None]
