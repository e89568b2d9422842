"""FolderStore: bytes in files below one folder."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from marquetry.server.storage.blob_store import PART_BYTES, Found, Shown
from marquetry.server.storage.errors import FileMissing, StoreNotConfigured

PARTIAL = ".partial"
CLONE = 0x40049409  # Linux: FICLONE


class FolderStore:
    """See `BlobStore`. `hard_links`: bytes that stay elsewhere too are shared, not copied, where the disk is the same."""

    kind = "folder"

    def __init__(self, root: Path, *, hard_links: bool = True) -> None:
        self.root = root.absolute()
        self._hard_links = hard_links

    def check(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreNotConfigured(
                f"the folder {self.root} for files can't be made: {error.strerror}; name another in storage.folder"
            ) from error

    def put(self, name: str, source: Path, *, share: bool = False) -> None:
        target = self._place(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.parent / f".{secrets.token_hex(8)}{PARTIAL}"
        try:
            if not ((self._hard_links or not share) and _linked(source, partial)):
                copy(source, partial)
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    def size_bytes(self, name: str) -> int | None:
        try:
            return self._place(name).stat().st_size
        except OSError:
            return None

    def path(self, name: str) -> Path | None:
        return self._place(name)

    def fetch(self, name: str, into: Path) -> bool:
        try:
            shutil.copyfile(self._place(name), into)
        except FileNotFoundError:
            return False
        return True

    def read(self, name: str, start: int, length: int) -> Iterator[bytes]:
        try:
            with self._place(name).open("rb") as file:
                file.seek(start)
                while length > 0 and (part := file.read(min(PART_BYTES, length))):
                    length -= len(part)
                    yield part
        except FileNotFoundError as error:
            raise FileMissing("the bytes of this file are gone") from error

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            self._place(name).unlink(missing_ok=True)

    def listed(self, prefix: str, after: str, limit: int) -> list[Found]:
        found: list[Found] = []
        for name in self._walk(prefix.rstrip("/"), after):
            with suppress(OSError):
                status = self._place(name).stat()
                found.append(Found(name, status.st_size, status.st_mtime_ns // 1_000_000))
            if len(found) >= limit:
                break
        return found

    def link(self, name: str, shown: Shown, expires_s: int) -> str | None:
        return None

    def _place(self, name: str) -> Path:
        if not name or name.startswith("/") or ".." in name.split("/") or "\x00" in name:
            raise FileMissing("that is no name of stored bytes")
        return self.root / name

    def _walk(self, folder: str, after: str) -> Iterator[str]:
        """Names below a folder in their order; folders that end before `after` are not looked into."""
        try:
            entries = sorted(os.scandir(self.root / folder), key=lambda entry: entry.name + "/" * entry.is_dir(follow_symlinks=False))
        except OSError:
            return
        for entry in entries:
            name = f"{folder}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if f"{name}/\uffff" > after:
                    yield from self._walk(name, after)
            elif name > after:
                yield name


def copy(source: Path, target: Path) -> None:
    """Copy bytes durably; where the file system can, they are shared until one of the two changes."""
    with source.open("rb") as given, target.open("wb") as kept:
        try:
            fcntl.ioctl(kept.fileno(), CLONE, given.fileno())
        except OSError:
            shutil.copyfileobj(given, kept, PART_BYTES)
        kept.flush()
        os.fsync(kept.fileno())


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        return False
    return True
