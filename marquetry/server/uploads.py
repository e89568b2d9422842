"""Uploads: what people send becomes a file in `input`, `temp` or `output`, under a sound name and without what tells of a person."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from aiohttp import BodyPartReader, hdrs, web
from aiohttp.http_exceptions import BadHttpMessage
from pathvalidate import sanitize_filename

from marquetry.engine.errors import UnsafePath
from marquetry.engine.folders import Folders
from marquetry.engine.pictures.limits import MAX_PIXELS
from marquetry.server.http.errors import RequestError, TooLarge, UnsupportedContent

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".avif", ".bmp"})
MEDIA_SUFFIXES = frozenset(
    {".mp4", ".webm", ".mkv", ".mov", ".avi", ".m4v", ".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".glb", ".gltf", ".obj"}
    | {
        ".fbx",
        ".stl",
        ".ply",
        ".splat",
        ".spz",
        ".ksplat",
        ".usdz",
        ".mtl",
        ".json",
        ".txt",
        ".csv",
        ".srt",
        ".vtt",
        ".latent",
        ".exr",
        ".hdr",
    }
)
MAX_FIELD_BYTES = 64 * 1024
MAX_NAME_CHARACTERS = 200
MAX_COPIES = 10_000


@dataclass(frozen=True)
class Upload:
    """A received form: the file's name and bytes, and the other fields."""

    name: str
    data: bytes
    fields: dict[str, str]


async def receive(request: web.Request, limit_bytes: int, field: str = "image") -> Upload:
    """Read a multipart form with a file in `field`. Raises RequestError, or TooLarge as soon as the limit is passed."""
    if request.content_length is not None and request.content_length > limit_bytes + 16 * MAX_FIELD_BYTES:
        raise TooLarge(f"the upload has {request.content_length:,} bytes; at most {limit_bytes:,} are allowed", limit_bytes=limit_bytes)
    if not request.headers.get(hdrs.CONTENT_TYPE, "").lower().startswith("multipart/form-data"):
        raise RequestError(f"an upload is a multipart/form-data body with the file in the field '{field}'")
    name, data, fields = "", b"", dict[str, str]()
    try:
        reader = await request.multipart()
        count = 0
        while (part := await reader.next()) is not None:
            count += 1
            if not isinstance(part, BodyPartReader) or count > 32:
                raise RequestError("the form has parts inside parts, or more than 32 of them")
            if part.name == field and part.filename:
                name, data = part.filename, await _read(part, limit_bytes)
            elif part.name:
                fields[part.name] = (await _read(part, MAX_FIELD_BYTES)).decode("utf-8", "replace")
    except (ValueError, AssertionError, RuntimeError, BadHttpMessage) as error:
        raise RequestError(f"the form is not sound multipart/form-data: {error}") from error
    if not name:
        raise RequestError(f"the form has no file in the field '{field}'")
    return Upload(name, data, fields)


def store(upload: Upload, folders: Folders, max_pixels: int = MAX_PIXELS) -> dict[str, str]:
    """Write a file where its fields say: `type` (input), `subfolder`, `overwrite`. Returns its name, subfolder and type.

    A name that is taken by other bytes gets a number, the same bytes keep the old name. Raises UnsafePath, UnsupportedContent, InvalidPicture.
    """
    kind = upload.fields.get("type") or "input"
    subfolder = (
        upload.fields.get("subfolder", "").strip().replace("\\", "/").strip("/")
        if not _leaves(upload.fields.get("subfolder", ""))
        else None
    )
    if subfolder is None:
        raise UnsafePath("the subfolder leads out of its folder")
    root = folders.directory(kind)
    folder = folders.inside(root, subfolder) if subfolder else root.resolve()
    data, name = cleaned(upload.data, sound_name(upload.name), max_pixels)
    folder.mkdir(parents=True, exist_ok=True)
    name = write(folder, name, data, overwrite=upload.fields.get("overwrite", "").lower() in ("true", "1"))
    return {"name": name, "subfolder": subfolder, "type": kind}


def cleaned(data: bytes, name: str, max_pixels: int) -> tuple[bytes, str]:
    """The bytes without metadata that tells of a person, and the name; pictures are known by their content, whatever they are called."""
    from marquetry.engine.pictures import sniff, strip_metadata

    suffix = os.path.splitext(name)[1].lower()
    if sniff(data) is not None and (suffix in PICTURE_SUFFIXES or suffix not in MEDIA_SUFFIXES):
        return strip_metadata(
            data, max_pixels=min(max_pixels, MAX_PIXELS)
        ), name if suffix in PICTURE_SUFFIXES else f"{name}.{(sniff(data) or 'png').lower()}"
    if suffix in PICTURE_SUFFIXES:
        raise UnsupportedContent(f"'{name}' is named as a picture, but its content is none that can be read")
    if suffix not in MEDIA_SUFFIXES:
        raise UnsupportedContent(f"'{name}' is neither a picture, a video, a sound nor another file that graphs read")
    return data, name


def write(folder: Path, name: str, data: bytes, *, overwrite: bool) -> str:
    """Write under `name` or, where that is taken by other bytes, under the next free number. Never follows a link; whole or not at all."""
    stem, suffix = os.path.splitext(name)
    for count in range(MAX_COPIES):
        chosen = name if count == 0 else f"{stem} ({count}){suffix}"
        path = folder / chosen
        if not overwrite and path.is_file() and not path.is_symlink() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return chosen
        if path.is_dir():
            continue
        partial = folder / f".{secrets.token_hex(8)}.partial"
        try:
            partial.write_bytes(data)
            if overwrite:
                os.replace(partial, path)  # replaces a link itself, not what it points to
                return chosen
            try:
                os.link(partial, path)
                return chosen
            except FileExistsError:
                continue
        finally:
            partial.unlink(missing_ok=True)
    raise RequestError(f"there are {MAX_COPIES} files called '{name}' already")


def sound_name(name: str) -> str:
    """A file's name without its folders and without what file systems do not take. Raises UnsafePath when nothing is left."""
    bare = str(sanitize_filename(name.replace("\\", "/").rpartition("/")[2].strip(), platform="universal")).lstrip(".")
    stem, suffix = os.path.splitext(bare)
    bare = stem[: MAX_NAME_CHARACTERS - len(suffix)] + suffix
    while len(bare.encode()) > MAX_NAME_CHARACTERS + 30:
        stem = stem[:-8]
        bare = stem + suffix
    if not stem:
        raise UnsafePath(f"'{name[:100]}' is not a name for a file")
    return bare


def original_reference(fields: dict[str, str]) -> dict[str, str]:
    """The picture that an uploaded mask belongs to: `original_ref`, a JSON object with filename, subfolder and type."""
    try:
        reference = json.loads(fields.get("original_ref", ""))
    except ValueError as error:
        raise RequestError("original_ref must be a JSON object with filename, subfolder and type") from error
    if not isinstance(reference, dict) or not isinstance(reference.get("filename"), str):
        raise RequestError("original_ref must be a JSON object with a filename")
    return {name: value for name, value in reference.items() if isinstance(value, str)}


def _leaves(subfolder: str) -> bool:
    parts = subfolder.replace("\\", "/").split("/")
    return subfolder.startswith(("/", "\\")) or ".." in parts or "\x00" in subfolder


async def _read(part: BodyPartReader, limit_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while chunk := await part.read_chunk(256 * 1024):
        size += len(chunk)
        if size > limit_bytes:
            raise TooLarge(
                f"'{part.filename or part.name}' has more than the {limit_bytes:,} bytes that are allowed", limit_bytes=limit_bytes
            )
        pieces.append(chunk)
    return b"".join(pieces)
