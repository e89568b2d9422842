"""Definitions: the published graphs that a job needs, as one piece of bytes that travels with it beside its graph, and as node types."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from marquetry.engine.graph import Graph
from marquetry.engine.outcome import ExecutionBlocker
from marquetry.engine.schema import Input, NodeType, Output
from marquetry.engine.sealed import PREFIX, Bound, Given, Sealed

if TYPE_CHECKING:
    from marquetry.marketplace.listings.closure import Closure

CATEGORY = "market"
MODULE = "marquetry.published"
MAX_BYTES = 16 * 2**20
KEPT = 64


def pack(closure: Closure) -> bytes:
    """What `unpack` reads."""
    types = {
        type_id: {
            "title": graph.title,
            "summary": graph.summary,
            "content": graph.content_hash,
            "definition": orjson.Fragment(graph.definition),
        }
        for type_id, graph in closure.graphs.items()
    }
    return zlib.compress(orjson.dumps({"types": types, "names": dict(closure.names)}, option=orjson.OPT_SORT_KEYS), 1)


def permitting(data: bytes, weights: Iterable[tuple[str, str]]) -> bytes:
    """The same, with private weights that its job may name."""
    read = _read(data) if data else {"types": {}, "names": {}}
    return zlib.compress(orjson.dumps({**read, "weights": sorted(weights)}, option=orjson.OPT_SORT_KEYS), 1)


def permitted(data: bytes) -> list[tuple[str, str]]:
    """The private weights, by kind and name, that a job may name."""
    return [(kind, name) for kind, name in _read(data).get("weights", ())] if data else []


@lru_cache(maxsize=KEPT)
def _read(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(zlib.decompressobj().decompress(data, MAX_BYTES))
    return found


@lru_cache(maxsize=KEPT)
def unpack(data: bytes) -> Mapping[str, Sealed]:
    """The sealed graphs by the names that graphs use for them."""
    read = _read(data)
    sealed = {type_id: _sealed(type_id, entry) for type_id, entry in read["types"].items()}
    return sealed | {name: sealed[type_id] for name, type_id in read["names"].items()}


def described(data: bytes, known: Mapping[str, NodeType]) -> dict[str, NodeType]:
    """The node types that stand for the published graphs. `known` are those whose choices follow what is there now."""
    read = _read(data)
    found: dict[str, NodeType] = {}
    for type_id in read["types"]:
        _describe(type_id, read["types"], known, found)
    return found | {name: _called(found[type_id], name) for name, type_id in read["names"].items()}


def raw_graphs(data: bytes) -> bytes:
    """All definitions as JSON text, to look for a word."""
    return orjson.dumps(_read(data)["types"])


def types_needed(graph: Graph, data: bytes) -> set[str]:
    """The node types of a graph and of the published graphs that it uses, those apart that stand for published graphs."""
    types = {node.type_id for node in graph.nodes.values()}
    for entry in _read(data)["types"].values() if data else ():
        types.update(raw["class_type"] for raw in entry["definition"]["graph"].values())
    return {type_id for type_id in types if not type_id.startswith(PREFIX)}


def _describe(type_id: str, entries: Mapping[str, Any], known: Mapping[str, NodeType], found: dict[str, NodeType]) -> NodeType:
    if type_id in found:
        return found[type_id]
    entry = entries[type_id]
    definition = entry["definition"]
    inputs = []
    for declared in definition["inputs"]:
        inner_id = definition["graph"][declared["node"]]["class_type"]
        inner = _describe(inner_id, entries, known, found) if inner_id in entries else known.get(inner_id)
        inputs.append(_input(declared, None if inner is None else inner.input(declared["input"])))
    node_type = NodeType(
        id=type_id,
        title=entry["title"],
        category=CATEGORY,
        call=_never,
        inputs=tuple(inputs),
        outputs=tuple(
            Output(_type(given["type"]), given["name"], bool(given.get("is_list")), given.get("tooltip")) for given in definition["outputs"]
        ),
        description=entry["summary"],
        version=entry["content"],
        module=MODULE,
        is_output=bool(definition["shows"]),
    )
    found[type_id] = node_type
    return node_type


def _input(declared: Mapping[str, Any], inner: Input | None) -> Input:
    """As it was declared; choices that list files or other changing things are asked for anew."""
    changing = inner if inner is not None and (inner.file_kind is not None or inner.choices is not None) else None
    if changing is not None and "choices" in declared:
        changing = None
    return Input(
        declared["name"],
        _type(declared["type"]) if inner is None or changing is None else inner.type,
        required=declared["required"],
        options=declared["options"],
        choices=None if changing is None else changing.choices,
        file_kind=None if changing is None else changing.file_kind,
        also=() if changing is None else changing.also,
    )


def _type(written: Any) -> Any:
    return list(written) if isinstance(written, list) else written


def _called(node_type: NodeType, name: str) -> NodeType:
    return replace(node_type, id=name)


def _never(**inputs: Any) -> ExecutionBlocker:
    """Nodes of this type never run: what they stand for is put in their place."""
    return ExecutionBlocker("a published graph was not put in place; please report this")


def _sealed(type_id: str, entry: Mapping[str, Any]) -> Sealed:
    definition = entry["definition"]
    return Sealed(
        type_id=type_id,
        title=entry["title"],
        content=entry["content"],
        graph=Graph.from_api(definition["graph"]),
        inputs=tuple(Bound(declared["name"], declared["node"], declared["input"]) for declared in definition["inputs"]),
        outputs=tuple(Given(given["name"], given["node"], given["slot"], _type(given["type"])) for given in definition["outputs"]),
        shows=tuple(definition["shows"]),
        previews=tuple(definition["previews"]),
    )
