"""Every template that ComfyUI publishes goes through the reader. The files come from their package on PyPI."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

import marquetry.nodes
from marquetry.engine.editor import detect, from_api, to_api
from marquetry.engine.editor.widgets import CONTROLS
from marquetry.engine.folders import Folders
from marquetry.engine.input_check import check_constant
from marquetry.engine.registry import Registry

PACKAGE = "comfyui_workflow_templates_json"
found = importlib.util.find_spec(PACKAGE)
if found is None and not os.environ.get("CI"):
    pytest.skip(f"the package {PACKAGE} is not installed", allow_module_level=True)
assert found is not None and found.submodule_search_locations is not None
TEMPLATES = sorted(Path(found.submodule_search_locations[0]).glob("templates/*.json"))


@pytest.fixture(scope="module")
def registry() -> Registry:
    registry = Registry()
    registry.scan(marquetry.nodes)
    return registry


def workflows() -> list[tuple[str, Any]]:
    read = [(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in TEMPLATES]
    return [(name, raw) for name, raw in read if isinstance(raw, dict) and "nodes" in raw]


def test_every_template_converts_with_all_links_leading_somewhere(registry: Registry, tmp_path: Path) -> None:
    """Templates are newer than the node types here: their choices and limits may be unknown, but never of another kind."""
    folders = Folders(tmp_path)
    files = workflows()
    assert len(files) > 100
    faults: list[str] = []
    for name, raw in files:
        assert detect(raw) == "editor"
        conversion = to_api(raw, registry, folders)
        faults += [f"{name}: {problem.message}" for problem in conversion.problems if problem.type != "unknown_node_type"]
        for id, entry in conversion.graph.items():
            node_type = registry.get(entry["class_type"])
            for key, value in entry["inputs"].items():
                if isinstance(value, list):
                    if value[0] not in conversion.graph:
                        faults.append(f"{name} {id} {key}: leads nowhere")
                    continue
                declared = None if node_type is None else node_type.input(key)
                if declared is None or declared.file_kind is not None:
                    continue
                _, finding = check_constant(declared, value, folders, custom=False)
                newer_choice = (
                    finding is not None and finding.type == "value_not_in_list" and isinstance(value, str) and value not in CONTROLS
                )
                if finding is not None and not newer_choice and finding.type not in ("value_smaller_than_min", "value_bigger_than_max"):
                    faults.append(f"{name} {id} {entry['class_type']}: {finding.message} {finding.details}")
    assert not faults, "\n".join(faults)


def test_every_template_survives_being_drawn_anew(registry: Registry, tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    for _, raw in workflows():
        graph = to_api(raw, registry, folders, seed=1).graph
        again = to_api(from_api(graph, registry), registry, folders).graph
        assert {id: entry["class_type"] for id, entry in again.items()} == {id: entry["class_type"] for id, entry in graph.items()}
        for id, entry in graph.items():
            assert entry["inputs"].items() <= again[id]["inputs"].items()
