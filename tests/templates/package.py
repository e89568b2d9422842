"""ComfyUI's templates as their package on PyPI has them: data only, installed for tests and never shipped."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

PACKAGE, VERSION = "comfyui_workflow_templates", "0.1.95"
CLOSED = "api_"  # what the names of templates begin with that call models of others over the network
found = importlib.util.find_spec(PACKAGE)
if found is None and not os.environ.get("CI"):
    pytest.skip(f"the package {PACKAGE} is not installed", allow_module_level=True)
assert found is not None and found.origin is not None
FOLDER = Path(found.origin).parent / "templates"


@functools.cache
def names() -> tuple[str, ...]:
    """The open image templates by name, in the order in which the editor shows them."""
    groups = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
    shown = [entry["name"] for group in groups if group["type"] == "image" for entry in group["templates"]]
    return tuple(name for name in shown if not name.startswith(CLOSED))


def workflow(name: str) -> Any:
    """A template, as the editor saved it."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
