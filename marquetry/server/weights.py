"""What the server can say of weight files without reading weights: listings, metadata, preview pictures."""

from __future__ import annotations

import base64
import binascii
import io
from pathlib import Path
from typing import Any

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.folders import PRIVATE_WEIGHTS, Folders
from marquetry.server.http.errors import NotFound

HIDDEN_KINDS = frozenset({"configs"})
PREVIEW_SUFFIXES = (".webp", ".png", ".jpg", ".jpeg", ".gif")
PREVIEW_PIXELS = 512


def kinds(folders: Folders) -> list[str]:
    """The kinds of models, as clients list them."""
    return [kind for kind in folders.kinds if kind not in HIDDEN_KINDS]


def names(folders: Folders, kind: str) -> list[str]:
    """The files of a kind. Raises ModelNotFound for an unknown kind."""
    return list(folders.list_files(kind))


def entries(folders: Folders, kind: str) -> list[dict[str, Any]]:
    """The files of a kind with the number of their folder, their bytes and their times in s."""
    places = folders.model_folders(kind)
    found: list[dict[str, Any]] = []
    for name in folders.list_files(kind):
        for number, place in enumerate(places):
            try:
                status = (place / name).stat()
            except OSError:
                continue
            found.append(
                {"name": name, "pathIndex": number, "modified": status.st_mtime, "created": status.st_ctime, "size": status.st_size}
            )
    return found


def metadata(folders: Folders, kind: str, name: str) -> dict[str, str]:
    """What a safetensors file says of itself. Raises NotFound when it says nothing."""
    from marquetry.engine.models.safetensors_file import read_header

    path = folders.find(kind, name)
    if path is None or PRIVATE_WEIGHTS in name or path.suffix not in (".safetensors", ".sft"):
        raise NotFound(f"there is no safetensors file '{name[:200]}' among the {kind[:60]}")
    said = dict(read_header(path).metadata)
    if not said:
        raise NotFound(f"'{name}' holds no metadata")
    return said


def preview(folders: Folders, kind: str, folder_number: int, name: str) -> bytes:
    """A picture of what a model makes, as WebP: the file beside it, or the one inside its metadata. Raises NotFound."""
    from marquetry.engine.pictures import thumbnail

    places = folders.model_folders(kind)
    if PRIVATE_WEIGHTS in name:
        raise NotFound(f"there is no picture for '{name[:200]}'")
    if not 0 <= folder_number < len(places):
        raise NotFound(f"{kind} has no folder number {folder_number}")
    place = places[folder_number]
    path = folders.inside(place, name)
    stem = path.with_suffix("") if path.suffix in PREVIEW_SUFFIXES else path
    stems = dict.fromkeys((stem, stem.with_suffix("")))
    for base in stems:
        for ending in PREVIEW_SUFFIXES:
            for beside in (Path(f"{base}.preview{ending}"), Path(f"{base}{ending}")):
                if beside.is_file() and place.resolve() in beside.resolve().parents:
                    return thumbnail(beside, PREVIEW_PIXELS)
    for weights in (stem, Path(f"{stem}.safetensors")):
        inside = _thumbnail_inside(weights)
        if inside is not None:
            return thumbnail(inside, PREVIEW_PIXELS)
    raise NotFound(f"there is no picture for '{name[:200]}'")


def _thumbnail_inside(path: Path) -> bytes | None:
    from marquetry.engine.models.safetensors_file import read_header

    if path.suffix not in (".safetensors", ".sft") or not path.is_file():
        return None
    try:
        text = read_header(path).metadata.get("modelspec.thumbnail", "")
    except ModelFormatError:
        return None
    head, _, body = text.partition(",")
    if not head.startswith("data:image/") or not head.endswith(";base64"):
        return None
    try:
        return io.BytesIO(base64.b64decode(body, validate=True)).getvalue()
    except binascii.Error:
        return None
