"""The chunks of PNG, WebP, JPEG and GIF files: taken apart and put together again without touching the pixels.

What follows the end of the picture is never read. A file that is cut short raises InvalidPicture.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator

from marquetry.engine.errors import InvalidPicture
from marquetry.engine.pictures.png import SIGNATURE, chunk

MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
GIF_EXTENSION, GIF_PICTURE, GIF_END = 0x21, 0x2C, 0x3B
GIF_CONTROL, GIF_APPLICATION = 0xF9, 0xFF
GIF_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
WEBP_EXIF_FLAG, WEBP_XMP_FLAG = 0x08, 0x04


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, data) of each chunk, IEND included."""
    place = len(SIGNATURE)
    while True:
        if place + 12 > len(data):
            raise cut_short("PNG")
        length = int.from_bytes(data[place : place + 4], "big")
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        if place + 12 + length > len(data):
            raise cut_short("PNG")
        yield kind, body
        if kind == b"IEND":
            return
        place += 12 + length


def join_png(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join([SIGNATURE, *(chunk(kind, body) for kind, body in chunks)])


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, data) of each chunk inside the RIFF header."""
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise cut_short("WebP")
    place = 12
    while place + 8 <= end:
        kind, length = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if place + 8 + length > end:
            raise cut_short("WebP")
        yield kind, data[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def join_webp(chunks: Iterable[tuple[bytes, bytes]], exif: bytes) -> bytes:
    """A WebP file of chunks without EXIF and XMP, and of `exif` where the file is of the extended form that can hold it."""
    parts = list(chunks)
    extended = any(kind == b"VP8X" for kind, _ in parts)
    if extended and exif:
        parts.append((b"EXIF", exif))
    written = [b"WEBP"]
    for kind, body in parts:
        if kind == b"VP8X" and body:
            flags = body[0] & ~(WEBP_EXIF_FLAG | WEBP_XMP_FLAG) | (WEBP_EXIF_FLAG if exif else 0)
            body = bytes([flags]) + body[1:]
        written += [kind, struct.pack("<I", len(body)), body, b"\x00" * (len(body) % 2)]
    inside = b"".join(written)
    return b"RIFF" + struct.pack("<I", len(inside)) + inside


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(marker, payload, coded pixels that follow) of each segment up to the end of the first image; pixels follow a scan's start only."""
    place = 2
    while True:
        while data[place : place + 2] == b"\xff\xff":  # markers may be padded
            place += 1
        if place + 2 > len(data) or data[place] != 0xFF:
            raise cut_short("JPEG")
        marker = data[place + 1]
        if marker == END_OF_IMAGE:
            yield marker, b"", b""
            return
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        stop = place + 2 + length
        if length < 2 or stop > len(data):
            raise cut_short("JPEG")
        payload = data[place + 4 : stop]
        place = stop
        if marker == START_OF_SCAN:
            found = MARKER.search(data, stop)
            if found is None:
                raise cut_short("JPEG")
            place = found.start()
        yield marker, payload, data[stop:place]


def join_jpeg(segments: Iterable[tuple[int, bytes, bytes]]) -> bytes:
    parts = [b"\xff\xd8"]
    for marker, payload, coded in segments:
        parts.append(bytes([0xFF, marker]))
        if marker != END_OF_IMAGE:
            parts += [struct.pack(">H", len(payload) + 2), payload, coded]
    return b"".join(parts)


def bare_gif(data: bytes) -> bytes:
    """The GIF without comments, texts and application blocks other than the number of loops."""
    place = 13 + colour_table_bytes(data, 10)
    parts = [data[:place]]
    while True:
        start = place
        kind = byte(data, place)
        if kind == GIF_END:
            return b"".join([*parts, b"\x3b"])
        if kind == GIF_PICTURE:
            place += 10 + colour_table_bytes(data, place + 9)
            place = after_blocks(data, place + 1)
            parts.append(data[start:place])
        elif kind == GIF_EXTENSION:
            label = byte(data, place + 1)
            place = after_blocks(data, place + 2)
            if label == GIF_CONTROL or (label == GIF_APPLICATION and data[start + 3 : start + 14] in GIF_LOOPS):
                parts.append(data[start:place])
        else:
            raise cut_short("GIF")


def colour_table_bytes(data: bytes, place: int) -> int:
    flags = byte(data, place)
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def after_blocks(data: bytes, place: int) -> int:
    """The place behind a row of length-prefixed blocks that an empty one ends."""
    while length := byte(data, place):
        place += 1 + length
    return place + 1


def byte(data: bytes, place: int) -> int:
    if place >= len(data):
        raise cut_short("GIF")
    return data[place]


def cut_short(name: str) -> InvalidPicture:
    return InvalidPicture(f"the {name} file is damaged or cut short")
