"""Fetching weights: resumed after a cut, checked against their hash, there whole or not at all. Pickles only on request, and converted."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from marquetry.engine.errors import EngineError, ModelFormatError
from marquetry.engine.models.safetensors_file import read_header
from marquetry.engine.models.sources import Sites, Source, SourceError, resolve
from marquetry.engine.models.store import ModelStore
from marquetry.engine.models.weights import PICKLE_SUFFIXES, SAFETENSORS_SUFFIXES

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

Progress = Callable[[int, int | None], None]  # bytes that are here, bytes in all where that is known
BLOCK_BYTES = 2**20
MAX_BYTES = 200 * 2**30
ATTEMPTS = 5
PAUSE_S = 1.0
IDLE_TIMEOUT_S = 60.0


class DownloadError(EngineError):
    """A file could not be fetched, or what came is not what was promised."""

    code = "download_failed"


@dataclass(frozen=True)
class Fetched:
    """A file that stands in a model folder now. `converted` tells that it came as a pickle."""

    kind: str
    name: str
    path: Path
    sha256: str
    size_bytes: int
    converted: bool = False


@dataclass
class _Part:
    """What is here of a file: its bytes, their running hash, and what the server calls the version that they are of."""

    path: Path
    version: str | None = None
    size_bytes: int = 0

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    @classmethod
    def found(cls, path: Path, source: Source) -> _Part:
        part = cls(path)
        try:
            note = json.loads(part.note.read_text())
            if note["url"] == source.url and (note["version"] or source.sha256):
                part.version, part.size_bytes = note["version"], path.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            part.restart()
        return part

    def restart(self) -> None:
        self.size_bytes, self.version = 0, None
        self.path.unlink(missing_ok=True)

    def describe(self, source: Source, version: str | None) -> None:
        self.version = version
        self.note.write_text(json.dumps({"url": source.url, "version": version}))

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


async def add_model(
    store: ModelStore,
    source: str,
    *,
    kind: str | None = None,
    name: str | None = None,
    sha256: str | None = None,
    allow_pickle: bool = False,
    sites: Sites | None = None,
    progress: Progress | None = None,
    max_bytes: int = MAX_BYTES,
    pause_s: float = PAUSE_S,
) -> Fetched:
    """Fetch `source` (see `sources`) into the folder of its kind: the one given, else what the site says, else checkpoints.

    `sha256` is the expected hash, where the site does not give one. Raises SourceError, DownloadError, or ModelFormatError for a file that is no sound
    weight file; nothing is left in the folder then but, after a cut, the part that a second call goes on from.
    """
    import aiohttp

    from marquetry.engine.models.sources import safe_file_name

    timeout = aiohttp.ClientTimeout(total=None, connect=IDLE_TIMEOUT_S, sock_read=IDLE_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
        found = await resolve(source, session, sites or Sites())
        if name is not None:
            found = replace(found, file_name=safe_file_name(name))
        if sha256 is not None:
            if found.sha256 is not None and found.sha256 != sha256.lower():
                raise DownloadError(f"{found.file_name} has the SHA-256 {found.sha256} on its site, not the expected {sha256.lower()}")
            found = replace(found, sha256=sha256.lower())
        kind = kind or found.kind or "checkpoints"
        return await fetch(store, found, kind, session, allow_pickle=allow_pickle, progress=progress, max_bytes=max_bytes, pause_s=pause_s)


async def fetch(
    store: ModelStore,
    source: Source,
    kind: str,
    session: ClientSession,
    *,
    allow_pickle: bool = False,
    progress: Progress | None = None,
    max_bytes: int = MAX_BYTES,
    pause_s: float = PAUSE_S,
) -> Fetched:
    """As `add_model`, of a source that is resolved."""
    suffix = Path(source.file_name).suffix.lower()
    _check_suffix(source.file_name, suffix, allow_pickle)
    folder = store.folders.model_folders(kind)[0]
    is_pickle = suffix in PICKLE_SUFFIXES
    target = folder / (f"{Path(source.file_name).stem}.safetensors" if is_pickle else source.file_name)
    if target.exists():
        raise DownloadError(f"there is a file {target.name} among the {kind} already; remove it or give another name")
    folder.mkdir(parents=True, exist_ok=True)
    part = _Part.found(folder / f".{source.file_name}.part", source)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            await _continue(source, part, session, progress, max_bytes)
            break
        except _Cut as cut:
            if attempt == ATTEMPTS:
                raise DownloadError(
                    f"{source.url}: {cut}; {part.size_bytes:,} bytes are kept, the next attempt goes on from there"
                ) from cut
            await asyncio.sleep(pause_s * attempt)
    digest = await asyncio.to_thread(_hash, part.path)
    if source.sha256 is not None and digest != source.sha256:
        part.remove()
        raise DownloadError(f"{source.file_name} came with the SHA-256 {digest}, not {source.sha256}; it is thrown away")
    try:
        await asyncio.to_thread(_settle, part.path, target, is_pickle)
    except ModelFormatError as error:
        raise ModelFormatError(error.message.replace(part.path.name, source.file_name), file=source.file_name) from error
    finally:
        part.remove()
    if is_pickle:
        digest = await asyncio.to_thread(store.hashes.sha256, target)
    store.hashes.remember(target, digest)
    return Fetched(kind, target.name, target, digest, target.stat().st_size, converted=is_pickle)


class _Cut(Exception):
    """The connection ended before the file did."""


async def _continue(source: Source, part: _Part, session: ClientSession, progress: Progress | None, max_bytes: int) -> None:
    import aiohttp

    headers = {"Accept-Encoding": "identity"}
    if source.token and urlsplit(source.url).hostname == source.token_host:
        headers["Authorization"] = f"Bearer {source.token}"
    if part.size_bytes:
        headers["Range"] = f"bytes={part.size_bytes}-"
        if part.version is not None:
            headers["If-Range"] = part.version
    try:
        async with session.get(source.url, headers=headers) as response:
            if response.status == 416 and part.size_bytes:
                part.restart()
                raise _Cut("the server has no more bytes than are here, and they may be of another version")
            if response.status >= 500 or response.status == 429:
                raise _Cut(f"the server answered {response.status} {response.reason}")
            if response.status not in (200, 206):
                raise DownloadError(f"{source.url} answered {response.status} {response.reason}{_hint(response.status)}")
            await _receive(response, source, part, progress, max_bytes)
    except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, TimeoutError) as error:
        raise _Cut(str(error) or type(error).__name__) from error
    except aiohttp.ClientError as error:
        raise DownloadError(f"{source.url} cannot be fetched: {error}") from error


async def _receive(response: ClientResponse, source: Source, part: _Part, progress: Progress | None, max_bytes: int) -> None:
    if response.status == 200 or not response.headers.get("Content-Range", "").startswith(f"bytes {part.size_bytes}-"):
        if response.status == 206:
            part.restart()
            raise _Cut("the server sent another range than was asked for")
        part.restart()
    length = response.content_length
    total = None if length is None else part.size_bytes + length
    if total is not None:
        if total > max_bytes:
            raise DownloadError(f"{source.file_name} has {total:,} bytes; {max_bytes:,} are allowed")
        if length is not None and length > shutil.disk_usage(part.path.parent).free:
            raise DownloadError(f"{source.file_name} needs {length:,} more bytes of disk than are free in {part.path.parent}")
    part.describe(source, _version(response))
    with part.path.open("ab" if part.size_bytes else "wb") as file:
        async for block in response.content.iter_chunked(BLOCK_BYTES):
            if part.size_bytes + len(block) > max_bytes:
                part.remove()
                raise DownloadError(f"{source.file_name} is larger than the {max_bytes:,} bytes that are allowed")
            file.write(block)
            part.size_bytes += len(block)
            if progress is not None:
                progress(part.size_bytes, total)
    if total is not None and part.size_bytes < total:
        raise _Cut(f"the connection ended after {part.size_bytes:,} of {total:,} bytes")


def _version(response: ClientResponse) -> str | None:
    """What tells whether a later answer is of the same file: a strong ETag, else the time of change."""
    tag = response.headers.get("ETag")
    return tag if tag is not None and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _check_suffix(name: str, suffix: str, allow_pickle: bool) -> None:
    if suffix in PICKLE_SUFFIXES and not allow_pickle:
        raise SourceError(
            f"{name} is a pickle, a format that can hold code; prefer a safetensors file, or ask for pickles expressly: "
            "it is then read without running anything, and converted"
        )
    if suffix not in SAFETENSORS_SUFFIXES | PICKLE_SUFFIXES:
        raise SourceError(f"{name} is no weight file; safetensors are taken")


def _settle(part: Path, target: Path, is_pickle: bool) -> None:
    """Give a finished download its name, once it is known to be sound."""
    if not is_pickle:
        read_header(part)
        os.replace(part, target)
        return
    from marquetry.engine.models.save import save_safetensors
    from marquetry.engine.models.weights import PickleWeights

    weights = PickleWeights(part)
    save_safetensors({name: weights.tensor(name).clone().contiguous() for name in weights.header}, target, {"format": "pt"})


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hint(status: int) -> str:
    return "; a token may be needed" if status in (401, 403) else ""
