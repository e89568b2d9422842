"""Packed files: ZIP archives and safetensors are looked into, without unpacking, before they are kept."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path, PurePosixPath

from marquetry.server.http.errors import UnsupportedContent

MAX_ENTRIES = 20_000
MAX_UNPACKED_BYTES = 32 * 2**30
MAX_RATIO = 200
RATIO_FROM_BYTES = 10 * 2**20
MAX_DIRECTORY_BYTES = 16 * 2**20
TAIL_BYTES = 22 + 65_535
MAX_HEADER_BYTES = 100 * 2**20
METADATA = "__metadata__"


def check_zip(path: Path) -> None:
    """Raises UnsupportedContent for an archive that is damaged, locked, would grow beyond bounds, or has names that lead out of its folder."""
    _require_small_directory(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UnsupportedContent(f"the ZIP archive can't be read: {error}") from error
    if len(entries) > MAX_ENTRIES:
        raise UnsupportedContent(f"the ZIP archive has {len(entries):,} entries; at most {MAX_ENTRIES:,} are allowed")
    unpacked, packed = sum(entry.file_size for entry in entries), sum(entry.compress_size for entry in entries)
    if unpacked > MAX_UNPACKED_BYTES or (unpacked > RATIO_FROM_BYTES and unpacked > MAX_RATIO * packed):
        raise UnsupportedContent(f"the ZIP archive would grow from {packed:,} to {unpacked:,} bytes, which is more than is allowed")
    for entry in entries:
        name = entry.filename.replace("\\", "/")
        if name.startswith("/") or ".." in PurePosixPath(name).parts or ":" in name.partition("/")[0] or "\x00" in name:
            raise UnsupportedContent(f"the ZIP archive has an entry that leads out of its folder: '{entry.filename[:100]}'")
        if entry.flag_bits & 1:
            raise UnsupportedContent(f"the ZIP archive has an entry with a password: '{entry.filename[:100]}'")
        if entry.external_attr >> 28 == 0xA:
            raise UnsupportedContent(f"the ZIP archive has a link in it: '{entry.filename[:100]}'")


def check_safetensors(path: Path) -> None:
    """Raises UnsupportedContent where the header does not describe exactly the bytes that follow it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
            raise UnsupportedContent("the safetensors file has no sound header")
        try:
            header = json.loads(file.read(length))
            spans = sorted((int(start), int(end)) for start, end in _offsets(header))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UnsupportedContent("the header of the safetensors file can't be read") from error
    reached = 0
    for start, end in spans:
        if start != reached or end < start:
            raise UnsupportedContent("the tensors of the safetensors file overlap or have gaps between them")
        reached = end
    if reached != size - 8 - length:
        raise UnsupportedContent(f"the safetensors file should have {reached + 8 + length:,} bytes by its header, but has {size:,}")


def _offsets(header: dict[str, dict[str, list[int]]]) -> list[list[int]]:
    return [entry["data_offsets"] for name, entry in header.items() if name != METADATA]


def _require_small_directory(path: Path) -> None:
    """The list of entries is read into memory by the library: it must be small, and is found at the end of the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - TAIL_BYTES))
        tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) < place + 22:
        raise UnsupportedContent("the ZIP archive has no end; it was cut short")
    listed = int.from_bytes(tail[place + 12 : place + 16], "little")
    if listed > MAX_DIRECTORY_BYTES:  # also what says that the true size stands elsewhere: archives of that many entries are not taken
        raise UnsupportedContent(
            f"the list of entries of the ZIP archive has {listed:,} bytes; at most {MAX_DIRECTORY_BYTES:,} are allowed"
        )
