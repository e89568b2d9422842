"""Serving: the bytes of a stored file as an answer, from this machine, by way of the store's own address, or through this server."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.helpers import ETag

from marquetry.server.http.errors import RequestError
from marquetry.server.http.files import REVALIDATE
from marquetry.server.storage.blob_store import Shown
from marquetry.server.storage.content_type import disposition, served_type
from marquetry.server.storage.errors import FileMissing
from marquetry.server.storage.file import StoredFile
from marquetry.server.storage.room import STORAGE

SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'"
LINK_S = 600


class RangeRefused(RequestError):
    """The part that was asked for is not in the file."""

    code = "range_not_satisfiable"


async def serve(request: web.Request, file: StoredFile, *, download: bool = False) -> web.StreamResponse:
    """Answers Range and If-None-Match. Raises FileMissing when the bytes are gone."""
    storage = request.app[STORAGE].storage
    kind = served_type(file.media_type)
    shown = Shown(file.filename, kind, disposition(file.filename, file.media_type, download=download))
    headers = {
        "Content-Type": kind,
        "Content-Disposition": shown.disposition,
        "Cache-Control": REVALIDATE,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": SANDBOX,
    }
    local = await storage.run(storage.local, file)
    if local is not None:
        return web.FileResponse(local, headers=headers)
    if storage.store.path(file.blob) is not None:
        raise FileMissing("the bytes of this file are gone", file_id=file.id)
    if any(known.value in (file.sha256, "*") for known in request.if_none_match or ()):
        return web.Response(status=304, headers={"Cache-Control": REVALIDATE})
    address = await storage.run(storage.store.link, file.blob, shown, LINK_S)
    if address is not None:
        return web.Response(status=302, headers={"Location": address, "Cache-Control": "no-store"})
    return await _passed_on(request, file, headers)


async def _passed_on(request: web.Request, file: StoredFile, headers: dict[str, str]) -> web.StreamResponse:
    storage = request.app[STORAGE].storage
    start, length = _part(request, file.size_bytes)
    partly = "Range" in request.headers
    answer = web.StreamResponse(status=206 if partly else 200, headers={**headers, "Accept-Ranges": "bytes"})
    answer.content_length = length
    answer.etag = ETag(file.sha256)
    if partly:
        answer.headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{file.size_bytes}"
    if request.method == "HEAD":
        return answer
    parts = storage.store.read(file.blob, start, length)
    first = await asyncio.to_thread(next, parts, b"")  # nothing was sent yet: what is gone can still be told
    await answer.prepare(request)
    while first:
        await answer.write(first)
        first = await asyncio.to_thread(next, parts, b"")
    return answer


def _part(request: web.Request, size_bytes: int) -> tuple[int, int]:
    try:
        asked = request.http_range
    except ValueError as error:
        raise RangeRefused("the header Range can't be read; as in bytes=0-99", size_bytes=size_bytes) from error
    start, stop, _ = slice(asked.start, asked.stop).indices(size_bytes)
    if size_bytes and start >= stop:
        raise RangeRefused(f"the file has {size_bytes:,} bytes; the part that was asked for is not in it", size_bytes=size_bytes)
    return start, stop - start
