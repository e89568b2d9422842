"""Following a link to what feeds it: through reroutes, bypassed nodes, named wires and the borders of subgraphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marquetry.engine.editor.document import BYPASSED, INPUT_NODE, MUTED, Document, EditorGraph, EditorLink, EditorNode, Slot
from marquetry.engine.editor.promoted import promoted_values
from marquetry.engine.schema import NodeType

REROUTES = frozenset({"Reroute", "Reroute (rgthree)"})
NOTES = frozenset({"Note", "MarkdownNote", "Label (rgthree)", "Bookmark (rgthree)"})
VIRTUAL = REROUTES | NOTES | {
    "PrimitiveNode", "SetNode", "GetNode", "Fast Muter (rgthree)", "Fast Bypasser (rgthree)", "Fast Groups Muter (rgthree)",
    "Fast Groups Bypasser (rgthree)", "Node Combiner (rgthree)", "Mute / Bypass Repeater (rgthree)", "Mute / Bypass Relay (rgthree)",
    "Random Unmuter (rgthree)",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """A graph at the place where it is used. `path` holds the ids of the subgraph instances around it."""

    graph: EditorGraph
    path: tuple[str, ...] = ()
    parent: Scope | None = None
    instance: EditorNode | None = None

    def id_of(self, node: EditorNode) -> str:
        """The node's id in the prompt."""
        return ":".join((*self.path, str(node.id)))


@dataclass(frozen=True, slots=True)
class Output:
    """The end of a link that a real node feeds."""

    node_id: str
    slot: int


@dataclass(frozen=True, slots=True)
class Constant:
    """The end of a link that a widget's value feeds. `node` is the widget's owner."""

    value: Any
    node: EditorNode


class Resolver:
    """Follows links through one document. Inner scopes are made once, so that a scope is the same object wherever it is met."""

    def __init__(self, document: Document, registry: Mapping[str, NodeType]) -> None:
        self.document = document
        self.registry = registry
        self._inner: dict[tuple[str, ...], Scope] = {}

    def inner(self, scope: Scope, instance: EditorNode) -> Scope | None:
        """The scope inside a subgraph instance, or None when the node is none."""
        definition = self.document.definitions.get(instance.type)
        if definition is None:
            return None
        path = (*scope.path, str(instance.id))
        if path not in self._inner:
            self._inner[path] = Scope(definition, path, scope, instance)
        return self._inner[path]

    def source(self, scope: Scope, link_id: int | None, wanted: Any) -> Output | Constant | None:
        """What feeds the link; `wanted` is the type of the input at its end. None when nothing does."""
        place: Scope = scope
        seen: set[tuple[int, int]] = set()
        while link_id is not None:
            link = place.graph.links.get(link_id)
            if link is None or (id(place), link_id) in seen:
                return None
            seen.add((id(place), link_id))
            if link.origin_id == INPUT_NODE:
                outer = self._outside(place, link)
                if outer is None or isinstance(outer, Constant):
                    return outer
                place, link_id = outer
                continue
            node = place.graph.nodes.get(link.origin_id)
            if node is None or node.mode == MUTED:
                return None
            if node.mode == BYPASSED:
                link_id = self._passed(node, link.origin_slot, wanted)
            elif node.type in REROUTES:
                link_id = node.inputs[0].link if node.inputs else None
            elif node.type == "GetNode":
                link_id = _named_wire(place.graph, node)
            elif node.type == "SetNode":
                link_id = node.inputs[0].link if node.inputs else None
            elif node.type == "PrimitiveNode":
                return Constant(node.values[0], node) if isinstance(node.values, list) and node.values else None
            elif node.type in VIRTUAL:
                return None
            else:
                within = self.inner(place, node)
                if within is None:
                    return Output(place.id_of(node), link.origin_slot)
                inside = within.graph.into_output(link.origin_slot)
                place, link_id = within, None if inside is None else inside.id
        return None

    def _outside(self, scope: Scope, link: EditorLink) -> tuple[Scope, int] | Constant | None:
        if scope.parent is None or scope.instance is None or not 0 <= link.origin_slot < len(scope.graph.inputs):
            return None
        name = scope.graph.inputs[link.origin_slot].name
        slot = scope.instance.input(name)
        if slot is not None and slot.link is not None:
            return scope.parent, slot.link
        promoted = promoted_values(scope.instance, scope.graph, self.document, self.registry)
        return Constant(promoted[name], scope.instance) if name in promoted else None

    def _passed(self, node: EditorNode, slot: int, wanted: Any) -> int | None:
        """The link that a bypassed node lets through to one of its outputs."""
        inputs = self._ordered_inputs(node)
        if not inputs:
            return None
        if wanted == "*":
            return inputs[slot if slot < len(inputs) else 0].link
        given = node.outputs[slot].type if slot < len(node.outputs) else wanted
        if slot < len(inputs) and compatible(inputs[slot].type, given) and compatible(inputs[slot].type, wanted):
            return inputs[slot].link
        equal = next((entry for entry in inputs if entry.type == wanted), None)
        match = equal or next((entry for entry in inputs if compatible(entry.type, wanted)), None)
        return None if match is None else match.link

    def _ordered_inputs(self, node: EditorNode) -> list[Slot]:
        """The inputs as the editor shows them once the file is open: sockets, then widgets, as declared, then what the file adds."""
        from marquetry.engine.editor.widgets import has_widget

        saved = {slot.name: slot for slot in node.inputs}
        definition = self.document.definitions.get(node.type)
        node_type = self.registry.get(node.type)
        if definition is not None:
            declared = [(slot.name, slot.type) for slot in definition.inputs]
        elif node_type is not None:
            sockets = [entry for entry in node_type.inputs if not has_widget(entry)]
            widgets = [entry for entry in node_type.inputs if has_widget(entry)]
            declared = [(entry.name, entry.type if isinstance(entry.type, str) else "COMBO") for entry in (*sockets, *widgets)]
        else:
            declared = []
        ordered = [saved.pop(name) if name in saved else Slot(name, kind) for name, kind in declared]
        return [*ordered, *saved.values()]


def compatible(left: Any, right: Any) -> bool:
    """Whether the editor would connect two types: case does not matter, comma lists overlap, nothing and * go with all."""
    if left in ("*", "", 0, None) or right in ("*", "", 0, None):
        return True
    parts = ({part.strip().lower() for part in str(kind).split(",")} for kind in (left, right))
    return bool(set.intersection(*parts))


def _named_wire(graph: EditorGraph, node: EditorNode) -> int | None:
    name = node.values[0] if isinstance(node.values, list) and node.values else None
    for other in graph.nodes.values():
        if other.type == "SetNode" and isinstance(other.values, list) and other.values[:1] == [name] and not other.silent and other.inputs:
            return other.inputs[0].link
    return None
