"""An API graph to the editor's file, laid out in columns: what a node needs stands left of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from marquetry.engine.editor.dynamic_prompt import escape_choices
from marquetry.engine.editor.widgets import Place, has_widget, places_of
from marquetry.engine.graph import Graph, Link, Node
from marquetry.engine.schema import MISSING, Input, NodeType

COLUMN_PX, GAP_PX, TITLE_PX, ROW_PX, TEXT_PX = 420, 40, 30, 24, 160
VERSION = 0.4


def from_api(graph: Mapping[str, Any] | Graph, registry: Mapping[str, NodeType]) -> dict[str, Any]:
    """ComfyUI's workflow JSON (schema 0.4) for an API graph; `to_api` gives the same graph back. Raises GraphError as `Graph.from_api`."""
    read = graph if isinstance(graph, Graph) else Graph.from_api(graph)
    ids = {id: int(id) if id.isdecimal() and str(int(id)) == id else id for id in read}
    links: list[list[Any]] = []
    nodes = {id: _node(ids[id], node, registry.get(node.type_id)) for id, node in read.nodes.items()}
    for id, node in read.nodes.items():
        for name, value in node.inputs.items():
            if type(value) is Link and value.node_id in nodes:
                _connect(links, nodes, registry, read, value, id, name)
    depths = _depths(read)
    _place(nodes, depths)
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, repr(read.to_api()))),
        "revision": 0,
        "last_node_id": max((id for id in ids.values() if isinstance(id, int)), default=0),
        "last_link_id": len(links),
        "nodes": list(nodes.values()),
        "links": links,
        "groups": [],
        "config": {},
        "extra": {},
        "version": VERSION,
    }


def _node(id: int | str, node: Node, node_type: NodeType | None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": id,
        "type": node.type_id,
        "pos": [0, 0],
        "size": [COLUMN_PX - 2 * GAP_PX, 60],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "properties": {"Node name for S&R": node.type_id},
        "widgets_values": _values(node, node_type),
    }
    if node.title is not None and (node_type is None or node.title != node_type.title):
        made["title"] = node.title
    if node.policy.retries or node.policy.on_error != "fail":
        made["properties"]["policy"] = {"retries": node.policy.retries, "on_error": node.policy.on_error}
    if node_type is not None:
        made["inputs"] = [
            _socket(declared) for declared in node_type.inputs if not has_widget(declared) and not _is_constant(node, declared)
        ]
        made["outputs"] = [
            {"name": output.name, "type": _type(output.type), "links": [], "slot_index": slot}
            for slot, output in enumerate(node_type.outputs)
        ]
    return made


def _is_constant(node: Node, declared: Input) -> bool:
    return declared.name in node.inputs and type(node.inputs[declared.name]) is not Link


def _socket(declared: Input) -> dict[str, Any]:
    socket: dict[str, Any] = {"name": declared.name, "type": _type(declared.type), "link": None}
    if not declared.required:
        socket["shape"] = 7
    return socket


def _type(kind: Any) -> str:
    return str(kind) if isinstance(kind, str) else "COMBO"


def _values(node: Node, node_type: NodeType | None) -> Any:
    """A list by place; an object by name where a list can't say it: unknown names, or optional widgets that are left out."""
    constants = {name: value for name, value in node.inputs.items() if type(value) is not Link}
    if node_type is None:
        return constants
    widgets = [entry for entry in node_type.inputs if has_widget(entry)]
    for entry in widgets:
        if entry.options.get("dynamicPrompts") and isinstance(constants.get(entry.name), str):
            constants[entry.name] = escape_choices(constants[entry.name])
    left_out = {entry.name for entry in widgets if not entry.required and entry.name not in node.inputs}
    if left_out or not constants.keys() <= {entry.name for entry in widgets}:
        return constants | dict.fromkeys(left_out)
    return [_value(place, constants) for place in places_of(node_type)]


def _value(place: Place, constants: Mapping[str, Any]) -> Any:
    if place.input is None:
        return {"control": "fixed", "filter": "", "button": "image", "refresh": "refresh"}.get(place.kind)
    if place.input.name in constants:
        return constants[place.input.name]
    return None if place.input.default is MISSING else place.input.default


def _connect(
    links: list[list[Any]], nodes: dict[str, dict[str, Any]], registry: Mapping[str, NodeType], graph: Graph, link: Link, id: str, name: str
) -> None:
    target, origin = nodes[id], nodes[link.node_id]
    declared = None if (node_type := registry.get(graph[id].type_id)) is None else node_type.input(name)
    slot = next((place for place, entry in enumerate(target["inputs"]) if entry["name"] == name), None)
    if slot is None:
        slot = len(target["inputs"])
        entry: dict[str, Any] = {"name": name, "type": "*" if declared is None else _type(declared.type), "link": None}
        if declared is not None and has_widget(declared):
            entry["widget"] = {"name": name}
        target["inputs"].append(entry)
    while len(origin["outputs"]) <= link.slot:
        origin["outputs"].append({"name": "*", "type": "*", "links": [], "slot_index": len(origin["outputs"])})
    number = len(links) + 1
    target["inputs"][slot]["link"] = number
    origin["outputs"][link.slot]["links"].append(number)
    links.append([number, origin["id"], link.slot, target["id"], slot, origin["outputs"][link.slot]["type"]])


def _depths(graph: Graph) -> dict[str, int]:
    """For each node the length of the longest path to it; what stands on a cycle comes last."""
    parents = {
        id: {value.node_id for value in node.inputs.values() if type(value) is Link and value.node_id in graph}
        for id, node in graph.nodes.items()
    }
    children: dict[str, list[str]] = {id: [] for id in graph}
    for id, above in parents.items():
        for parent in above:
            children[parent].append(id)
    waiting = {id: len(above) for id, above in parents.items()}
    ready = [id for id, count in waiting.items() if not count]
    depths = dict.fromkeys(ready, 0)
    for id in ready:
        for child in children[id]:
            depths[child] = max(depths.get(child, 0), depths[id] + 1)
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    last = max(depths.values(), default=-1) + 1
    return {id: depths[id] if not waiting[id] else last for id in graph}


def _place(nodes: Mapping[str, dict[str, Any]], depths: Mapping[str, int]) -> None:
    columns: dict[int, int] = {}
    for order, id in enumerate(sorted(nodes, key=lambda id: depths[id])):
        node = nodes[id]
        values = node["widgets_values"]
        listed = list(values.values()) if isinstance(values, dict) else values
        rows = max(len(node["inputs"]), len(node["outputs"])) + len(listed)
        height = TITLE_PX + ROW_PX * rows + TEXT_PX * sum(isinstance(value, str) and len(value) > 40 for value in listed)
        top = columns.get(depths[id], 0)
        node["pos"], node["size"][1], node["order"] = [depths[id] * COLUMN_PX, top], height, order
        columns[depths[id]] = top + height + TITLE_PX + GAP_PX
