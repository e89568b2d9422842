"""The engine of an installation: its folders, all built-in nodes, its packs, its models and its cache, made from the settings."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import marquetry.nodes
from marquetry.engine.cache import ResultCache
from marquetry.engine.context import Services
from marquetry.engine.disk_store import DiskStore
from marquetry.engine.execution.executor import Executor
from marquetry.engine.folders import Folders
from marquetry.engine.registry import Registry
from marquetry.server.data_folders import folders_of
from marquetry.server.jobs.workers.parts import EngineParts
from marquetry.server.jobs.workers.voice import Voice
from marquetry.server.jobs.workers.worker import RUN_VARIABLE
from marquetry.server.node_types import comfy_options
from marquetry.server.settings import Settings

if TYPE_CHECKING:
    from marquetry.engine.models.library import ModelLibrary

logger = logging.getLogger(__name__)


def build_engine(options: Mapping[str, Any]) -> EngineParts:
    """The engine that `workers.options_of` some settings describe."""
    from marquetry.engine.models.library import ModelLibrary

    settings = Settings(**options)
    folders = folders_of(settings)
    folders.create()
    registry = Registry()
    registry.scan(marquetry.nodes)
    models = ModelLibrary(folders, device=None if settings.device == "auto" else settings.device)
    services = Services(folders, models, settings.preview_size, metadata=not settings.disable_metadata)
    voice = Voice()
    failed, web_directories = _load_packs(settings, folders, registry, models, voice)
    store: DiskStore | None = None
    if settings.cache_disk_bytes:
        folder, run = settings.data / "cache" / "results", os.environ.get(RUN_VARIABLE, "")
        store = DiskStore(folder, settings.cache_disk_bytes, max_age_s=settings.cache_disk_hours * 3600, epoch=run)
    executor = Executor(
        registry,
        services,
        ResultCache(settings.cache_memory_bytes, store, settings.cache_entries),
        limits=settings.limits.of_graphs(),
        numerics=models.numerics,
    )
    return EngineParts(registry, services, executor, failed, web_directories, _warm_up, voice)


def _load_packs(
    settings: Settings, folders: Folders, registry: Registry, models: ModelLibrary, voice: Voice
) -> tuple[dict[str, str], dict[str, str]]:
    """Why packs are missing, and where the scripts of the others are."""
    if not settings.custom_nodes:
        return {}, {}
    from marquetry.custom_nodes.host import load_packs
    from marquetry.custom_nodes.installation import Installation

    options = comfy_options(settings)
    installation = Installation(folders, registry, send=voice.say, models=models, device=str(models.device), options=options)
    failed: dict[str, str] = {}
    for report in load_packs(registry, folders, installation=installation, allowed=settings.custom_nodes_allowed):
        if report.error is not None:
            failed[report.name] = report.error
            logger.error("the node pack %s could not be loaded: %s", report.name, report.error)
        for name, reason in report.skipped.items():
            failed[f"{report.name}: {name}"] = reason
    return failed, dict(installation.web_directories)


def _warm_up() -> None:
    """Import what the first job would wait for."""
    from marquetry.engine.models.network import import_classes

    try:
        import_classes()
    except Exception:  # a broken library fails the jobs that need it, not the worker
        logger.exception("a model library can't be imported")
