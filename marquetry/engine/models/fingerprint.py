"""Content hashes of weight files, remembered by path, size and time of change, so that a file is read through only once."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

BLOCK_BYTES = 4 * 2**20
SAMPLE_BYTES = 4096
SAMPLES = 64
Progress = Callable[[int, int], None]


class HashMemory:
    """SHA-256 by file, kept in a small SQLite database (in memory when `path` is None). Safe to use from many threads."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int, int], str] = {}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as database:
                database.execute("CREATE TABLE IF NOT EXISTS hash (path TEXT PRIMARY KEY, size INTEGER, modified_ns INTEGER, sha256 TEXT)")
                rows = database.execute("SELECT path, size, modified_ns, sha256 FROM hash").fetchall()
                self._known = {(row[0], row[1], row[2]): row[3] for row in rows}

    def known(self, path: Path) -> str | None:
        """The SHA-256 of a file whose content was hashed before and has not changed since, or None."""
        with self._lock:
            return self._known.get(_stamp(path))

    def sha256(self, path: Path, progress: Progress | None = None, *, again: bool = False) -> str:
        """The SHA-256 of a file or diffusers folder; reads it through when it is not known, or `again`. Not for the hot path."""
        stamp = _stamp(path)
        with self._lock:
            known = self._known.get(stamp)
        if known is not None and not again:
            return known
        digest = _content_hash(path, progress)
        if known is None and _stamp(path) == stamp:
            self.remember(path, digest)
        return digest

    def remember(self, path: Path, sha256: str) -> None:
        """Note a hash that is known from elsewhere, such as from a download that was checked."""
        stamp = _stamp(path)
        with self._lock:
            self._known[stamp] = sha256
            if self._path is not None:
                with self._open() as database, database:
                    database.execute("INSERT OR REPLACE INTO hash VALUES (?, ?, ?, ?)", (*stamp, sha256))

    def _open(self) -> closing[sqlite3.Connection]:
        assert self._path is not None
        return closing(sqlite3.connect(self._path, timeout=10.0))


def quick_fingerprint(path: Path) -> str:
    """A key for a file's content without reading it all: size, time of change, the beginning, the end and blocks between.

    Two files of the same content and times have the same one wherever they stand. It tells apart what was changed in good
    faith; where somebody might forge a file, use the SHA-256.
    """
    digest = hashlib.sha256(b"quick")
    for part in _files(path):
        status = part.stat()
        digest.update(f"{part.relative_to(path) if path.is_dir() else ''}|{status.st_size}|{status.st_mtime_ns}|".encode())
        with part.open("rb") as file:
            for number in range(SAMPLES):
                file.seek(max(0, status.st_size - SAMPLE_BYTES) * number // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    return "quick:" + digest.hexdigest()


def _content_hash(path: Path, progress: Progress | None) -> str:
    parts = list(_files(path))
    total = sum(part.stat().st_size for part in parts)
    done = 0
    digest = hashlib.sha256()
    for part in parts:
        if path.is_dir():
            digest.update(f"{part.relative_to(path)}|{part.stat().st_size}|".encode())
        with part.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
                done += len(block)
                if progress is not None:
                    progress(done, total)
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(part for part in path.rglob("*") if part.is_file())
    else:
        yield path


def _stamp(path: Path) -> tuple[str, int, int]:
    parts = [part.stat() for part in _files(path)]
    return str(path.absolute()), sum(part.st_size for part in parts), max((part.st_mtime_ns for part in parts), default=0)
