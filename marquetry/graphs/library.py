"""The library: graphs that ship with the package, each with a manifest that says what it takes and gives.

A graph is `NAME.json` in API format, its manifest `NAME.manifest.yaml`, its picture `NAME.png`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from marquetry.engine.errors import EngineError
from marquetry.engine.folders import Folders

HERE = Path(__file__).parent
SAMPLES = HERE / "samples"


class GraphNotFound(EngineError):
    """No graph of that name ships, or it takes no input of that name."""

    code = "graph_not_found"


@dataclass(frozen=True, slots=True)
class GraphInput:
    """An input of a graph: the node and the node's input that it fills. `kind` is text, integer, number, choice or image."""

    name: str
    node_id: str
    node_input: str
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class GraphOutput:
    """An output of a graph: the node whose files it is."""

    name: str
    node_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class ShippedGraph:
    """A graph with its manifest. `samples` are pictures that it reads from the input folder unless others are given."""

    name: str
    title: str
    description: str
    tags: tuple[str, ...]
    inputs: Mapping[str, GraphInput]
    outputs: Mapping[str, GraphOutput]
    samples: tuple[str, ...]

    @property
    def path(self) -> Path:
        return HERE / f"{self.name}.json"

    @property
    def thumbnail(self) -> Path:
        return HERE / f"{self.name}.png"


@cache
def list_graphs() -> tuple[ShippedGraph, ...]:
    """All graphs that ship, by name."""
    return tuple(_read(path) for path in sorted(HERE.glob("*.manifest.yaml")))


def find_graph(name: str) -> ShippedGraph:
    """The graph of that name. Raises GraphNotFound with what there is."""
    for graph in list_graphs():
        if graph.name == name:
            return graph
    raise GraphNotFound(f"no graph '{name}' ships; there is {', '.join(graph.name for graph in list_graphs())}")


def load_graph(name: str, **inputs: Any) -> dict[str, Any]:
    """The API graph of that name with these inputs filled in. Raises GraphNotFound for an unknown graph or input."""
    shipped = find_graph(name)
    graph: dict[str, Any] = json.loads(shipped.path.read_text(encoding="utf-8"))
    for key, value in inputs.items():
        place = shipped.inputs.get(key)
        if place is None:
            raise GraphNotFound(f"the graph '{name}' takes no '{key}'; it takes {', '.join(shipped.inputs)}")
        graph[place.node_id]["inputs"][place.node_input] = value
    return graph


def place_samples(name: str, folders: Folders) -> None:
    """Put the pictures that a graph reads into the input folder, where they are not there already."""
    for sample in find_graph(name).samples:
        target = folders.input / sample
        if not target.exists():
            folders.input.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(SAMPLES / sample, target)


def _read(path: Path) -> ShippedGraph:
    manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    inputs = {}
    for name, entry in manifest["inputs"].items():
        node_id, _, node_input = entry["node"].partition(".")
        inputs[name] = GraphInput(name, node_id, node_input, entry["kind"], entry["title"])
    return ShippedGraph(
        name=path.name.removesuffix(".manifest.yaml"),
        title=manifest["title"],
        description=manifest["description"],
        tags=tuple(manifest["tags"]),
        inputs=inputs,
        outputs={name: GraphOutput(name, str(entry["node"]), entry["kind"]) for name, entry in manifest["outputs"].items()},
        samples=tuple(manifest.get("samples", ())),
    )
