"""Receiving: forms and bodies go to disk as they come, and stop at their limit. Nothing of a file's size is ever in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, hdrs, web
from aiohttp.http_exceptions import BadHttpMessage

from marquetry.server.http.errors import RequestError, TooLarge
from marquetry.server.uploads import MAX_FIELD_BYTES

PART_BYTES = 1 << 20
CHUNK_BYTES = 256 * 1024
MAX_PARTS = 32


@dataclass(frozen=True, slots=True)
class Received:
    """A form: the file's name as it was given, where it is now, and the other fields."""

    filename: str
    path: Path
    fields: dict[str, str]


@asynccontextmanager
async def received(request: web.Request, into: Path, limit_bytes: int, field: str = "file") -> AsyncIterator[Received]:
    """A multipart form with a file in `field`; the file is gone when the block ends. Raises RequestError, or TooLarge as soon as it is."""
    if request.content_length is not None and request.content_length > limit_bytes + 16 * MAX_FIELD_BYTES:
        raise TooLarge(f"the upload has {request.content_length:,} bytes; at most {limit_bytes:,} are allowed", limit_bytes=limit_bytes)
    if not request.headers.get(hdrs.CONTENT_TYPE, "").lower().startswith("multipart/form-data"):
        raise RequestError(f"an upload is a multipart/form-data body with the file in the field '{field}'")
    try:
        try:
            form = await _form(request, into, limit_bytes, field)
        except (ValueError, AssertionError, RuntimeError, BadHttpMessage) as error:
            raise RequestError(f"the form is not sound multipart/form-data: {error}") from error
        yield form
    finally:
        into.unlink(missing_ok=True)


async def append(request: web.Request, path: Path, limit_bytes: int) -> int:
    """Add a body to a file, as far as it comes; the file's size afterwards. Raises TooLarge when it would be larger than `limit_bytes`."""
    with await asyncio.to_thread(path.open, "ab") as file:
        size = file.tell()
        if request.content_length is not None and size + request.content_length > limit_bytes:
            raise _too_large(limit_bytes)
        return await _write(request.content.iter_any(), file, size, limit_bytes)


async def _form(request: web.Request, into: Path, limit_bytes: int, field: str) -> Received:
    name, fields = "", dict[str, str]()
    reader, count = await request.multipart(), 0
    while (part := await reader.next()) is not None:
        count += 1
        if not isinstance(part, BodyPartReader) or count > MAX_PARTS:
            raise RequestError(f"the form has parts inside parts, or more than {MAX_PARTS} of them")
        if part.name == field and part.filename:
            name = part.filename
            with await asyncio.to_thread(into.open, "wb") as file:
                await _write(_chunks(part), file, 0, limit_bytes)
        elif part.name:
            fields[part.name] = await _field(part)
    if not name:
        raise RequestError(f"the form has no file in the field '{field}'")
    return Received(name, into, fields)


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(CHUNK_BYTES):
        yield chunk


async def _field(part: BodyPartReader) -> str:
    found = bytearray()
    async for chunk in _chunks(part):
        found += chunk
        if len(found) > MAX_FIELD_BYTES:
            raise TooLarge(f"'{part.name}' has more than the {MAX_FIELD_BYTES:,} bytes that are allowed", limit_bytes=MAX_FIELD_BYTES)
    return found.decode("utf-8", "replace")


async def _write(chunks: AsyncIterator[bytes], file: Any, size: int, limit_bytes: int) -> int:
    waiting = bytearray()
    try:
        async for chunk in chunks:
            if size + len(waiting) + len(chunk) > limit_bytes:
                raise _too_large(limit_bytes)
            waiting += chunk
            if len(waiting) >= PART_BYTES:
                part, waiting = bytes(waiting), bytearray()
                size += await asyncio.to_thread(file.write, part)
    finally:  # of a body that breaks off, what came is kept
        size += file.write(waiting)
    return size


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the file has more than the {limit_bytes:,} bytes that are allowed", limit_bytes=limit_bytes)
