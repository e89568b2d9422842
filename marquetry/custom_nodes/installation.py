"""Installation: what packs find when they import ComfyUI's module names. One per process, as those names are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marquetry.engine.folders import Folders
from marquetry.engine.registry import Registry

FACADE = Path(__file__).parent / "facade"


@dataclass
class Installation:
    """The engine that packs talk to. `send` delivers a pack's own message (event, data, client id or None for all) to clients."""

    folders: Folders
    registry: Registry
    send: Callable[[str, Any, str | None], None] = lambda event, data, client_id: None
    models: Any = None  # engine.models.library.ModelLibrary, where the worker has one
    device: str = "auto"
    options: dict[str, Any] = field(default_factory=dict)  # values of ComfyUI's command-line flags
    web_directories: dict[str, str] = field(default_factory=dict)  # pack name -> folder with its pages


_current: Installation | None = None


def current() -> Installation:
    """The installation of this process. Raises RuntimeError before `install`."""
    if _current is None:
        raise RuntimeError("ComfyUI's module names are there for node packs only; load packs with marquetry.custom_nodes.host.load_packs")
    return _current


def install(installation: Installation) -> None:
    """Make ComfyUI's module names importable, bound to this engine. Modules of an installation before are forgotten."""
    global _current
    _current = installation
    names = facade_names()
    for loaded in [name for name in sys.modules if name.partition(".")[0] in names]:
        if _is_ours(loaded):
            del sys.modules[loaded]
    if str(FACADE) not in sys.path:
        sys.path.insert(0, str(FACADE))


def facade_names() -> frozenset[str]:
    """The top-level module names that packs are offered."""
    return frozenset(path.stem for path in FACADE.iterdir() if path.suffix == ".py" or path.is_dir()) - {"__pycache__", "__init__"}


def _is_ours(name: str) -> bool:
    origin = getattr(getattr(sys.modules[name], "__spec__", None), "origin", None)
    return origin is not None and Path(origin).is_relative_to(FACADE)
