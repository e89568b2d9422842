"""Private weights: files that only jobs read, below a folder of their creator's in each folder of models, which no list shows.

A graph names such a file in an input for files, and only who may use the listing that holds it may name it. Nodes never get a name by a link.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from marquetry.engine.folders import PRIVATE_WEIGHTS, SOUND_OWNER
from marquetry.engine.graph import Graph
from marquetry.engine.schema import NodeType

PRIVATE = f"{PRIVATE_WEIGHTS}/"
MARK = PRIVATE_WEIGHTS.encode()
PLACE = re.compile(rf"{re.escape(PRIVATE)}(?P<place>[A-Za-z0-9_-]{{1,100}})/(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{{0,199}})")
TAKES_AWAY = frozenset({"MODEL", "CLIP", "VAE", "CONTROL_NET", "CLIP_VISION", "UPSCALE_MODEL", "STYLE_MODEL", "LORA_MODEL"})


@dataclass(frozen=True, slots=True)
class Use:
    """A graph names a private file. `kind` is empty where no input for files names it; `inside`: the published graph that does."""

    kind: str
    name: str
    node_id: str
    inside: str = ""


def place_of(owner: str) -> str:
    """The folder of a creator's private weights."""
    return owner if SOUND_OWNER.fullmatch(owner) else sha256(owner.encode()).hexdigest()


def private_name(owner: str, name: str) -> str:
    """A name for a private file that nobody guesses."""
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[-120:]
    return f"{PRIVATE}{place_of(owner)}/{secrets.token_hex(8)}-{stem}"


def private_path(name: str) -> str | None:
    """Whose place a name is in; None: it names no private file."""
    match = PLACE.fullmatch(name)
    return None if match is None else match["place"]


def uses_of(graph: Graph, definitions: Mapping[str, Any], types: Mapping[str, NodeType]) -> list[Use]:
    """Every private file that a graph, and the published graphs in it, name."""
    found = list(_uses(graph, types, ""))
    for type_id, sealed in definitions.items():
        found += _uses(sealed.graph, types, type_id)
    return found


def takes_away(graph: Graph, types: Mapping[str, NodeType]) -> str | None:
    """A node that saves models, if the graph has one: what it writes would hold private weights."""
    for id, node in graph.nodes.items():
        node_type = types.get(node.type_id)
        if (
            node_type is not None
            and node_type.is_output
            and any(declared.type in TAKES_AWAY for declared in node_type.inputs if isinstance(declared.type, str))
        ):
            return id
    return None


def _uses(graph: Graph, types: Mapping[str, NodeType], inside: str) -> Iterator[Use]:
    for id, node in graph.nodes.items():
        node_type = types.get(node.type_id)
        for input, value in node.inputs.items():
            for text in _texts(value):
                declared = None if node_type is None else node_type.input(input)
                kind = "" if declared is None or declared.file_kind is None or text is not value else declared.file_kind
                yield Use(kind, text, id, inside)


def _texts(value: Any) -> Iterator[str]:
    """The strings in a literal that speak of private weights."""
    if isinstance(value, str):
        if PRIVATE_WEIGHTS in value:
            yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _texts(key)
            yield from _texts(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _texts(part)
