"""Graph: nodes, literals and links, immutable. Read from API JSON; everything a stranger sends is checked here for form and size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from marquetry.engine.errors import GraphError

if TYPE_CHECKING:
    from marquetry.engine.sealed import Opened


class Link(NamedTuple):
    """The value of an input that is another node's output."""

    node_id: str
    slot: int


@dataclass(frozen=True, slots=True)
class GraphLimits:
    """How large a graph may be. `expanded_nodes` and `expansion_depth` bound what a graph grows to while it runs."""

    nodes: int = 50_000
    depth: int = 50_000
    inputs_per_node: int = 2_000
    literal_bytes: int = 16 * 2**20
    literal_depth: int = 64
    id_length: int = 1_000
    expanded_nodes: int = 200_000
    expansion_depth: int = 20_000


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do when a node fails: run it again up to `retries` times, then fail the job, or go on with blocked outputs."""

    retries: int = 0
    on_error: str = "fail"  # "fail" or "block"


NO_POLICY = Policy()


@dataclass(frozen=True, slots=True)
class Node:
    """One node. `inputs` holds a Link for a linked input, otherwise the literal. `display_id` is the node that the editor shows."""

    id: str
    type_id: str
    inputs: Mapping[str, Any]
    title: str | None = None
    display_id: str | None = None
    policy: Policy = NO_POLICY


@dataclass(frozen=True, slots=True)
class Graph(Mapping[str, Node]):
    """Nodes by id, in the order in which they were given.

    `published` holds what nodes of it stand for, as `server.published` writes it; `opened` says of a graph in which that was put in place
    what is inside of what.
    """

    nodes: Mapping[str, Node] = field(default_factory=dict)
    orders: dict[tuple[str, ...], list[str]] = field(default_factory=dict, compare=False, repr=False)  # see validation.order_of
    published: bytes = field(default=b"", compare=False, repr=False)
    opened: Opened | None = field(default=None, compare=False, repr=False)

    def __getitem__(self, id: str) -> Node:
        return self.nodes[id]

    def __iter__(self) -> Iterator[str]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    @classmethod
    def from_api(cls, prompt: Any, limits: GraphLimits = GraphLimits(), *, measured: bool = True) -> Graph:
        """Read `{id: {"class_type": ..., "inputs": {...}}}`.

        A list of a string and a number is a link; `{"__value__": [...]}` holds a list that is none. `measured`: the values are JSON of
        bounded size; those of graphs that nodes make may be any objects. Raises GraphError, naming the node.
        """
        if not isinstance(prompt, Mapping):
            raise GraphError(f"a graph is an object of nodes by id, not {_kind(prompt)}")
        if len(prompt) > limits.nodes:
            raise GraphError(f"the graph has {len(prompt)} nodes; at most {limits.nodes} are allowed", limit=limits.nodes)
        budget = _Budget(limits) if measured else None
        graph = cls({id: _node(id, raw, limits, budget) for id, raw in prompt.items()})
        if len(graph.nodes) > limits.depth and (depth := graph.depth()) > limits.depth:
            raise GraphError(f"the longest path of the graph has {depth} nodes; at most {limits.depth} are allowed", limit=limits.depth)
        return graph

    def to_api(self) -> dict[str, Any]:
        """The inverse of `from_api`."""
        return {id: _raw(node) for id, node in self.nodes.items()}

    def with_input(self, id: str, name: str, value: Any) -> Graph:
        """The same graph but for one input; nodes are shared. Raises KeyError for an unknown id."""
        node = self.nodes[id]
        changed = Node(id, node.type_id, {**node.inputs, name: value}, node.title, node.display_id, node.policy)
        return Graph({**self.nodes, id: changed})

    def ancestors(self, ids: Iterable[str]) -> set[str]:
        """The given nodes and everything that they are linked from, links to missing nodes left out."""
        found: set[str] = set()
        pending = [id for id in ids if id in self.nodes]
        while pending:
            id = pending.pop()
            if id in found:
                continue
            found.add(id)
            for value in self.nodes[id].inputs.values():
                if type(value) is Link and value.node_id not in found and value.node_id in self.nodes:
                    pending.append(value.node_id)
        return found

    def depth(self) -> int:
        """The number of nodes on the longest path; nodes on a cycle do not count."""
        parents = {
            id: {value.node_id for value in node.inputs.values() if type(value) is Link and value.node_id in self.nodes}
            for id, node in self.nodes.items()
        }
        children: dict[str, list[str]] = {}
        for id, links in parents.items():
            for parent in links:
                children.setdefault(parent, []).append(id)
        waiting = {id: len(links) for id, links in parents.items()}
        level = [id for id, count in waiting.items() if not count]
        depth = 0
        while level:
            depth += 1
            deeper: list[str] = []
            for id in level:
                for child in children.get(id, ()):
                    waiting[child] -= 1
                    if not waiting[child]:
                        deeper.append(child)
            level = deeper
        return depth

    def cycle(self) -> tuple[str, ...]:
        """The ids of one cycle, in the order of its links, or nothing."""
        import networkx

        links = networkx.DiGraph()
        for id, node in self.nodes.items():
            for value in node.inputs.values():
                if type(value) is Link and value.node_id in self.nodes:
                    links.add_edge(value.node_id, id)
        try:
            return tuple(edge[0] for edge in networkx.find_cycle(links))
        except networkx.NetworkXNoCycle:
            return ()


def is_link(value: Any) -> bool:
    """Whether a raw JSON value is a link: a list of a string and a number."""
    return type(value) is list and len(value) == 2 and type(value[0]) is str and type(value[1]) in (int, float)


class _Budget:
    __slots__ = ("bytes_left", "depth")

    def __init__(self, limits: GraphLimits) -> None:
        self.bytes_left = limits.literal_bytes
        self.depth = limits.literal_depth

    def take(self, count: int, where: str) -> None:
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise GraphError(f"the values of the graph are too large (at {where}); put pictures and other data into files", where=where)


def _node(id: Any, raw: Any, limits: GraphLimits, budget: _Budget | None) -> Node:
    if type(id) is not str or not id or len(id) > limits.id_length:
        raise GraphError(f"a node's id is a string of 1 to {limits.id_length} characters, not {str(id)[:40]!r}")
    if type(raw) is not dict:
        raise GraphError(f"node '{id}' is {_kind(raw)}, not an object with class_type and inputs", node_id=id)
    type_id = raw.get("class_type")
    if type(type_id) is not str or not type_id:
        raise GraphError(
            f"node '{id}' has no class_type, so it is not known what it is; the file may be in the editor's format",
            node_id=id,
            code="class_type",
        )
    given = raw.get("inputs")
    if given is None:
        given = {}
    if type(given) is not dict:
        raise GraphError(f"the inputs of node '{id}' are {_kind(given)}, not an object", node_id=id)
    if len(given) > limits.inputs_per_node:
        raise GraphError(f"node '{id}' has {len(given)} inputs; at most {limits.inputs_per_node} are allowed", node_id=id)
    inputs: dict[str, Any] = {}
    for name, value in given.items():
        kind = type(value)
        if kind is list:
            if len(value) == 2 and type(value[0]) is str and type(value[1]) in (int, float):
                value = Link(value[0], int(value[1]))
            elif budget is not None:
                _measure(value, budget, id, name)
        elif kind is str:
            if len(value) > 64 and budget is not None:
                budget.take(len(value), f"node '{id}', input '{name}'")
        elif kind is dict:
            if budget is not None:
                _measure(value, budget, id, name)
            if len(value) == 1 and "__value__" in value:
                value = value["__value__"]
        elif kind is float and budget is not None and not math.isfinite(value):
            raise GraphError(f"node '{id}', input '{name}': {value} is not a number that can be used", node_id=id)
        inputs[name] = value
    if len(raw) == 2:
        return Node(id, type_id, inputs)
    meta = raw.get("_meta")
    title = meta.get("title") if type(meta) is dict else None
    display = raw.get("override_display_id")
    return Node(
        id,
        type_id,
        inputs,
        title if type(title) is str else None,
        display if type(display) is str else None,
        _policy(id, raw.get("policy")),
    )


def _policy(id: str, raw: Any) -> Policy:
    if raw is None:
        return NO_POLICY
    if type(raw) is not dict or not raw.keys() <= {"retries", "on_error"}:
        raise GraphError(f"the policy of node '{id}' is an object with retries and on_error", node_id=id)
    retries, on_error = raw.get("retries", 0), raw.get("on_error", "fail")
    if type(retries) is not int or not 0 <= retries <= 10:
        raise GraphError(f"the policy of node '{id}' allows 0 to 10 retries, not {retries!r}", node_id=id)
    if on_error not in ("fail", "block"):
        raise GraphError(f"the policy of node '{id}': on_error is 'fail' or 'block', not {on_error!r}", node_id=id)
    return Policy(retries, on_error)


def _measure(value: Any, budget: _Budget, id: str, name: str) -> None:
    where = f"node '{id}', input '{name}'"
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > budget.depth:
            raise GraphError(f"{where}: the value is nested more than {budget.depth} deep", node_id=id)
        deeper: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                budget.take(16 * len(part) + sum(len(key) for key in part), where)
                deeper.extend(part.values())
            elif isinstance(part, list):
                budget.take(8 * len(part), where)
                deeper.extend(part)
            elif isinstance(part, str):
                budget.take(len(part), where)
            elif isinstance(part, float) and not math.isfinite(part):
                raise GraphError(f"{where}: {part} is not a number that can be used", node_id=id)
        level = deeper


def _raw(node: Node) -> dict[str, Any]:
    inputs = {name: _raw_value(value) for name, value in node.inputs.items()}
    raw: dict[str, Any] = {"class_type": node.type_id, "inputs": inputs}
    if node.title is not None:
        raw["_meta"] = {"title": node.title}
    if node.display_id is not None:
        raw["override_display_id"] = node.display_id
    if node.policy is not NO_POLICY:
        raw["policy"] = {"retries": node.policy.retries, "on_error": node.policy.on_error}
    return raw


def _raw_value(value: Any) -> Any:
    if type(value) is Link:
        return [value.node_id, value.slot]
    if is_link(value):
        return {"__value__": value}
    if type(value) is dict and len(value) == 1 and "__value__" in value:
        return {"__value__": value}
    return value


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        int: "a number",
        float: "a number",
        bool: "true or false",
        type(None): "null",
    }
    return names.get(type(value), type(value).__name__)
