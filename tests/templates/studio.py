"""Where templates run: the built-in nodes, tiny files under the names that templates name, and pictures for them to read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

import marquetry.nodes
from marquetry.engine.editor import Conversion, to_api
from marquetry.engine.models.library import ModelLibrary
from marquetry.nodes import flux, qwen
from tests.engine.execution.workshop import Ended, Workshop
from tests.templates.files import place
from tests.templates.package import workflow
from tests.templates.small import GRID, SHRINK, small

SIZE = (160, 128)  # of the pictures that are read: width, height
WAIT_S = 120
EMBEDDING = re.compile(r"embedding:([\w.-]+)")


class Studio(Workshop):
    """A workshop with all built-in nodes. Models stay loaded from one template to the next."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.registry.scan(marquetry.nodes)
        self.folders.create()
        object.__setattr__(self.executor.services, "models", ModelLibrary(self.folders, device="cpu", budget_bytes=2**32))

    def read(self, name: str) -> Conversion:
        """A template as API graph, turned down, with all that it reads in its place."""
        conversion = to_api(workflow(name), self.registry, self.folders)
        graph = small(conversion.graph)
        self._furnish(graph)
        return Conversion(graph, conversion.problems)

    def run_template(self, graph: Mapping[str, Any], name: str) -> Ended:
        run, events = self.start(graph, job_id=name)
        return Ended(run.done.result(WAIT_S), events)

    def saved(self, ended: Ended) -> list[np.ndarray[Any, Any]]:
        """The pictures that a run has saved, not those that it has only shown."""
        entries = [entry for ui in ended.ui.values() for entry in ui.get("images", ()) if entry["type"] == "output"]
        files = [self.folders.output / entry["subfolder"] / entry["filename"] for entry in entries]
        return [np.asarray(Image.open(file).convert("RGB")) for file in files]

    def _furnish(self, graph: Mapping[str, Any]) -> None:
        for node in graph.values():
            node_type = self.registry.get(node["class_type"])
            for declared in () if node_type is None else node_type.inputs:
                value = node["inputs"].get(declared.name)
                for embedding in EMBEDDING.findall(value) if isinstance(value, str) else ():
                    place(self.folders, "embeddings", embedding)
                if declared.file_kind is None or not isinstance(value, str):
                    continue
                if declared.file_kind in ("input", "output"):
                    picture_at(self.folders.annotated(value, declared.file_kind))
                else:
                    place(self.folders, declared.file_kind, value)


def picture_at(path: Path) -> None:
    """A colourful picture with a hole, which nodes read as its mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return
    width, height = SIZE
    down, across = np.mgrid[:height, :width]
    waves = [np.sin(across / (5 + 3 * channel) + channel) * np.cos(down / (9 - 2 * channel)) for channel in range(3)]
    pixels = np.full((height, width, 4), 255, np.uint8)
    pixels[..., :3] = (np.stack(waves, axis=-1) * 127 + 128).astype(np.uint8)
    pixels[height // 4 : height // 2, width // 4 : width // 2, 3] = 0
    picture = Image.fromarray(pixels)
    (picture.convert("RGB") if path.suffix in (".jpg", ".jpeg") else picture).save(path)


def _small_kontext_sizes() -> tuple[tuple[int, int], ...]:
    return tuple((round(width / SHRINK / GRID) * GRID, round(height / SHRINK / GRID) * GRID) for width, height in flux.KONTEXT_SIZES)


# What nodes bring pictures to by themselves, with no widget that could be turned down: module, name, value.
TURNED_DOWN: Sequence[tuple[ModuleType, str, Any]] = (
    (flux, "KONTEXT_SIZES", _small_kontext_sizes()),
    (qwen, "EDITED_PIXELS", qwen.EDITED_PIXELS // SHRINK**2),
    (qwen, "SEEN_PIXELS", qwen.SEEN_PIXELS // SHRINK),
)
