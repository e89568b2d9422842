"""Sealed graphs: graphs that stand as one node of another and keep their inside to themselves.

Before a run they are put in the place of the nodes that stand for them, so that every node inside has its own identity, laziness and usage.
A gate under the id of the node that stood there gives its outputs. What was inside is told to nobody who listens but as usage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from marquetry.engine.errors import EngineError, GraphError
from marquetry.engine.graph import NO_POLICY, Graph, Link, Node
from marquetry.engine.outcome import ExecutionBlocker
from marquetry.engine.schema import Input, NodeType, Output
from marquetry.engine.usage import Usage, UsageRule, largest

PREFIX = "listing:"
MARK = "#"  # between the id of the node that stood there and those of what it stood for; ids inside never hold it
MAX_DEPTH = 16
OPERATION = "graph.use"


@dataclass(frozen=True, slots=True)
class Bound:
    """An input of a sealed graph: the node inside, and its input, that get the value."""

    name: str
    node_id: str
    input: str


@dataclass(frozen=True, slots=True)
class Given:
    """An output of a sealed graph: the output inside that it is."""

    name: str
    node_id: str
    slot: int
    type: Any = "*"


@dataclass(frozen=True, slots=True, eq=False)
class Sealed:
    """`type_id` names it, `content` is the hash of all that it is. What the nodes in `shows` show to clients is shown on the node that stands
    for it; steps and previews of those in `previews` are its own."""

    type_id: str
    title: str
    content: str
    graph: Graph
    inputs: tuple[Bound, ...]
    outputs: tuple[Given, ...]
    shows: tuple[str, ...] = ()
    previews: tuple[str, ...] = ()

    @property
    def domain(self) -> bytes:
        """Part of the identity of everything inside: nobody learns by a shared result what it is made of."""
        return b"sealed " + self.content.encode()


@dataclass(frozen=True, slots=True)
class Seal:
    """Where a node inside belongs: the gate around it, the submitted node around all, and what stands there."""

    gate_id: str
    outer_id: str
    outer: Sealed
    domain: bytes


@dataclass(slots=True)
class Opened:
    """What is known of a graph whose sealed graphs were put in place. `submitted` is the graph as it came; `seals` say of each node inside
    where it belongs; `names` by which inputs of the submitted node it is reached; `types` are the gates'; `gates` the submitted ones by id."""

    submitted: Graph
    seals: dict[str, Seal] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    types: dict[str, NodeType] = field(default_factory=dict)
    gates: dict[str, Sealed] = field(default_factory=dict)
    previews: set[str] = field(default_factory=set)
    shown: set[str] = field(default_factory=set)

    def outer_id(self, id: str) -> str:
        """The submitted node that a node is inside of, or itself."""
        seal = self.seals.get(id)
        return id if seal is None else seal.outer_id


def stands_for(graph: Graph) -> list[str]:
    """The types of sealed graphs that nodes of a graph name."""
    return list(dict.fromkeys(node.type_id for node in graph.nodes.values() if node.type_id.startswith(PREFIX)))


def opened(graph: Graph, sealed: Mapping[str, Sealed], max_nodes: int, *, for_check: bool = False) -> Graph:
    """The graph with every sealed graph in the place of the nodes that stand for it. `for_check`: gates don't wait for what is shown.

    Raises GraphError when one is not known, or when it grows beyond `max_nodes`; never says what is inside.
    """
    return _Opening(graph, sealed, max_nodes, for_check).graph()


def told(graph: Graph | None, error: Exception) -> tuple[str, str]:
    """Code and message of why a graph can't be planned; where sealed graphs are inside, nothing that may come from there."""
    if graph is not None and graph.opened is not None:
        return "published_graph_failed", "the job can't be planned: a published graph in it can't run here"
    return error.code if isinstance(error, EngineError) else "job_failed", str(error) or repr(error)


class _Opening:
    def __init__(self, graph: Graph, sealed: Mapping[str, Sealed], max_nodes: int, for_check: bool) -> None:
        self.submitted = graph
        self.sealed = sealed
        self.max_nodes = max_nodes
        self.for_check = for_check
        self.mark = MARK
        while any(self.mark in id for id in graph.nodes):
            self.mark += MARK
        self.nodes: dict[str, Node] = {}
        self.found = Opened(graph)

    def graph(self) -> Graph:
        used = _used(self.submitted.nodes.values())
        for id, node in self.submitted.nodes.items():
            if node.type_id.startswith(PREFIX):
                sealed = self._find(node)
                self.found.gates[id] = sealed
                self._place(node, sealed, used.get(id, set()), {bound.name: bound.name for bound in sealed.inputs}, None, 1)
            else:
                self.nodes[id] = node
        return Graph(self.nodes, opened=self.found)

    def _find(self, node: Node) -> Sealed:
        sealed = self.sealed.get(node.type_id)
        if sealed is None:
            raise GraphError(f"there is no published graph '{node.type_id}', or it may not be used here", node_id=node.id)
        return sealed

    def _place(self, node: Node, sealed: Sealed, used: set[int], names: Mapping[str, str], around: Seal | None, depth: int) -> None:
        """Put `sealed` in the place of `node`, whose inputs are links and literals of the graph that is being made."""
        outer_id = node.id if around is None else around.outer_id
        outer = sealed if around is None else around.outer
        if depth > MAX_DEPTH:
            raise GraphError(f"'{outer.type_id}' holds published graphs more than {MAX_DEPTH} deep", node_id=outer_id)
        prefix = node.id + self.mark
        seal = Seal(node.id, outer_id, outer, sealed.domain)
        wanted = [given.node_id for number, given in enumerate(sealed.outputs) if number in used]
        needed = sealed.graph.ancestors([*wanted, *(sealed.shows if around is None else ())])
        if len(self.nodes) + len(needed) > self.max_nodes:
            raise GraphError(f"with '{outer.type_id}' the graph has more than {self.max_nodes} nodes", node_id=outer_id)
        bound = {(place.node_id, place.input): place.name for place in sealed.inputs}
        inside = _used(sealed.graph.nodes[id] for id in sealed.graph.nodes if id in needed)
        for number, given in enumerate(sealed.outputs):
            if number in used:
                inside.setdefault(given.node_id, set()).add(given.slot)
        for id in sealed.graph.nodes:
            if id in needed:
                self._inner(sealed.graph.nodes[id], prefix, bound, node, names, seal, inside.get(id, set()), depth)
        self.found.previews.update(prefix + id for id in sealed.previews if around is None)
        self._gate(node, sealed, prefix, used, around)

    def _inner(
        self, node: Node, prefix: str, bound: Mapping[tuple[str, str], str], outside: Node, names: Mapping[str, str], seal: Seal,
        used: set[int], depth: int,
    ) -> None:  # fmt: skip
        id = prefix + node.id
        inputs = {name: Link(prefix + value.node_id, value.slot) if type(value) is Link else value for name, value in node.inputs.items()}
        reached: dict[str, str] = {}
        for (node_id, input), name in bound.items():
            if node_id != node.id:
                continue
            if name in outside.inputs:
                inputs[input] = outside.inputs[name]
            if name in names:
                reached[input] = names[name]
        placed = Node(id, node.type_id, inputs, policy=node.policy)
        if reached:
            self.found.names[id] = list(dict.fromkeys(reached.values()))
        self.found.seals[id] = seal
        if node.type_id.startswith(PREFIX):
            self._place(placed, self._nested(node, seal), used, reached, seal, depth + 1)
        else:
            self.nodes[id] = placed

    def _nested(self, node: Node, seal: Seal) -> Sealed:
        sealed = self.sealed.get(node.type_id)
        if sealed is None:
            raise GraphError(f"'{seal.outer.type_id}' needs a published graph that is not there any more", node_id=seal.outer_id)
        return sealed

    def _gate(self, node: Node, sealed: Sealed, prefix: str, used: set[int], around: Seal | None) -> None:
        links: dict[str, Any] = {
            str(number): Link(prefix + given.node_id, given.slot) for number, given in enumerate(sealed.outputs) if number in used
        }
        shows = sealed.shows if around is None else ()  # a nested graph shows nothing: whoever uses it decides what is seen
        for number, id in enumerate(shows):
            self.found.shown.add(prefix + id)
            if not self.for_check:
                links[f"shown {number:04}"] = Link(prefix + id, 0)
        self.found.types[_gate_id(sealed, around)] = gate(sealed, around is None)
        self.nodes[node.id] = Node(node.id, _gate_id(sealed, around), links, policy=NO_POLICY)


def _gate_id(sealed: Sealed, around: Seal | None) -> str:
    return sealed.type_id if around is None else f"{sealed.type_id} inside"


@lru_cache(maxsize=256)
def gate(sealed: Sealed, outermost: bool) -> NodeType:
    """The node type that gives a sealed graph's outputs: values and lists pass as they are, reasons of blocked ones don't."""
    names = [str(number) for number in range(len(sealed.outputs))]
    shown = [f"shown {number:04}" for number in range(len(sealed.shows))] if outermost else []
    return NodeType(
        id=sealed.type_id if outermost else f"{sealed.type_id} inside",
        title=sealed.title,
        category="",
        call=_passing(sealed, len(names)),
        inputs=(
            *(Input(name, given.type, required=False) for name, given in zip(names, sealed.outputs, strict=True)),
            *(Input(name, "*", required=False, raw_link=True) for name in shown),
        ),
        outputs=tuple(Output(given.type, given.name, is_list=True) for given in sealed.outputs),
        version=sealed.content,
        is_output=bool(shown),
        input_is_list=True,
        catches=frozenset(names),
        passes_blocked=True,
        usage=_use(sealed),
        extent=largest(*names),
        shows_linked=bool(shown),
    )


def _passing(sealed: Sealed, count: int) -> Callable[..., tuple[list[Any], ...]]:
    def give(**values: Any) -> tuple[list[Any], ...]:
        return tuple([_quiet(value, sealed) for value in values.get(str(number), [None])] for number in range(count))

    return give


def _quiet(value: Any, sealed: Sealed) -> Any:
    if type(value) is ExecutionBlocker and value.message:
        return ExecutionBlocker(f"'{sealed.title}' ({sealed.type_id}) gave nothing here")
    return value


def _use(sealed: Sealed) -> UsageRule:
    used = (Usage(OPERATION, 1, (sealed.content,)),)
    return lambda inputs: used


def _used(nodes: Iterable[Node]) -> dict[str, set[int]]:
    """Which outputs of which nodes are linked from."""
    used: dict[str, set[int]] = {}
    for node in nodes:
        for value in node.inputs.values():
            if type(value) is Link:
                used.setdefault(value.node_id, set()).add(value.slot)
    return used
