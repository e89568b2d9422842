"""Sounds: durations from the headers of WAV, FLAC, Ogg and MP3, and notes inside WAV files made blank. What is not understood stays unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

HEAD_BYTES = 1 << 16
MAX_CHUNKS = 10_000
LONGEST_MS = 10**10
NOTES = frozenset({b"LIST", b"bext", b"iXML", b"id3 ", b"ID3 ", b"_PMX"})
OPUS_RATE = 48_000
MP3_RATES = ((11025, 12000, 8000), (), (22050, 24000, 16000), (44100, 48000, 32000))  # by version 2.5, none, 2, 1
MP3_BITRATES = {  # kbit/s, by (version 1?, layer)
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): tuple(range(32, 449, 32)),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
}


def duration_ms(path: Path, media_type: str) -> int | None:
    """How long a sound is."""
    measure = _MEASURES.get(media_type)
    length = None if measure is None else measure(path)
    return length if length is not None and 0 < length < LONGEST_MS else None


def blank_wav(path: Path) -> None:
    """Make what is written beside the samples blank."""
    for kind, start, size in list(_chunks(path)):
        if kind in NOTES:
            with path.open("r+b") as file:
                file.seek(start - 8)
                file.write(b"JUNK")
                file.seek(start)
                for first in range(0, size, HEAD_BYTES):
                    file.write(bytes(min(HEAD_BYTES, size - first)))


def _chunks(path: Path) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and size of each chunk of a RIFF file; a size is never more than there is."""
    end = path.stat().st_size
    with path.open("rb") as file:
        start = 12
        for _ in range(MAX_CHUNKS):
            file.seek(start)
            head = file.read(8)
            if len(head) < 8:
                return
            size = min(int.from_bytes(head[4:], "little"), end - start - 8)
            yield head[:4], start + 8, size
            start += 8 + size + size % 2


def _wav(path: Path) -> int | None:
    bytes_per_s = 0
    for kind, start, size in _chunks(path):
        if kind == b"fmt " and size >= 16:
            with path.open("rb") as file:
                file.seek(start)
                bytes_per_s = int.from_bytes(file.read(16)[8:12], "little")
        elif kind == b"data" and bytes_per_s:
            return size * 1000 // bytes_per_s
    return None


def _flac(path: Path) -> int | None:
    with path.open("rb") as file:
        head = file.read(42)
    if len(head) < 42 or head[4] & 0x7F:
        return None
    facts = int.from_bytes(head[18:26], "big")
    rate, samples = facts >> 44, facts & (1 << 36) - 1
    return samples * 1000 // rate if rate else None


def _ogg(path: Path) -> int | None:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(256)
        file.seek(max(0, size - HEAD_BYTES))
        tail = file.read()
    place, vorbis = tail.rfind(b"OggS"), head.find(b"\x01vorbis")
    rate = OPUS_RATE if b"OpusHead" in head else int.from_bytes(head[vorbis + 12 : vorbis + 16], "little") if vorbis >= 0 else 0
    granule = int.from_bytes(tail[place + 6 : place + 14], "little") if place >= 0 else 0
    return granule * 1000 // rate if rate else None


def _mp3(path: Path) -> int | None:
    with path.open("rb") as file:
        head = file.read(10)
        start = (
            10 + sum((value & 0x7F) << shift for value, shift in zip(head[6:10], (21, 14, 7, 0), strict=False)) if head[:3] == b"ID3" else 0
        )
        file.seek(start)
        frame = file.read(256)
    if len(frame) < 40 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return None
    version, layer, rates = frame[1] >> 3 & 3, 4 - (frame[1] >> 1 & 3), MP3_RATES[frame[1] >> 3 & 3]
    speed, rate = frame[2] >> 4, frame[2] >> 2 & 3
    if layer == 4 or not rates or rate == 3 or speed in (0, 15):
        return None
    for mark in (b"Xing", b"Info"):
        place = frame.find(mark)
        if place > 0 and frame[place + 7] & 1:
            samples = 384 if layer == 1 else 1152 if version == 3 or layer == 2 else 576
            return int.from_bytes(frame[place + 8 : place + 12], "big") * samples * 1000 // rates[rate]
    return (path.stat().st_size - start) * 8 // MP3_BITRATES[version == 3, layer][speed - 1]


_MEASURES: Mapping[str, Callable[[Path], int | None]] = {"audio/wav": _wav, "audio/flac": _flac, "audio/ogg": _ogg, "audio/mpeg": _mp3}
