"""Plan: a graph made ready to run, parents before children, with indexes instead of names. One plan serves many runs."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping
from typing import Any

from marquetry.engine.errors import GraphError, UnknownNodeType
from marquetry.engine.graph import Graph, Link, Node, Policy
from marquetry.engine.schema import NodeType
from marquetry.engine.sealed import Opened, Seal
from marquetry.engine.validation import order_of


class PlannedNode:
    """A node with its inputs sorted by what the executor does with them.

    `links` are (input name, index of the parent, slot), sorted by name; `lazy` the same, made only when asked for; `raw` are given to
    the node as links. `parents` are all that must be done first: of `links`, then of `raw`. `origin_id` is the submitted node that
    this one was expanded from, or itself.
    """

    display_id: str
    origin_id: str
    parent_id: str | None = None
    depth = 0
    lazy: list[tuple[str, int, int]] | None = None
    raw: list[tuple[str, int, int]] | None = None
    files: list[tuple[str, str]] | None = None
    static: bytes | None = None  # the part of the node's identity that does not change between runs
    unhashable = False
    simple = False  # see `is_simple`
    plain_key = False  # its key is made of nothing but literals and parents
    seal: Seal | None = None  # the sealed graph that it is inside of

    def __init__(self, node: Node, node_type: NodeType) -> None:
        self.id = self.origin_id = node.id
        self.display_id = node.display_id or node.id
        self.node = node
        self.type = node_type
        self.constants: dict[str, Any] = {}
        self.links: list[tuple[str, int, int]] = []
        self.parents: list[int] = []

    @property
    def policy(self) -> Policy:
        return self.node.policy


class Plan:
    """Planned nodes in topological order. `index` finds them by id; `outputs` are the indexes of what is asked for."""

    def __init__(self, graph: Graph, types: Mapping[str, NodeType], outputs: Iterable[str]) -> None:
        self.graph = graph
        self.nodes: list[PlannedNode] = []
        self.index: dict[str, int] = {}
        wanted = list(outputs)
        order, stuck = order_of(graph, tuple(wanted))
        if stuck:
            ring = Graph({id: graph.nodes[id] for id in stuck}).cycle()
            raise GraphError(f"the graph has a cycle: {' -> '.join(ring)}", cycle=list(ring))
        current: dict[str, NodeType] = {}
        nodes, index = self.nodes, self.index
        opened = graph.opened
        if opened is not None:
            types = ChainMap(opened.types, types)  # type: ignore[arg-type]  # nothing is written to it
        for id in order:
            node = graph.nodes[id]
            node_type = current.get(node.type_id)
            if node_type is None:
                node_type = current[node.type_id] = current_type(types, node.type_id)
            index[id] = len(nodes)
            nodes.append(arrange(node, node_type, index))
            if opened is not None:
                _seal(nodes[-1], opened)
        self.outputs = [self.index[id] for id in wanted]
        self.dynamic = any(
            planned.type.fingerprint is not None or planned.files or planned.type.refresh is not None for planned in self.nodes
        )
        self.keys: dict[str, tuple[list[bytes], set[int]]] = {}  # by owner, when the plan is not dynamic
        self._api: dict[str, Any] | None = None

    def api(self) -> dict[str, Any]:
        """The submitted graph as API JSON, without what is inside sealed graphs; made once."""
        if self._api is None:
            opened = self.graph.opened
            self._api = (self.graph if opened is None else opened.submitted).to_api()
        return self._api

    def forget_api(self) -> None:
        """The graph was edited: its JSON is made anew when somebody asks."""
        self._api = None


def current_type(types: Mapping[str, NodeType], id: str) -> NodeType:
    """The node type as it describes itself now. Raises UnknownNodeType."""
    node_type = types.get(id)
    if node_type is None:
        raise UnknownNodeType(f"no node type '{id}' is installed", id=id)
    return node_type if node_type.refresh is None else node_type.refresh()


def arrange(node: Node, node_type: NodeType, index: Mapping[str, int]) -> PlannedNode:
    """Sort the inputs of a node whose parents are in `index`. Constants that the node type does not know are dropped."""
    planned = PlannedNode(node, node_type)
    known = _declared.get(id(node_type))
    if known is None or known[0] is not node_type:
        known = _declare(node_type)
    _, declared, planned.simple, planned.plain_key = known
    links = planned.links
    for name, value in node.inputs.items():
        about = declared.get(name)
        if type(value) is Link:
            parent = index.get(value.node_id)
            if parent is None:
                raise GraphError(
                    f"node '{node.id}', input '{name}' is linked from '{value.node_id}', which is not in the graph", node_id=node.id
                )
            if not about:
                links.append((name, parent, value.slot))
            elif about & LAZY:
                planned.lazy = [*(planned.lazy or ()), (name, parent, value.slot)]
            elif about & RAW:
                planned.raw = [*(planned.raw or ()), (name, parent, value.slot)]
            else:
                links.append((name, parent, value.slot))
        elif about is not None:
            planned.constants[name] = value
            if about & FILE and type(value) is str:
                _note_file(planned, name, value)
        elif node_type.claims is not None and node_type.claims(name):
            planned.constants[name] = value
    if len(links) > 1:
        links.sort()
    if links:
        planned.parents = [link[1] for link in links]
    if planned.raw is not None:
        planned.raw.sort()
        planned.parents += [parent for _, parent, _ in planned.raw]
    if planned.lazy is not None:
        planned.lazy.sort()
    return planned


def _seal(planned: PlannedNode, opened: Opened) -> None:
    """Let a node inside a sealed graph be known as one that the gate around it made."""
    seal = opened.seals.get(planned.id)
    if seal is not None:
        planned.seal, planned.parent_id = seal, seal.gate_id
        planned.display_id = planned.origin_id = seal.outer_id


def _note_file(planned: PlannedNode, name: str, value: str) -> None:
    declared = planned.type.input(name)
    if declared is not None and declared.file_kind is not None and value not in declared.also:
        planned.files = [*(planned.files or ()), (declared.file_kind, value)]


PLAIN, LAZY, RAW, FILE = 0, 1, 2, 4
KNOWN_HIDDEN = frozenset({"PROMPT", "DYNPROMPT", "EXTRA_PNGINFO", "UNIQUE_ID", "AUTH_TOKEN_COMFY_ORG", "API_KEY_COMFY_ORG"})
_declared: dict[int, tuple[NodeType, dict[str, int], bool, bool]] = {}


def _declare(node_type: NodeType) -> tuple[NodeType, dict[str, int], bool, bool]:
    """What the planner must know of a node type: for each input whether it is plain, lazy, raw or a file; and whether it is simple.

    Hidden entries that are no known kind count as inputs.
    """
    about = {
        declared.name: LAZY * declared.lazy | RAW * declared.raw_link | FILE * (declared.file_kind is not None)
        for declared in node_type.inputs
    }
    for name, kind in node_type.hidden.items():
        if not (isinstance(kind, str) and kind in KNOWN_HIDDEN):
            about.setdefault(name, PLAIN)
    if len(_declared) > 20_000:
        _declared.clear()
    known = _declared[id(node_type)] = (node_type, about, is_simple(node_type), has_plain_key(node_type))
    return known


def is_simple(node_type: NodeType) -> bool:
    """Whether it is a plain function of single values with one output: the common case, which `steps` runs in one piece."""
    return (
        node_type.bare
        and not node_type.outputs[0].is_list
        and not node_type.hidden
        and not node_type.input_is_list
        and not node_type.is_async
        and not node_type.optional_under_load
        and node_type.lane != "io"
        and node_type.instance is None
        and node_type.wants_context is None
        and node_type.usage is None
        and not any(declared.lazy or declared.raw_link for declared in node_type.inputs)
    )


def has_plain_key(node_type: NodeType) -> bool:
    """Whether nothing joins the identity of its nodes but literals and what they are linked from."""
    return (
        node_type.fingerprint is None
        and not node_type.private
        and not node_type.is_output
        and node_type.lane != "device"
        and not any(declared.lazy or declared.file_kind is not None for declared in node_type.inputs)
    )
