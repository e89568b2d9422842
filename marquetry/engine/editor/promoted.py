"""Widgets of inner nodes that a subgraph instance shows as its own: their values stand on the instance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from marquetry.engine.editor.document import INPUT_NODE, Document, EditorGraph, EditorNode
from marquetry.engine.editor.widgets import has_widget
from marquetry.engine.schema import NodeType

MAX_NESTING = 100


def promoted_values(instance: EditorNode, definition: EditorGraph, document: Document, registry: Mapping[str, NodeType]) -> dict[str, Any]:
    """The instance's values by the name of the definition's input. What is not here, the inner node's own widget says."""
    if instance.named_values is not None:
        return dict(instance.named_values)
    values = instance.values
    if isinstance(values, Mapping):
        return dict(values)
    if not isinstance(values, list):
        return {}
    proxies = _proxies(instance)
    if proxies is not None:
        own = [(place, name) for place, (owner, name) in enumerate(proxies) if owner == "-1"]
        if len(values) == len(own):
            own = [(place, name) for place, (_, name) in enumerate(own)]
        return {name: values[place] for place, name in own if place < len(values) and values[place] is not None}
    names = [slot.name for place, slot in enumerate(definition.inputs) if _is_promoted(instance, definition, place, document, registry, 0)]
    return {name: value for name, value in zip(names, values, strict=False) if value is not None}


def _proxies(instance: EditorNode) -> list[tuple[str, str]] | None:
    raw = instance.properties.get("proxyWidgets")
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except ValueError:
            return None
    if not isinstance(raw, list):
        return None
    pairs = [(str(entry[0]), str(entry[1])) for entry in raw if isinstance(entry, list) and len(entry) >= 2]
    return [pair for pair in pairs if not pair[1].startswith("$$")]


def _is_promoted(
    instance: EditorNode | None,
    definition: EditorGraph,
    place: int,
    document: Document,
    registry: Mapping[str, NodeType],
    depth: int,
) -> bool:
    """Whether the first node that the input feeds has a widget for it."""
    slot = None if instance is None else instance.input(definition.inputs[place].name)
    if slot is not None and slot.widget is not None:
        return True
    if depth > MAX_NESTING:
        return False
    for link in definition.links.values():
        if link.origin_id != INPUT_NODE or link.origin_slot != place:
            continue
        target = definition.nodes.get(link.target_id)
        fed = None if target is None else next((entry for entry in target.inputs if entry.link == link.id), None)
        if target is None or fed is None:
            continue
        if fed.widget is not None:
            return True
        node_type = registry.get(target.type)
        if node_type is not None:
            declared = node_type.input(fed.name)
            return declared is not None and has_widget(declared)
        inner = document.definitions.get(target.type)
        if inner is None:
            return False
        place_inside = next((index for index, entry in enumerate(inner.inputs) if entry.name == fed.name), None)
        return place_inside is not None and _is_promoted(target, inner, place_inside, document, registry, depth + 1)
    return False
