"""EngineParts: what a worker is made of, and how its factory is found by name, in whichever process."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from marquetry.engine.context import Services
from marquetry.engine.execution.executor import Executor
from marquetry.engine.registry import Registry
from marquetry.server.jobs.errors import WorkerFailed
from marquetry.server.jobs.workers.voice import Voice


@dataclass(frozen=True)
class EngineParts:
    """An executor with its node types. `failed_packs` says why packs are missing; `warm_up` imports what jobs will need."""

    registry: Registry
    services: Services
    executor: Executor
    failed_packs: Mapping[str, str] = field(default_factory=dict)
    web_directories: Mapping[str, str] = field(default_factory=dict)
    warm_up: Callable[[], None] = lambda: None
    voice: Voice = field(default_factory=Voice)


def build_from(factory: str, options: Mapping[str, Any]) -> EngineParts:
    """Call the factory that `module:function` names. Raises WorkerFailed."""
    module, _, name = factory.partition(":")
    try:
        build = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise WorkerFailed(f"the engine factory '{factory}' can't be found: {error}") from error
    parts = build(options)
    if not isinstance(parts, EngineParts):
        raise WorkerFailed(f"the engine factory '{factory}' gave no EngineParts")
    return parts
