"""`folder_paths` for packs: names of files and folders, on the engine's Folders."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from marquetry.custom_nodes.installation import current
from marquetry.custom_nodes.paths import FolderTable, filtered
from marquetry.custom_nodes.save_path import SavePath, save_path
from marquetry.engine.expansion import current_context
from marquetry.engine.folders import ANNOTATION, LEGACY_KINDS, WEIGHT_SUFFIXES

_folders = current().folders

base_path = str(_folders.data)
models_dir = str(_folders.models)
output_directory = str(_folders.output)
input_directory = str(_folders.input)
temp_directory = str(_folders.temp)
user_directory = str(_folders.user)
supported_pt_extensions: set[str] = set(WEIGHT_SUFFIXES)
folder_names_and_paths = FolderTable(_folders)
filename_list_cache: dict[str, Any] = {}
extension_mimetypes_cache: dict[str, str] = {"webp": "image", "fbx": "model", "glb": "model"}
__file__ = os.path.join(base_path, "folder_paths.py")  # packs look for the installation beside this file


class CacheHelper:
    """A context in which ComfyUI keeps listings; the engine's listings are kept by themselves."""

    def __init__(self) -> None:
        self.cache: dict[str, Any] = {}
        self.active = False

    def get(self, key: str, default: Any = None) -> Any:
        return self.cache.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.cache[key] = value

    def clear(self) -> None:
        self.cache.clear()

    def __enter__(self) -> CacheHelper:
        self.active = True
        return self

    def __exit__(self, *error: object) -> None:
        self.active = False
        self.clear()


cache_helper = CacheHelper()


def map_legacy(folder_name: str) -> str:
    """The present name of a kind of model."""
    return LEGACY_KINDS.get(folder_name, folder_name)


def _own(kind: str, everybodys: str) -> str:
    """The folder of the owner of the job that runs, where owners are kept apart."""
    context = current_context.get()
    return str(context.folders.directory(kind)) if context is not None and _folders.apart else everybodys


def get_output_directory() -> str:
    return _own("output", output_directory)


def get_input_directory() -> str:
    return _own("input", input_directory)


def get_temp_directory() -> str:
    return _own("temp", temp_directory)


def get_user_directory() -> str:
    return user_directory


def set_output_directory(output_dir: str) -> None:
    global output_directory
    output_directory, _folders.output = output_dir, Path(output_dir)


def set_input_directory(input_dir: str) -> None:
    global input_directory
    input_directory, _folders.input = input_dir, Path(input_dir)


def set_temp_directory(temp_dir: str) -> None:
    global temp_directory
    temp_directory, _folders.temp = temp_dir, Path(temp_dir)


def set_user_directory(user_dir: str) -> None:
    global user_directory
    user_directory, _folders.user = user_dir, Path(user_dir)


def get_directory_by_type(type_name: str) -> str | None:
    """The folder that `input`, `output` or `temp` names."""
    folders = {"output": get_output_directory, "temp": get_temp_directory, "input": get_input_directory}
    return folders[type_name]() if type_name in folders else None


def annotated_filepath(name: str) -> tuple[str, str | None]:
    """The name without its `[input]`-like mark, and the folder that the mark names."""
    match = ANNOTATION.match(name)
    return (match["name"], get_directory_by_type(match["kind"])) if match else (name, None)


def get_annotated_filepath(name: str, default_dir: str | None = None) -> str:
    """The path of a name that may carry a mark; without one it stands in `default_dir`, else in the input folder."""
    bare, folder = annotated_filepath(name)
    return str(_folders.inside(Path(folder or default_dir or get_input_directory()), bare))


def exists_annotated_filepath(name: str) -> bool:
    bare, folder = annotated_filepath(name)
    return os.path.exists(os.path.join(folder or get_input_directory(), bare))


def add_model_folder_path(folder_name: str, full_folder_path: str, is_default: bool = False) -> None:
    folder_names_and_paths.add(folder_name, full_folder_path, is_default)


def get_folder_paths(folder_name: str) -> list[str]:
    return list(folder_names_and_paths[map_legacy(folder_name)][0])


def get_full_path(folder_name: str, filename: str) -> str | None:
    """The file of that name, or None."""
    kind = map_legacy(folder_name)
    if kind not in folder_names_and_paths:
        return None
    if kind in _folders.kinds:
        found = _folders.find(kind, filename)
        return None if found is None else str(found)
    places = (Path(place) / filename for place in get_folder_paths(kind))
    return next((str(place) for place in places if place.is_file()), None)


def get_full_path_or_raise(folder_name: str, filename: str) -> str:
    path = get_full_path(folder_name, filename)
    if path is None:
        raise FileNotFoundError(f"no file '{filename}' among the {folder_name}")
    return path


def get_filename_list(folder_name: str) -> list[str]:
    """The names of all files of a kind; KeyError for a kind that nobody has."""
    kind = map_legacy(folder_name)
    if kind not in folder_names_and_paths:
        raise KeyError(kind)
    if kind in _folders.kinds:
        return list(_folders.list_files(kind))
    places, suffixes = folder_names_and_paths[kind]
    return sorted({name for place in places for name in filter_files_extensions(recursive_search(place)[0], suffixes)})


def recursive_search(directory: str, excluded_dir_names: Sequence[str] | None = None) -> tuple[list[str], dict[str, float]]:
    """Files below a folder, relative to it, and the folders with their times of change."""
    if not os.path.isdir(directory):
        return [], {}
    files: list[str] = []
    stamps = {directory: os.path.getmtime(directory)}
    for folder, folders, names in os.walk(directory, followlinks=True):
        folders[:] = [name for name in folders if name not in (excluded_dir_names or [])]
        stamps.update((os.path.join(folder, name), os.path.getmtime(os.path.join(folder, name))) for name in folders)
        files += [os.path.relpath(os.path.join(folder, name), directory) for name in names]
    return files, stamps


def filter_files_extensions(files: Collection[str], extensions: Collection[str]) -> list[str]:
    return filtered(files, extensions)


def filter_files_content_types(files: Iterable[str], content_types: Sequence[str]) -> list[str]:
    """The files whose type (image, audio, video, model) is among these."""

    def kind(file: str) -> str:
        suffix = file.rpartition(".")[2].lower()
        return extension_mimetypes_cache.get(suffix) or (mimetypes.guess_type(file)[0] or "").partition("/")[0]

    return [file for file in files if kind(file) in content_types]


def get_input_subfolders() -> list[str]:
    """The folders inside the input folder, relative to it."""
    root = get_input_directory()
    found = [os.path.relpath(folder, root) for folder, _, _ in os.walk(root) if folder != root]
    return sorted(found)


def get_save_image_path(filename_prefix: str, output_dir: str, image_width: int = 0, image_height: int = 0) -> SavePath:
    """Where the next file of a prefix goes: folder, name, counter, subfolder and the prefix with its placeholders filled."""
    return save_path(filename_prefix, output_dir, image_width, image_height)
