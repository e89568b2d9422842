"""What identifies the content of a file: its SHA-256, computed once for as long as size and time of change stay the same."""

from __future__ import annotations

import hashlib
import os
import threading
from copy import copy

from marquetry.engine.folders import DATA_FOLDERS, Folders

WHOLE_BYTES = 256 * 2**20
SAMPLE_BYTES = 2**20
SAMPLES = 16


class FileIdentity:
    """Tokens of files by folder kind and name, as `identity.Identifier` asks for them. Thread-safe.

    Files above 256 MiB are not read whole: their token is made of size, time of change, and 16 samples of 1 MiB from start to end.
    """

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self._known: dict[str, tuple[int, int, bytes]] = {}
        self._lock = threading.Lock()

    def of(self, owner: str) -> FileIdentity:
        """Tokens of the files that an owner sees; what is known is shared."""
        folders = self.folders.of(owner)
        if folders is self.folders:
            return self
        view = copy(self)
        view.folders = folders
        return view

    def __call__(self, kind: str, name: str) -> bytes:
        """The token of a file; of a missing one its name, since the node will fail on it by itself."""
        try:
            path = self.folders.annotated(name, kind) if kind in DATA_FOLDERS else self.folders.full_path(kind, name)
            status = os.stat(path)
        except Exception:  # a missing or unreachable file is the node's to report
            return b"missing " + name.encode(errors="surrogatepass")
        place = str(path)
        with self._lock:
            known = self._known.get(place)
        if known is not None and known[:2] == (status.st_size, status.st_mtime_ns):
            return known[2]
        token = _digest(place, status)
        with self._lock:
            if len(self._known) > 100_000:
                self._known.clear()
            self._known[place] = (status.st_size, status.st_mtime_ns, token)
        return token


def _digest(path: str, status: os.stat_result) -> bytes:
    if os.path.isdir(path):
        entries = sorted((entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in os.scandir(path))
        return hashlib.sha256(repr(entries).encode()).digest()
    with open(path, "rb") as file:
        if status.st_size <= WHOLE_BYTES:
            return hashlib.file_digest(file, "sha256").digest()
        digest = hashlib.sha256(f"{status.st_size} {status.st_mtime_ns}".encode())
        for number in range(SAMPLES):
            file.seek((status.st_size - SAMPLE_BYTES) * number // (SAMPLES - 1))
            digest.update(file.read(SAMPLE_BYTES))
        return digest.digest()
