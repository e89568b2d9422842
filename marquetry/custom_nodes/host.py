"""Host: finds node packs, imports them and fills the registry. One bad pack, or one bad class, keeps no other from loading."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import inspect
import logging
import os
import sys
import time
import tomllib
import traceback
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from marquetry.custom_nodes.installation import Installation, install
from marquetry.custom_nodes.v1 import Registration, node_type_of
from marquetry.engine.errors import DeclarationError
from marquetry.engine.folders import Folders
from marquetry.engine.registry import Registry
from marquetry.engine.schema import NodeType

log = logging.getLogger(__name__)
PRESTARTUP = "prestartup_script.py"


@dataclass
class PackReport:
    """What became of one pack. `error` is the traceback when it did not load; `skipped` says why single classes were left out."""

    name: str
    path: Path
    node_ids: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    import_s: float = 0.0
    web_directory: Path | None = None  # served at /extensions/<name>/
    version: str = ""

    @property
    def ok(self) -> bool:
        return self.error is None


def find_packs(folders: Folders, allowed: Collection[str] = ()) -> list[Path]:
    """The packages and single files in every folder of packs, in listing order. `allowed` names the only ones, if not empty."""
    found: list[Path] = []
    for folder in folders.custom_nodes:
        if not folder.is_dir():
            continue
        for name in os.listdir(folder):
            path = folder / name
            if name == "__pycache__" or name.endswith(".disabled") or name.startswith("."):
                continue
            if allowed and path.stem not in allowed and name not in allowed:
                continue
            if path.is_dir() or path.suffix == ".py":
                found.append(path)
    return found


def load_packs(
    registry: Registry, folders: Folders, *, installation: Installation | None = None, allowed: Collection[str] = ()
) -> list[PackReport]:
    """Import every pack and add its nodes. Built-in nodes can't be replaced; later packs replace earlier ones."""
    packs = find_packs(folders, allowed)
    if not packs:
        return []
    install(installation or Installation(folders, registry))
    core = frozenset(id for id, node_type in registry.items() if not node_type.module.startswith("custom_nodes."))
    for path in packs:
        _prestart(path)
    return [_load(path, registry, core, installation) for path in packs]


def _prestart(path: Path) -> None:
    script = path / PRESTARTUP
    if not script.is_file():
        return
    try:
        _import(script, f"{_module_name(path)}.prestartup")
    except Exception:
        log.exception("%s of pack '%s' failed", PRESTARTUP, path.name)


def _load(path: Path, registry: Registry, core: frozenset[str], installation: Installation | None) -> PackReport:
    report = PackReport(path.stem if path.is_file() else path.name, path)
    started = time.perf_counter()
    try:
        module = _import(path / "__init__.py" if path.is_dir() else path, _module_name(path))
        report.version = _version(path)
        classes, titles = _classes(module)
        report.web_directory = _web_directory(path, module)
    except (Exception, SystemExit) as error:
        report.error = traceback.format_exc()
        log.error("pack '%s' did not load: %s: %s\n%s", report.name, type(error).__name__, error, report.error)
        return report
    finally:
        report.import_s = time.perf_counter() - started
    if installation is not None and report.web_directory is not None:
        installation.web_directories[report.name] = str(report.web_directory)
    _register(report, registry, core, classes, titles)
    log.info("pack '%s': %d nodes in %.2f s", report.name, len(report.node_ids), report.import_s)
    return report


def _register(report: PackReport, registry: Registry, core: frozenset[str], classes: Mapping[Any, Any], titles: Mapping[Any, Any]) -> None:
    added: list[str] = []
    skipped: dict[str, str] = {}
    for key, node_class in classes.items():
        id = str(key)
        if id in core:
            skipped[id] = "a built-in node has this id"
            continue
        registration = Registration(id, str(titles.get(key) or _own_title(node_class) or id), f"custom_nodes.{report.name}", report.version)
        try:
            node_type = _described(node_class, registration)
        except DeclarationError as error:
            skipped[id] = error.message
            log.warning("pack '%s': %s", report.name, error.message)
            continue
        registry.add(node_type, replace=True)
        added.append(id)
    report.node_ids, report.skipped = tuple(added), skipped


def _own_title(node_class: Any) -> str | None:
    """The title that a V3 schema gives, for packs that list such classes beside V1 ones."""
    try:
        return node_class.GET_SCHEMA().display_name or None
    except Exception:  # no schema, or one that fails: describing the class says so
        return None


def _described(node_class: Any, registration: Registration) -> NodeType:
    if not isinstance(node_class, type):
        raise DeclarationError(f"{registration.id}: a class is needed, not {type(node_class).__name__}", id=registration.id)
    node_class.RELATIVE_PYTHON_MODULE = registration.module  # type: ignore[attr-defined]  # packs read it
    return node_type_of(node_class, registration)


def _module_name(path: Path) -> str:
    whole = path.with_suffix("") if path.is_file() else path
    return str(whole).replace(".", "_x_")


def _import(file: Path, name: str) -> ModuleType:
    if not file.is_file():
        raise FileNotFoundError(f"{file.parent} has no {file.name}, so it is no node pack")
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} can't be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _classes(module: ModuleType) -> tuple[Mapping[Any, Any], Mapping[Any, Any]]:
    classes = getattr(module, "NODE_CLASS_MAPPINGS", None)
    if classes is not None:
        return classes, getattr(module, "NODE_DISPLAY_NAME_MAPPINGS", None) or {}
    entrypoint = getattr(module, "comfy_entrypoint", None)
    if entrypoint is None:
        return {}, {}
    listed = _awaited(_extension_nodes(entrypoint))
    schemas = {node_class: node_class.GET_SCHEMA() for node_class in listed}
    return (
        {schema.node_id: node_class for node_class, schema in schemas.items()},
        {schema.node_id: schema.display_name or schema.node_id for schema in schemas.values()},
    )


async def _extension_nodes(entrypoint: Any) -> list[Any]:
    extension = entrypoint()
    if inspect.isawaitable(extension):
        extension = await extension
    loaded = getattr(extension, "on_load", None)
    if loaded is not None:
        await loaded()
    return list(await extension.get_node_list())


def _awaited(work: Any) -> Any:
    """The result of a coroutine, also where an event loop runs already."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def _web_directory(path: Path, module: ModuleType) -> Path | None:
    if not path.is_dir():
        return None
    named = getattr(module, "WEB_DIRECTORY", None) or _pyproject(path).get("tool", {}).get("comfy", {}).get("web")
    folder = path / str(named) if named else None
    return folder.resolve() if folder is not None and folder.is_dir() else None


def _pyproject(path: Path) -> dict[str, Any]:
    file = path / "pyproject.toml"
    try:
        return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        log.warning("%s can't be read: %s", file, error)
        return {}


def _version(path: Path) -> str:
    """A hash of the pack's Python files: results of other code are not taken for this code's."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(_python_files(path)):
        digest.update(str(file.relative_to(path.parent)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _python_files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in ("__pycache__", "node_modules")]
        yield from (Path(folder) / name for name in files if name.endswith(".py"))
