"""Keeping private weights: they are received into their creator's place, looked at, and never seen half written."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from pathlib import Path
from typing import BinaryIO

from aiohttp import web

from marquetry.engine.folders import Folders
from marquetry.marketplace.listings.errors import InvalidListing
from marquetry.server.http.errors import TooLarge
from marquetry.server.published.private import private_name

SUFFIXES = (".safetensors", ".sft")


async def receive(request: web.Request, folders: Folders, owner: str, kind: str, name: str, limit_bytes: int) -> tuple[str, int, str]:
    """Keep the body as a file of a kind; gives its name for graphs, its size and its hash. Raises InvalidListing, TooLarge, ModelNotFound."""
    if not name.endswith(SUFFIXES):
        raise InvalidListing("weights are kept as safetensors; give a name that ends with .safetensors", field="name")
    if request.content_length is not None and request.content_length > limit_bytes:
        raise TooLarge(f"the file has {request.content_length:,} bytes; at most {limit_bytes:,} are allowed", limit_bytes=limit_bytes)
    chosen = private_name(owner, name)
    path = folders.model_folders(kind)[0] / chosen
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
    partial = path.parent / f".{secrets.token_hex(8)}.partial"
    try:
        with await asyncio.to_thread(partial.open, "wb") as file:
            size, digest = await _copy(request, file, limit_bytes)
        await asyncio.to_thread(_look, partial, path)
    finally:
        await asyncio.to_thread(partial.unlink, missing_ok=True)
    return chosen, size, digest


async def _copy(request: web.Request, file: BinaryIO, limit_bytes: int) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    async for chunk in request.content.iter_chunked(1 << 20):
        size += len(chunk)
        if size > limit_bytes:
            raise TooLarge(f"the file has more than the {limit_bytes:,} bytes that are allowed", limit_bytes=limit_bytes)
        digest.update(chunk)
        await asyncio.to_thread(file.write, chunk)
    return size, digest.hexdigest()


def _look(partial: Path, path: Path) -> None:
    """Refuse what is no sound safetensors file; else let it stand under its name. Raises ModelFormatError."""
    from marquetry.engine.models.safetensors_file import read_header

    read_header(partial)
    os.replace(partial, path)
