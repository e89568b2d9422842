"""The editor's file as it stands: nodes with positions and widgets, links, subgraph definitions. Both schemas, also mixed in one file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from marquetry.engine.errors import GraphError

NodeId: TypeAlias = int | str
MUTED, BYPASSED = 2, 4
INPUT_NODE, OUTPUT_NODE = -10, -20
RENAMED: Mapping[str, str] = {
    "T2IAdapterLoader": "ControlNetLoader",
    "ConditioningAverage ": "ConditioningAverage",
    "SDV_img2vid_Conditioning": "SVD_img2vid_Conditioning",
}


@dataclass(frozen=True, slots=True)
class Slot:
    """An input or output of a node. `widget` names the widget whose value the input stands in for."""

    name: str
    type: Any
    link: int | None = None
    widget: str | None = None
    links: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EditorLink:
    """From an output to an input."""

    id: int
    origin_id: NodeId
    origin_slot: int
    target_id: NodeId
    target_slot: int


@dataclass(frozen=True, slots=True)
class EditorNode:
    """A node as it was saved. `values` are its `widgets_values`: a list, an object by name, or None."""

    id: NodeId
    type: str
    mode: int = 0
    title: str | None = None
    inputs: tuple[Slot, ...] = ()
    outputs: tuple[Slot, ...] = ()
    values: Any = None
    named_values: Mapping[str, Any] | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def silent(self) -> bool:
        """Whether the node is muted or bypassed."""
        return self.mode in (MUTED, BYPASSED)

    @property
    def search_name(self) -> str:
        """The name by which text replacements find the node."""
        return str(self.properties.get("Node name for S&R") or self.title or self.type)

    def input(self, name: str) -> Slot | None:
        return next((slot for slot in self.inputs if slot.name == name), None)


@dataclass(frozen=True, slots=True)
class EditorGraph:
    """The nodes and links of a file, or of one subgraph definition, whose own `inputs` and `outputs` are then its borders."""

    nodes: Mapping[NodeId, EditorNode]
    links: Mapping[int, EditorLink]
    inputs: tuple[Slot, ...] = ()
    outputs: tuple[Slot, ...] = ()
    id: str = ""
    name: str = ""

    def into_output(self, slot: int) -> EditorLink | None:
        """The link into an output of the subgraph."""
        return next((link for link in self.links.values() if link.target_id == OUTPUT_NODE and link.target_slot == slot), None)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole file: the graph that is seen, and the definitions of the subgraphs that it uses, by id."""

    graph: EditorGraph
    definitions: Mapping[str, EditorGraph]


def read_document(raw: Any) -> Document:
    """Read the editor's JSON. Raises GraphError for what is not of its form."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("nodes"), list):
        raise GraphError("a graph in the editor's format is an object with a list of nodes")
    definitions: dict[str, EditorGraph] = {}
    pending: list[Any] = [raw]
    while pending:
        owner = pending.pop()
        for definition in _list(_mapping(owner.get("definitions")).get("subgraphs")):
            graph = _graph(_mapping(definition))
            if graph.id and graph.id not in definitions:
                definitions[graph.id] = graph
                pending.append(definition)
    return Document(_graph(raw), definitions)


def _graph(raw: Mapping[str, Any]) -> EditorGraph:
    links = {link.id: link for link in _links(raw.get("links"))}
    nodes = {node.id: node for node in (_node(entry) for entry in _list(raw.get("nodes")))}
    return EditorGraph(
        nodes=_with_broadcasts(nodes, links, _mapping(raw.get("extra")).get("ue_links")),
        links=links,
        inputs=tuple(_slots(raw.get("inputs"))),
        outputs=tuple(_slots(raw.get("outputs"))),
        id=str(raw.get("id", "")),
        name=str(raw.get("name", "")),
    )


def _node(raw: Any) -> EditorNode:
    entry = _mapping(raw)
    id, kind = entry.get("id"), entry.get("type")
    if not isinstance(id, (int, str)) or not isinstance(kind, str):
        raise GraphError(f"every node of a graph has an id and a type; one has id {id!r} and type {kind!r}")
    named = entry.get("widgets_values_named")
    title = entry.get("title")
    return EditorNode(
        id=id,
        type=RENAMED.get(kind, kind),
        mode=entry["mode"] if isinstance(entry.get("mode"), int) else 0,
        title=title if isinstance(title, str) else None,
        inputs=tuple(_slots(entry.get("inputs"))),
        outputs=tuple(_slots(entry.get("outputs"))),
        values=entry.get("widgets_values"),
        named_values=named if isinstance(named, Mapping) else None,
        properties=_mapping(entry.get("properties")),
    )


def _slots(raw: Any) -> Iterable[Slot]:
    for entry in (_mapping(entry) for entry in _list(raw)):
        link = entry.get("link")
        widget = _mapping(entry.get("widget")).get("name")
        yield Slot(
            name=str(entry.get("name", "")),
            type=entry.get("type", "*"),
            link=link if isinstance(link, int) else None,
            widget=widget if isinstance(widget, str) else None,
            links=tuple(id for id in _list(entry.get("links") or entry.get("linkIds")) if isinstance(id, int)),
        )


def _links(raw: Any) -> Iterable[EditorLink]:
    entries = list(raw.values()) if isinstance(raw, Mapping) else _list(raw)
    for entry in entries:
        if isinstance(entry, list) and len(entry) >= 5:
            parts = entry[:5]
        elif isinstance(entry, Mapping):
            parts = [entry.get(key) for key in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
        else:
            continue
        id, origin, origin_slot, target, target_slot = parts
        if isinstance(id, int) and isinstance(origin, (int, str)) and isinstance(target, (int, str)) and isinstance(origin_slot, int):
            yield EditorLink(id, origin, origin_slot, target, target_slot if isinstance(target_slot, int) else -1)


def _with_broadcasts(nodes: dict[NodeId, EditorNode], links: dict[int, EditorLink], raw: Any) -> Mapping[NodeId, EditorNode]:
    """Nodes with the wires that cg-use-everywhere draws: saved beside the links, each filling one unconnected input."""
    for entry in (_mapping(entry) for entry in _list(raw)):
        target, origin = _known(nodes, entry.get("downstream")), _known(nodes, entry.get("upstream"))
        slot, origin_slot = entry.get("downstream_slot"), entry.get("upstream_slot")
        if target is None or origin is None or not isinstance(slot, int) or not isinstance(origin_slot, int) or slot >= len(target.inputs):
            continue
        if target.inputs[slot].link is not None:
            continue
        id = max(links, default=0) + 1
        links[id] = EditorLink(id, origin.id, origin_slot, target.id, slot)
        old = target.inputs[slot]
        filled = Slot(old.name, old.type, id, old.widget)
        inputs = (*target.inputs[:slot], filled, *target.inputs[slot + 1 :])
        nodes[target.id] = EditorNode(
            target.id, target.type, target.mode, target.title, inputs, target.outputs, target.values, target.named_values, target.properties
        )
    return nodes


def _known(nodes: Mapping[NodeId, EditorNode], id: Any) -> EditorNode | None:
    if isinstance(id, str) and id.isdecimal() and int(id) in nodes:
        return nodes[int(id)]
    return nodes.get(id) if isinstance(id, (int, str)) else None


def _mapping(raw: Any) -> Mapping[str, Any]:
    return raw if isinstance(raw, Mapping) else {}


def _list(raw: Any) -> list[Any]:
    return raw if isinstance(raw, list) else []
