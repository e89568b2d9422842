"""Graphs from files, in either format, also out of pictures, and changed from the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from marquetry.engine.editor import detect, to_api
from marquetry.engine.errors import GraphError
from marquetry.engine.folders import Folders
from marquetry.engine.schema import NodeType
from marquetry.engine.validation import Problem
from marquetry.server.command_line.exits import NOT_FOUND, USAGE, leave

PICTURES = frozenset({".png", ".webp", ".jpg", ".jpeg"})


def read_graph(path: Path, registry: Mapping[str, NodeType], folders: Folders) -> tuple[dict[str, Any], list[Problem]]:
    """The API graph of a file (`-` is the standard input) or of a shipped graph, and what could not be converted. Raises GraphError."""
    raw = _shipped(str(path), folders) or _read(path)
    if isinstance(raw, dict) and isinstance(raw.get("prompt"), dict) and "class_type" not in raw["prompt"]:
        raw = raw["prompt"]
    if detect(raw) == "api":
        return raw, []
    conversion = to_api(raw, registry, folders)
    return conversion.graph, conversion.problems


def _shipped(name: str, folders: Folders) -> dict[str, Any] | None:
    """The shipped graph of that name, with its samples in the input folder; a file of that name comes first."""
    from marquetry.graphs.library import list_graphs, load_graph, place_samples

    if Path(name).exists() or name not in {graph.name for graph in list_graphs()}:
        return None
    place_samples(name, folders)
    return load_graph(name)


def _read(path: Path) -> Any:
    if str(path) == "-":
        return _parsed(sys.stdin.read(), "the standard input")
    if not path.is_file():
        leave(NOT_FOUND, f"there is no file {path}")
    if path.suffix.lower() in PICTURES:
        from marquetry.engine.pictures.metadata import read_workflow

        graphs = read_workflow(path.read_bytes())
        if not graphs:
            raise GraphError(f"{path} carries no graph")
        return graphs.get("prompt") or graphs["workflow"]
    return _parsed(path.read_text(encoding="utf-8"), str(path))


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise GraphError(f"{place} is not JSON: {error}") from error


def change(graph: Mapping[str, Any], settings: Iterable[str]) -> None:
    """Set inputs as `NODE.INPUT=VALUE` says; NODE is an id, or a title or type that one node has. VALUE is JSON, or else text."""
    for setting in settings:
        place, equals, text = setting.partition("=")
        node, dot, name = place.rpartition(".")
        if not equals or not dot:
            leave(USAGE, f"--set takes NODE.INPUT=VALUE, not '{setting}'")
        graph[_find(graph, node)]["inputs"][name] = _value(text)


def _find(graph: Mapping[str, Any], node: str) -> str:
    if node in graph:
        return node
    named = [id for id, entry in graph.items() if node in (entry["class_type"], entry.get("_meta", {}).get("title"))]
    if len(named) > 1:
        leave(USAGE, f"several nodes are called '{node}'; use one of the ids {', '.join(named)}")
    if not named:
        known = ", ".join(f"{id} ({entry['class_type']})" for id, entry in list(graph.items())[:20])
        leave(USAGE, f"the graph has no node '{node}'; there is {known}")
    return named[0]


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return {"__value__": value} if isinstance(value, list) and not (len(value) == 2 and isinstance(value[0], str)) else value
