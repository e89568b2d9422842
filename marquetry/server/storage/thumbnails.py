"""Thumbnails: small WebP pictures of pictures, made once in a thread, kept on this machine by the hash of what they show."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from marquetry.marketplace.errors import Missing
from marquetry.server.http.errors import RequestError
from marquetry.server.people import write_whole
from marquetry.server.storage.content_type import IMAGES
from marquetry.server.storage.errors import FileMissing
from marquetry.server.storage.file import StoredFile
from marquetry.server.storage.storage import Storage

SIZES = (64, 128, 256, 512, 1024)
FIRST_SIZE = 256  # made as soon as a result is recorded
SUFFIX = ".webp"


class NoThumbnail(Missing):
    """There is no small picture of a file of that kind."""

    code = "no_thumbnail"


class Thumbnails:
    """`root` is the folder of the cache."""

    def __init__(self, storage: Storage, root: Path, max_pixels: int) -> None:
        self.root = root
        self._storage = storage
        self._max_pixels = max_pixels
        self._making: dict[Path, asyncio.Task[None]] = {}
        storage.forgotten.append(self.forget)

    async def of(self, file: StoredFile, size: int = FIRST_SIZE) -> Path:
        """The thumbnail; who asks for one that is being made waits for it. Raises NoThumbnail, InvalidPicture, FileMissing."""
        if size not in SIZES:
            raise RequestError(f"a thumbnail's size is one of {', '.join(map(str, SIZES))}, not {size}")
        if not has_thumbnail(file):
            raise NoThumbnail(f"there is no thumbnail of a file of type {file.media_type}", file_id=file.id)
        path = self.root / file.sha256[:2] / f"{file.sha256}-{size}{SUFFIX}"
        if await self._storage.run(_used, path):
            return path
        task = self._making.get(path)
        if task is None:
            task = self._making[path] = asyncio.create_task(self._make(file, size, path))
            task.add_done_callback(lambda _: self._making.pop(path, None))
        await asyncio.shield(task)
        return path

    def forget(self, sha256: str) -> None:
        """Delete all sizes of a picture."""
        for size in SIZES:
            (self.root / sha256[:2] / f"{sha256}-{size}{SUFFIX}").unlink(missing_ok=True)

    def trim(self, limit_bytes: int, *, dry_run: bool = False) -> tuple[int, int]:
        """Delete those that were not looked at for longest until the rest fits; how many, and their bytes."""
        found = sorted(_entries(self.root))
        total, count, freed = sum(size for _, size, _ in found), 0, 0
        for _, size, path in found:
            if total - freed <= limit_bytes:
                break
            if not dry_run:
                path.unlink(missing_ok=True)
            count, freed = count + 1, freed + size
        return count, freed

    async def _make(self, file: StoredFile, size: int, path: Path) -> None:
        from marquetry.engine.pictures import thumbnail

        source = await self._storage.run(self._storage.local, file)
        fetched = None
        if source is None:
            source = fetched = self._storage.scratch()
        try:
            if fetched is not None and not await self._storage.run(self._storage.store.fetch, file.blob, fetched):
                raise FileMissing("the bytes of this file are gone", file_id=file.id)
            data = await self._storage.run(thumbnail, source, size, max_pixels=self._max_pixels)
            await self._storage.run(write_whole, path, data)
        finally:
            if fetched is not None:
                fetched.unlink(missing_ok=True)


def has_thumbnail(file: StoredFile) -> bool:
    """Whether there can be one."""
    return file.media_type in IMAGES


def _used(path: Path) -> bool:
    """Whether the file is there; notes that it was looked at."""
    try:
        os.utime(path)
    except OSError:
        return False
    return True


def _entries(root: Path) -> Iterator[tuple[float, int, Path]]:
    with suppress(OSError):
        for folder in os.scandir(root):
            if folder.is_dir(follow_symlinks=False):
                for entry in os.scandir(folder):
                    with suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        yield status.st_mtime, status.st_size, Path(entry.path)
