"""Moving pictures: sizes and durations from the headers of MP4, QuickTime and WebM, and their metadata made blank in place.

ISO/IEC 14496-12 (boxes) and RFC 8794 (EBML). Files may be hostile: counts and depths are bounded, and what is not understood stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_BOXES = 20_000
MAX_HEADER_BYTES = 1 << 20
BLANK_BYTES = 1 << 16
BLANKED = frozenset({b"udta", b"meta", b"uuid"})  # tags, places and whatever cameras add
TIMED = frozenset({b"mvhd", b"tkhd", b"mdhd"})
INSIDE = frozenset({b"moov", b"trak", b"mdia"})
LONGEST_MS = 10**10


@dataclass(frozen=True, slots=True)
class Measures:
    """What a header tells."""

    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    start: int
    body: int
    end: int


def mp4_measures(path: Path) -> Measures:
    """Of the longest sides of all tracks. Unknown where the file is not sound."""
    width = height = 0
    duration_ms: int | None = None
    with path.open("rb") as file:
        for box in _boxes(file, 0, path.stat().st_size):
            if box.kind == b"mvhd":
                duration_ms = _duration_ms(_body(file, box, 36))
            elif box.kind == b"tkhd":
                sides = _body(file, box, 104)[-8:] if box.end - box.body in (84, 96) else b""
                width = max(width, int.from_bytes(sides[:4], "big") >> 16)
                height = max(height, int.from_bytes(sides[4:], "big") >> 16)
    return Measures(width or None, height or None, duration_ms)


def blank_mp4(path: Path) -> None:
    """Make tags, places and times of recording blank; sizes and places of all else stay as they are."""
    with path.open("r+b") as file:
        for box in list(_boxes(file, 0, path.stat().st_size)):
            if box.kind in BLANKED:
                file.seek(box.start + 4)
                file.write(b"free")
                _zero(file, box.body, box.end)
            elif box.kind in TIMED and box.end - box.body >= 20:
                file.seek(box.body)
                _zero(file, box.body + 4, box.body + (20 if file.read(1) == b"\x01" else 12))


def webm_measures(path: Path) -> Measures:
    """As `mp4_measures`, from the beginning of the file."""
    with path.open("rb") as file:
        data = file.read(MAX_HEADER_BYTES)
    found: dict[int, bytes] = {}
    for id, body in _elements(data):
        found.setdefault(id, body)
    scale = int.from_bytes(found.get(0x2AD7B1, b"\x0f\x42\x40"), "big")
    return Measures(_side(found.get(0xB0)), _side(found.get(0xBA)), _webm_duration_ms(found.get(0x4489, b""), scale))


def _boxes(file: BinaryIO, start: int, end: int, budget: list[int] | None = None) -> Iterator[_Box]:
    budget = [MAX_BOXES] if budget is None else budget
    while start + 8 <= end and budget[0] > 0:
        budget[0] -= 1
        file.seek(start)
        head = file.read(16)
        size, kind, body = int.from_bytes(head[:4], "big"), head[4:8], start + 8
        if size == 1:
            size, body = int.from_bytes(head[8:16], "big"), start + 16
        elif size == 0:
            size = end - start
        if size < body - start or start + size > end:
            return
        yield _Box(kind, start, body, start + size)
        if kind in INSIDE:
            yield from _boxes(file, body, start + size, budget)
        start += size


def _body(file: BinaryIO, box: _Box, length: int) -> bytes:
    file.seek(box.body)
    return file.read(min(length, box.end - box.body))


def _duration_ms(body: bytes) -> int | None:
    scale, length = (body[20:24], body[24:32]) if body[:1] == b"\x01" else (body[12:16], body[16:20])
    return _within(int.from_bytes(length, "big") * 1000, int.from_bytes(scale, "big"))


def _zero(file: BinaryIO, start: int, end: int) -> None:
    file.seek(start)
    while start < end:
        start += file.write(bytes(min(BLANK_BYTES, end - start)))


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Elements of EBML in their order, those inside of others too; clusters end it."""
    place = 0
    for _ in range(MAX_BOXES):
        id, place = _number(data, place, keep_marker=True)
        size, place = _number(data, place, keep_marker=False)
        if id is None or size is None or id == 0x1F43B675:
            return
        if id in (0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0):  # segment, info, tracks, track, video: go inside
            continue
        yield id, data[place : place + size]
        place += size


def _number(data: bytes, place: int, *, keep_marker: bool) -> tuple[int | None, int]:
    if place >= len(data) or not data[place]:
        return None, place
    length = 9 - data[place].bit_length()
    value = int.from_bytes(data[place : place + length], "big")
    return value if keep_marker else value & ((1 << 7 * length) - 1), place + length


def _side(body: bytes | None) -> int | None:
    value = int.from_bytes(body or b"", "big")
    return value if 0 < value < 2**16 else None


def _webm_duration_ms(body: bytes, scale: int) -> int | None:
    import struct

    if len(body) not in (4, 8):
        return None
    ticks = struct.unpack(">f" if len(body) == 4 else ">d", body)[0]
    return _within(int(ticks * scale), 1_000_000) if 0 < ticks * scale < LONGEST_MS * 1_000_000 else None


def _within(value: int, divisor: int) -> int | None:
    result = value // divisor if divisor else 0
    return result if 0 < result < LONGEST_MS else None
