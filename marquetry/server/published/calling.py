"""Calling: a published graph alone, with inputs as JSON. The graph around it loads what is named and shows what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marquetry.engine.sealed import PREFIX
from marquetry.marketplace.listings.errors import InvalidListing, ListingMissing

LOADERS: Mapping[str, tuple[str, str, int]] = {"IMAGE": ("LoadImage", "image", 0), "MASK": ("LoadImageMask", "image", 0)}
SHOWERS: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "IMAGE": ("SaveImage", "images", {"filename_prefix": "market"}),
    "MASK": ("MaskPreview", "mask", {}),
    **{kind: ("PreviewAny", "source", {}) for kind in ("STRING", "INT", "FLOAT", "BOOLEAN")},
}
CALLED = "1"


def graph_for(type_id: str, interface: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """An API graph that calls a published graph. Pictures are given as names of uploaded files. Raises InvalidListing."""
    sections = interface["input"]
    declared = {**sections.get("required", {}), **sections.get("optional", {})}
    unknown = [name for name in inputs if name not in declared]
    if unknown:
        known = ", ".join(declared) or "none"
        raise InvalidListing(f"there is no input '{unknown[0][:64]}'; it has {known}", field=f"inputs.{unknown[0][:64]}")
    graph: dict[str, Any] = {}
    given: dict[str, Any] = {}
    for name, value in inputs.items():
        given[name] = _given(name, declared[name][0], value, graph)
    graph[CALLED] = {"class_type": type_id, "inputs": given}
    shown = _shown(interface, graph)
    if not shown and not interface["output_node"]:
        raise InvalidListing("nothing that it gives can be shown; use it as a node of a graph", field="outputs")
    return graph


def named(creator: str, slug: str) -> str:
    """The node type that a path names: `creator/slug`, or with `@version`. Raises ListingMissing."""
    from marquetry.marketplace.listings.names import parse

    type_id = f"{PREFIX}{creator}/{slug}"
    if parse(type_id) is None:
        raise ListingMissing(f"'{creator[:40]}/{slug[:80]}' is no name of a published graph: creator/slug or creator/slug@version")
    return type_id


def _given(name: str, kind: Any, value: Any, graph: dict[str, Any]) -> Any:
    if not isinstance(kind, str) or kind not in LOADERS:
        return {"__value__": value} if isinstance(value, list) else value
    if not isinstance(value, str):
        raise InvalidListing(f"input '{name}' is a picture: give the name of an uploaded file", field=f"inputs.{name}")
    class_type, input_name, slot = LOADERS[kind]
    id = f"input {name}"
    graph[id] = {"class_type": class_type, "inputs": {input_name: value, **({"channel": "red"} if kind == "MASK" else {})}}
    return [id, slot]


def _shown(interface: Mapping[str, Any], graph: dict[str, Any]) -> int:
    count = 0
    for slot, (kind, name) in enumerate(zip(interface["output"], interface["output_name"], strict=False)):
        shower = SHOWERS.get(kind) if isinstance(kind, str) else None
        if shower is not None:
            class_type, input_name, more = shower
            graph[f"output {name}"] = {"class_type": class_type, "inputs": {input_name: [CALLED, slot], **more}}
            count += 1
    return count
