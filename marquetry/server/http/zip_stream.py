"""ZipStream: a ZIP of files that is made while it is sent, so that it needs neither a file nor memory of its size."""

from __future__ import annotations

import asyncio
import io
import re
import time
import unicodedata
import zipfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

PART_BYTES = 1 << 20
MAX_NAME_CHARACTERS = 120
UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the archive: from a path, or its bytes. A file that is gone by then is left out."""

    name: str
    content: Path | bytes


def safe_name(name: str) -> str:
    """A name that every system takes for a file in the folder where the archive is unpacked, whatever was given."""
    plain = UNSAFE.sub("_", unicodedata.normalize("NFC", name)).strip(" .") or "file"
    if RESERVED.fullmatch(plain):
        plain = f"_{plain}"
    if len(plain) <= MAX_NAME_CHARACTERS:
        return plain
    stem, dot, ending = plain.rpartition(".")
    return f"{stem[: MAX_NAME_CHARACTERS - 16]}{dot}{ending[:15]}" if dot and len(ending) < 16 else plain[:MAX_NAME_CHARACTERS]


async def zip_parts(entries: Iterable[Entry]) -> AsyncIterator[bytes]:
    """The archive, piece by piece; files are read beside the event loop. Names are made safe, and different from each other."""
    parts = _parts(entries)
    while (part := await asyncio.to_thread(next, parts, None)) is not None:
        yield part


def _parts(entries: Iterable[Entry]) -> Iterator[bytes]:
    sink = _Sink()
    taken: set[str] = set()
    with zipfile.ZipFile(cast(Any, sink), "w", zipfile.ZIP_STORED) as archive:  # pictures and films are packed already
        for entry in entries:
            with suppress(FileNotFoundError):
                yield from _entry(archive, sink, entry, _different(safe_name(entry.name), taken))
    if rest := sink.take():
        yield rest


def _entry(archive: zipfile.ZipFile, sink: _Sink, entry: Entry, name: str) -> Iterator[bytes]:
    info = zipfile.ZipInfo(name, time.localtime()[:6])
    info.external_attr = 0o644 << 16
    if isinstance(entry.content, bytes):
        archive.writestr(info, entry.content)
        return
    with entry.content.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
        while chunk := source.read(PART_BYTES):
            target.write(chunk)
            if part := sink.take():
                yield part


def _different(name: str, taken: set[str]) -> str:
    stem, dot, ending = name.rpartition(".")
    number, chosen = 1, name
    while chosen.lower() in taken:  # some systems hold A and a for the same
        number += 1
        chosen = f"{stem}-{number}.{ending}" if dot else f"{name}-{number}"
    taken.add(chosen.lower())
    return chosen


class _Sink(io.RawIOBase):
    """What the archive is written to: it can't go back, and gives away what it has."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._held += piece
        return len(piece)

    def take(self) -> bytes:
        held, self._held = bytes(self._held), bytearray()
        return held
