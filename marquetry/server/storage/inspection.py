"""Inspection: a file that came in is known by its content, checked, rid of what tells of a person, and measured. Blocks; belongs in a thread."""

from __future__ import annotations

import hashlib
from pathlib import Path

from marquetry.engine.errors import InvalidPicture
from marquetry.engine.pictures.limits import MAX_BYTES, MAX_PIXELS, MAX_RESOLUTION
from marquetry.server.http.errors import UnsupportedContent
from marquetry.server.http.files import BINARY
from marquetry.server.storage.content_type import HEAD_BYTES, IMAGES, PURPOSES, SAFETENSORS, SUFFIXES, TEXT, ZIP, sniffed
from marquetry.server.storage.file import Facts
from marquetry.server.storage.moving_pictures import Measures, blank_mp4, mp4_measures, webm_measures
from marquetry.server.storage.packed_files import check_safetensors, check_zip
from marquetry.server.storage.sounds import blank_wav, duration_ms

MAX_TEXT_BYTES = 16 * 2**20
PART_BYTES = 1 << 20
PERSONAL_TAGS = frozenset({0x8825, 0x013B, 0x8298, 0xA430, 0xA431, 0xA435})  # place, artist, copyright, owner, numbers of camera and lens
EXIF_BLOCK = 0x8769
MARKUP = (b"<!doctype", b"<html", b"<svg", b"<?xml", b"<script", b"<head", b"<body", b"<!--")


def accept(path: Path, purpose: str, max_pixels: int = MAX_PIXELS) -> Facts:
    """Check what somebody uploaded, clean it in place, and measure it. Raises UnsupportedContent and InvalidPicture."""
    allowed = PURPOSES[purpose]
    media_type = content_type(path)
    if media_type is None or media_type not in allowed:
        known = ", ".join(sorted({SUFFIXES[kind].lstrip(".") for kind in allowed}))
        found = "nothing that is known here" if media_type is None else media_type
        raise UnsupportedContent(f"by its content the file is {found}; for '{purpose}' it must be one of: {known}", media_type=media_type)
    if media_type in IMAGES:
        _clean_picture(path, min(max_pixels, MAX_PIXELS))
    elif media_type in ("video/mp4", "video/quicktime", "audio/mp4"):
        blank_mp4(path)
    elif media_type == "audio/wav":
        blank_wav(path)
    elif media_type == ZIP:
        check_zip(path)
    elif media_type == SAFETENSORS:
        check_safetensors(path)
    return measured(path, media_type)


def describe(path: Path) -> Facts:
    """What a file is that a node saved. Unknown content is plain bytes; a picture that tells where or by whom it was taken loses that."""
    media_type = content_type(path) or BINARY
    if media_type in IMAGES and _tells_of_a_person(path):
        _clean_picture(path, MAX_PIXELS)
    return measured(path, media_type)


def content_type(path: Path) -> str | None:
    """The type by content, or None."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return sniffed(head, size) or (TEXT if size <= MAX_TEXT_BYTES and is_text(path) else None)


def is_text(path: Path) -> bool:
    """Whether all of it is text, and not a page or a drawing that a browser would run."""
    data = path.read_bytes()
    if not data or data.lstrip()[:16].lower().startswith(MARKUP):
        return False
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not any(ord(character) < 32 and character not in "\t\r\n\f" for character in text)


def measured(path: Path, media_type: str) -> Facts:
    """The facts of a file of a known type."""
    digest, size = hash_of(path)
    sides = _measures(path, media_type)
    return Facts(digest, size, media_type, sides.width, sides.height, sides.duration_ms)


def hash_of(path: Path) -> tuple[str, int]:
    """SHA-256 and size."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while part := file.read(PART_BYTES):
            digest.update(part)
            size += len(part)
    return digest.hexdigest(), size


def _measures(path: Path, media_type: str) -> Measures:
    if media_type in IMAGES:
        return _picture_measures(path)
    if media_type in ("video/mp4", "video/quicktime", "audio/mp4"):
        return mp4_measures(path)
    if media_type in ("video/webm", "video/x-matroska"):
        return webm_measures(path)
    return Measures(duration_ms=duration_ms(path, media_type))


def _clean_picture(path: Path, max_pixels: int) -> None:
    from marquetry.engine.pictures import strip_metadata
    from marquetry.server.people import write_whole

    sides, size = _picture_measures(path), path.stat().st_size
    if size > MAX_BYTES:
        raise InvalidPicture(f"the picture file has {size:,} bytes; at most {MAX_BYTES:,} are read")
    if max(sides.width or 0, sides.height or 0) > MAX_RESOLUTION:
        raise InvalidPicture(f"the picture has {sides.width}x{sides.height} pixels; a side may have at most {MAX_RESOLUTION:,}")
    data = path.read_bytes()
    cleaned = strip_metadata(data, max_pixels=max_pixels)
    if cleaned != data:
        write_whole(path, cleaned)


def _picture_measures(path: Path) -> Measures:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=("PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF", "BMP")) as image:
            return Measures(*image.size)
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning, OSError, ValueError, SyntaxError):
        return Measures()


def _tells_of_a_person(path: Path) -> bool:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            exif = image.getexif()
            return not PERSONAL_TAGS.isdisjoint({*exif, *exif.get_ifd(EXIF_BLOCK)})
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning, OSError, ValueError, SyntaxError):
        return False
