"""The folders that settings name, with those of ComfyUI's `extra_model_paths.yaml` files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from marquetry.engine.folders import Folders
from marquetry.server.errors import SettingsError
from marquetry.server.settings import Settings

EXTRA_FILE = "extra_model_paths.yaml"


class ExtraPath(NamedTuple):
    """One more folder of a kind of model, or of node packs. `first`: new files go there."""

    kind: str
    path: Path
    first: bool


def folders_of(settings: Settings) -> Folders:
    """The folders of an installation; nothing is made on disk. Raises SettingsError for a file of extra paths that can't be read."""
    folders = Folders(
        settings.data,
        input=settings.input_directory or Path(),
        output=settings.output_directory or Path(),
        temp=settings.temp_directory or Path(),
        user=settings.user_directory or Path(),
        models=settings.models_directory or Path(),
    )
    files = list(settings.extra_model_paths)
    own = settings.data / EXTRA_FILE
    if own.is_file() and own not in files:
        files.insert(0, own)
    for file in files:
        for extra in read_extra_paths(file):
            if extra.kind == "custom_nodes":
                if extra.path not in folders.custom_nodes:
                    folders.custom_nodes.append(extra.path)
            else:
                folders.add_model_folder(extra.kind, extra.path, first=extra.first)
    return folders


def read_extra_paths(file: Path) -> Iterator[ExtraPath]:
    """The folders that the file names: sections of `kind: path`, relative to the section's `base_path` or to the file's own folder."""
    try:
        sections = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"the file of extra model paths {file} can't be read: {error}") from error
    if sections is None:
        return
    if not isinstance(sections, dict):
        raise SettingsError(f"the file of extra model paths {file} must hold sections, each with lines like 'checkpoints: path'")
    here = file.absolute().parent
    for name, section in sections.items():
        if section is None:
            continue
        if not isinstance(section, dict):
            raise SettingsError(f"section '{name}' of {file} must hold lines like 'checkpoints: path'")
        yield from _section(section, here)


def _section(section: dict[str, Any], here: Path) -> Iterator[ExtraPath]:
    base = section.get("base_path")
    root = here / os.path.expanduser(os.path.expandvars(str(base))) if base else here
    first = bool(section.get("is_default", False))
    for kind, places in section.items():
        if kind in ("base_path", "is_default") or places is None:
            continue
        for line in str(places).splitlines():
            if line.strip():
                yield ExtraPath(str(kind), Path(os.path.normpath(root / os.path.expanduser(line.strip()))), first)
