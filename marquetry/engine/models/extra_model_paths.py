"""ComfyUI's `extra_model_paths.yaml`: further folders for each kind of model, and for node packs.

Each section may have `base_path` and `is_default`; every other key is a kind of model with one folder a line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marquetry.engine.errors import EngineError
from marquetry.engine.folders import LEGACY_KINDS, Folders

MAX_BYTES = 1_000_000
CUSTOM_NODES = "custom_nodes"


class ExtraPathsError(EngineError):
    """The file of extra model paths can't be understood."""

    code = "invalid_extra_model_paths"


@dataclass(frozen=True, slots=True)
class ExtraPath:
    """One line: a folder for a kind of model (or `custom_nodes`); `first` makes it the default place for new files."""

    section: str
    kind: str
    path: Path
    first: bool = False


def read_extra_model_paths(file: Path) -> list[ExtraPath]:
    """The folders that a file names, in its order. Relative ones are below `base_path`, and that below the file's folder.

    `~` and environment variables are filled in. Raises ExtraPathsError, which names the section, for anything of another form.
    """
    import yaml

    try:
        if file.stat().st_size > MAX_BYTES:
            raise ExtraPathsError(f"{file} is too large for a list of folders")
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExtraPathsError(f"{file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ExtraPathsError(f"{file} is not YAML: {error}") from error
    if document is None:
        return []
    if not isinstance(document, dict):
        raise ExtraPathsError(f"{file} must map names of sections to folders")
    found: list[ExtraPath] = []
    for name, section in document.items():
        if section is not None:
            found.extend(_section(file, str(name), section))
    return found


def apply_extra_model_paths(folders: Folders, file: Path) -> list[ExtraPath]:
    """Add what the file names to `folders`; gives what was added. Folders need not exist. Errors as in `read_extra_model_paths`."""
    extras = read_extra_model_paths(file)
    for extra in extras:
        if extra.kind != CUSTOM_NODES:
            folders.add_model_folder(extra.kind, extra.path, first=extra.first)
        elif extra.path not in folders.custom_nodes:
            folders.custom_nodes.insert(0 if extra.first else len(folders.custom_nodes), extra.path)
    return extras


def _section(file: Path, name: str, section: Any) -> Iterator[ExtraPath]:
    if not isinstance(section, dict):
        raise ExtraPathsError(f"{file}: section '{name}' must map kinds of models to folders")
    first = section.get("is_default", False)
    if not isinstance(first, bool):
        raise ExtraPathsError(f"{file}: 'is_default' of section '{name}' must be true or false")
    base = section.get("base_path")
    if base is not None and not isinstance(base, str):
        raise ExtraPathsError(f"{file}: 'base_path' of section '{name}' must be a folder")
    root = file.parent.absolute() if base is None else _expanded(file.parent.absolute(), base)
    for key, value in section.items():
        if key in ("base_path", "is_default"):
            continue
        lines = value if isinstance(value, list) else [value]
        if not all(isinstance(line, str) for line in lines):
            raise ExtraPathsError(f"{file}: '{key}' of section '{name}' must be folders, one a line")
        kind = LEGACY_KINDS.get(str(key), str(key))
        for line in "\n".join(lines).split("\n"):
            if line.strip():
                yield ExtraPath(name, kind, _expanded(root, line.strip()), first)


def _expanded(root: Path, path: str) -> Path:
    return Path(os.path.normpath(root / os.path.expandvars(os.path.expanduser(path))))
