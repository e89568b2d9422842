"""ComfyUI's editor format: `detect` it, turn it into an API graph with `to_api`, and an API graph into it with `from_api`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from marquetry.engine.editor.conversion import Conversion, to_api
from marquetry.engine.editor.layout import from_api
from marquetry.engine.errors import GraphError

__all__ = ["Conversion", "detect", "from_api", "to_api"]


def detect(raw: Any) -> Literal["api", "editor"]:
    """Which of the two formats parsed JSON is in. Raises GraphError when it is neither."""
    if isinstance(raw, Mapping):
        if isinstance(raw.get("nodes"), list):
            return "editor"
        if all(isinstance(node, Mapping) and "class_type" in node for node in raw.values()):
            return "api"
    raise GraphError(
        "this is neither a graph in API format (nodes by id, each with class_type and inputs) nor a saved workflow (nodes and links)"
    )
