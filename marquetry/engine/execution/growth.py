"""Growth: nodes that go on as graphs of their own. The new nodes join the run; the node that grew takes its outputs from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from marquetry.engine.cache import Result
from marquetry.engine.errors import GraphError
from marquetry.engine.events import NodeExpanded, NodeFinished
from marquetry.engine.execution.call import Returned, has_blocker
from marquetry.engine.execution.clock import now_ms
from marquetry.engine.execution.plan import PlannedNode, arrange, current_type
from marquetry.engine.graph import Graph, Link, is_link
from marquetry.engine.outcome import ExecutionBlocker
from marquetry.engine.validation import topological_order

if TYPE_CHECKING:
    from marquetry.engine.execution.run import Run


MAX_ID_LENGTH = 1_000_000  # ids of nested expansions hold those of all parents


class Grown:
    """A node between its expansion and its outputs. `needs` are the indexes whose results it is made of."""

    __slots__ = ("duration_s", "inner_ui", "needs", "returned", "ui")

    def __init__(self, returned: Sequence[Returned], ui: dict[str, Any] | None, duration_s: float) -> None:
        self.returned = returned
        self.ui = ui
        self.duration_s = duration_s
        self.needs: list[int] = []
        self.inner_ui: list[tuple[str, str, dict[str, Any]]] = []


class Growth:
    """What one run knows of expansions, and of nodes that needed more than one try."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.grown: dict[int, Grown] = {}
        self.waiting: set[int] = set()
        self.tries: dict[int, int] = {}
        self.relieved: dict[int, set[str]] = {}
        self.tainted: set[str] = set()
        self._own_lists = False
        self._added = 0

    def expand(self, index: int, planned: PlannedNode, returned: Sequence[Returned], ui: dict[str, Any] | None, duration_s: float) -> None:
        """Add the nodes of the expansion, and let the node wait for them. Raises GraphError for ids that clash, cycles and size."""
        run = self.run
        limits = run.executor.limits
        if planned.depth >= limits.expansion_depth:
            raise GraphError(f"node '{planned.id}' lies {planned.depth} expansions deep; at most {limits.expansion_depth} are allowed")
        grown = Grown(returned, ui, duration_s)
        with run.lock:
            new = self._add(index, planned, returned)
            references = [value[0] for part in returned if part.expand is not None for value in _values(part) if is_link(value)]
            outputs = [id for id in new if run.nodes[run.index[id]].type.is_output]
            for id in references:
                if id not in run.index:
                    raise GraphError(f"node '{planned.id}' gave a link to '{id}', which is not in its graph", node_id=planned.id)
            grown.needs = [run.index[id] for id in dict.fromkeys([*references, *outputs])]
            self.grown[index] = grown
            run.listener(NodeExpanded(job_id=run.job_id, time_ms=now_ms(), node_id=planned.id, display_id=planned.display_id,
                                      parent_id=planned.parent_id, node_ids=list(new)))  # fmt: skip
            self.waiting.add(index)
            run.pause(index)
            missing = run.require(index, grown.needs)
            for id in outputs:
                known = run.results.get(run.index[id])
                if known is not None:
                    run.show_cached(run.index[id], known)
                    self.note_ui(run.nodes[run.index[id]], known)
            if not missing:
                run.enqueue(index)

    def gather(self, index: int) -> None:
        """The nodes of the expansion are done: make the outputs of the node that grew."""
        run = self.run
        planned = run.nodes[index]
        with run.lock:
            grown = self.grown.pop(index)
            self.waiting.discard(index)
            slots: list[list[Any]] = []
            for number, output in enumerate(planned.type.outputs):
                values: list[Any] = []
                for part in grown.returned:
                    values.extend(self._slot(planned, part, number, output.is_list))
                slots.append(values)
            for need in grown.needs:
                run.release(need)
        result = Result(tuple(slots), grown.ui, grown.duration_s)
        result.inner_ui = grown.inner_ui or None
        result.made_by = planned.id
        result.shareable = not has_blocker(result.outputs)
        run.settle(index, result, duration_s=grown.duration_s)

    def note_ui(self, planned: PlannedNode, result: Result) -> None:
        """Remember what an inner node shows, so that it is shown again when the node that grew comes from the cache."""
        if planned.parent_id is None or (result.ui is None and result.inner_ui is None):
            return
        grown = self.grown.get(self.run.index[planned.parent_id])
        if grown is None:
            return
        if result.ui is not None:
            grown.inner_ui.append((planned.id, planned.display_id, result.ui))
        grown.inner_ui += result.inner_ui or ()

    def inner_events(self, planned: PlannedNode, result: Result) -> Iterator[NodeFinished]:
        """What the nodes inside a cached expansion showed, under the ids that they would have here."""
        run = self.run
        for id, display_id, ui in result.inner_ui or ():
            display = planned.display_id if display_id == result.made_by else display_id
            yield NodeFinished(job_id=run.job_id, time_ms=now_ms(), node_id=_moved(id, result.made_by, planned.id), display_id=display,
                               parent_id=planned.id, ui=ui, cached=True)  # fmt: skip

    def is_inside(self, index: int, outer: int) -> bool:
        """Whether a node was made, at any depth, by the expansion of another."""
        run = self.run
        parent_id = run.nodes[index].parent_id
        while parent_id is not None:
            if run.index[parent_id] == outer:
                return True
            parent_id = run.nodes[run.index[parent_id]].parent_id
        return False

    def is_tainted(self, planned: PlannedNode) -> bool:
        """Whether the result follows from a bypassed node: it is not what its key says then."""
        if not self.tainted:
            return False
        nodes = self.run.nodes
        if any(nodes[parent].id in self.tainted for parent in planned.parents):
            self.tainted.add(planned.id)
        if any(nodes[parent].id in self.tainted for _, parent, _ in planned.lazy or ()):
            self.tainted.add(planned.id)
        return planned.id in self.tainted

    def expanded_entry(self, id: str, viewer: PlannedNode) -> tuple[dict[str, Any], str, str, str] | None:
        """A node made by expansion as API JSON, with its parent, display and origin ids, if `viewer` may see it."""
        index = self.run.index.get(id)
        if index is None:
            return None
        planned = self.run.nodes[index]
        if planned.parent_id is None or not _sees(viewer, planned):
            return None
        return Graph({id: planned.node}).to_api()[id], planned.parent_id, planned.display_id, planned.origin_id

    def seen_by(self, viewer: PlannedNode) -> set[str]:
        """The ids of all nodes that a node may see: those inside a sealed graph are seen from inside it only."""
        if self.run.plan.graph.opened is None:
            return set(self.run.index)
        return {id for id, index in self.run.index.items() if _sees(viewer, self.run.nodes[index])}

    def _stay_outside(self, planned: PlannedNode, inner: Graph, references: Iterable[str]) -> None:
        """Raise GraphError for a link into a sealed graph that the growing node is not inside of; as for one that is not there."""
        run = self.run
        links = [value.node_id for node in inner.nodes.values() for value in node.inputs.values() if type(value) is Link]
        for id in (*links, *references):
            index = run.index.get(id)
            if index is not None and not _sees(planned, run.nodes[index]):
                raise GraphError(f"node '{planned.id}' gave a link to '{id}', which is not in its graph", node_id=planned.id)

    def _add(self, index: int, planned: PlannedNode, returned: Sequence[Returned]) -> list[str]:
        run = self.run
        limits = run.executor.limits
        entries: dict[str, Any] = {}
        for part in returned:
            for id, entry in (part.expand or {}).items():
                if id in run.index or id in entries or id in run.plan.graph.nodes:
                    raise GraphError(f"node '{planned.id}' expanded into a node '{id}', an id that is taken already", node_id=planned.id)
                entries[id] = entry
        self._added += len(entries)
        if self._added > limits.expanded_nodes:
            raise GraphError(f"the graph grew by more than {limits.expanded_nodes} nodes while it ran", node_id=planned.id)
        inner = Graph.from_api(entries, replace(limits, id_length=MAX_ID_LENGTH), measured=False)
        if run.plan.graph.opened is not None:
            given = [value[0] for part in returned if part.expand is not None for value in _values(part) if is_link(value)]
            self._stay_outside(planned, inner, given)
        missing = [link.node_id for node in inner.nodes.values() for link in node.inputs.values() if _outside(link, inner, run)]
        outer = run.plan.graph.ancestors(missing) - run.index.keys()
        scope = Graph({**{id: run.plan.graph.nodes[id] for id in outer}, **inner.nodes})
        order, stuck = topological_order(scope, scope.nodes)
        if stuck:
            ring = Graph({id: scope.nodes[id] for id in stuck}).cycle()
            raise GraphError(f"node '{planned.id}' expanded into a graph with a cycle: {' -> '.join(ring)}", node_id=planned.origin_id)
        if not self._own_lists:
            run.own_lists()
            self._own_lists = True
        for id in order:
            node = scope.nodes[id]
            new = arrange(node, current_type(run.executor.registry, node.type_id), run.index)
            if id in inner.nodes:
                new.parent_id, new.origin_id, new.depth = planned.id, planned.origin_id, planned.depth + 1
                new.seal = planned.seal
                shown_on = run.index.get(node.display_id) if node.display_id is not None else None
                new.display_id = planned.display_id if node.display_id is None else node.display_id
                if shown_on is not None:
                    new.display_id = run.nodes[shown_on].display_id  # what is itself shown elsewhere leads on to there
            run.index[id] = len(run.nodes)
            run.nodes.append(new)
        run.identify_new(run.keys[index])
        return list(inner.nodes)

    def _slot(self, planned: PlannedNode, part: Returned, number: int, is_list: bool) -> list[Any]:
        if isinstance(part.values, ExecutionBlocker):
            return [part.values]
        if number >= len(part.values):
            raise GraphError(f"'{planned.type.id}' gave {len(part.values)} values; it declares {len(planned.type.outputs)} outputs")
        value = part.values[number]
        if part.expand is not None and is_link(value):
            outputs = self.run.results[self.run.index[value[0]]].outputs
            slot = int(value[1])
            if slot >= len(outputs):
                raise GraphError(f"node '{planned.id}' gave a link to output {slot} of '{value[0]}', which has {len(outputs)}")
            return outputs[slot]
        if is_list and not isinstance(value, ExecutionBlocker):
            return list(value)
        return [value]


def _sees(viewer: PlannedNode, planned: PlannedNode) -> bool:
    return planned.seal is None or planned.seal is viewer.seal


def _values(part: Returned) -> Sequence[Any]:
    return () if isinstance(part.values, ExecutionBlocker) else part.values


def _outside(value: Any, inner: Graph, run: Run) -> bool:
    return (
        type(value) is Link
        and value.node_id not in inner.nodes
        and value.node_id not in run.index
        and value.node_id in run.plan.graph.nodes
    )


def _moved(id: str, from_id: str, to_id: str) -> str:
    return to_id + id[len(from_id) :] if from_id and id.startswith(from_id) else id
