"""ModelStore: which weights exist, what they are, and whether they are sound. Reads headers; imports no model library for that."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.folders import Folders
from marquetry.engine.models.fingerprint import HashMemory, quick_fingerprint
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.weights import read_any_header

Progress = Callable[[int, int], None]
HASH_FILE = "model_hashes.sqlite"
NOT_WEIGHTS = frozenset({"configs", "classifiers"})


@dataclass(frozen=True)
class StoredModel:
    """What a weight file is. `family` is None when no installed family reads it; `dtypes` counts tensors by type."""

    kind: str
    name: str
    path: Path = field(repr=False)
    size_bytes: int
    family: str | None
    layout: str
    parts: tuple[str, ...]
    parameters: int
    dtypes: Mapping[str, int]
    metadata: Mapping[str, str] = field(repr=False)
    sha256: str | None


@dataclass(frozen=True)
class Verification:
    """`problem` is None for a sound file, else what is wrong with it."""

    kind: str
    name: str
    problem: str | None
    sha256: str | None = None


class ModelStore:
    """The weight files of all folders. Listings notice new files by the folders' times of change; hashes live in the data folder."""

    def __init__(self, folders: Folders, hashes: HashMemory | None = None) -> None:
        self.folders = folders
        self.hashes = hashes or HashMemory(folders.data / HASH_FILE)
        self._quick: dict[tuple[str, int, int], str] = {}
        self._lock = threading.Lock()

    def names(self, kind: str) -> tuple[str, ...]:
        """The files of a kind. Raises ModelNotFound for an unknown kind."""
        return self.folders.list_files(kind)

    def all(self) -> Iterator[tuple[str, str]]:
        """(kind, name) of every weight file."""
        for kind in sorted(self.folders.kinds):
            if kind not in NOT_WEIGHTS:
                yield from ((kind, name) for name in self.names(kind))

    def path(self, kind: str, name: str) -> Path:
        """Where a file stands. Raises ModelNotFound with what is there instead."""
        return self.folders.full_path(kind, name)

    def header(self, kind: str, name: str) -> Header:
        """Names, types and shapes of a file's tensors. Raises ModelNotFound, or ModelFormatError for an unsound file."""
        return read_any_header(self.path(kind, name))

    def show(self, kind: str, name: str, *, with_hash: bool = False) -> StoredModel:
        """What a file is, from its header; its hash where it is known, or is asked for. Errors as in `header`."""
        from marquetry.engine.models.control.registry import recognise_control
        from marquetry.engine.models.families.registry import describe_layout, recognise
        from marquetry.engine.models.folder import folder_hints

        path = self.path(kind, name)
        header = read_any_header(path)
        found = recognise(header, folder_hints(path))
        control = recognise_control(header) if found is None else None
        family = found.family if found is not None else " ".join(control.families) if control is not None else None
        known = found or control
        return StoredModel(
            kind=kind,
            name=name,
            path=path,
            size_bytes=sum(part.stat().st_size for part in ([path] if path.is_file() else path.rglob("*")) if part.is_file()),
            family=family,
            layout=describe_layout(header) if known is None else known.layout,
            parts=found.parts if found is not None else ("control",) if control is not None else (),
            parameters=header.parameters,
            dtypes=dict(Counter(tensor.dtype for tensor in header.values())),
            metadata=header.metadata,
            sha256=self.hashes.sha256(path) if with_hash else self.hashes.known(path),
        )

    def verify(self, kind: str, name: str, expected_sha256: str | None = None, progress: Progress | None = None) -> Verification:
        """Read a file through: is it sound, and has it the expected hash (or, without one, the hash that it had before)?"""
        path = self.path(kind, name)
        try:
            read_any_header(path)
        except ModelFormatError as error:
            return Verification(kind, name, error.message)
        before = self.hashes.known(path)
        digest = self.hashes.sha256(path, progress, again=True)
        expected_sha256 = expected_sha256 or before
        if expected_sha256 is not None and digest != expected_sha256.lower():
            return Verification(kind, name, f"its SHA-256 is {digest}, not {expected_sha256.lower()}", digest)
        return Verification(kind, name, None, digest)

    def fingerprint(self, kind: str, name: str) -> str:
        """The key of a file's content in node identities: its SHA-256 if that is known, else `quick:...` (see `quick_fingerprint`).

        Cheap enough for the hot path: the second call for an unchanged file only asks for its size and time of change.
        """
        return self.fingerprint_of(self.path(kind, name))

    def fingerprint_of(self, path: Path) -> str:
        """As `fingerprint`, of a path."""
        known = self.hashes.known(path)
        if known is not None:
            return known
        status = path.stat()
        stamp = (str(path), status.st_size, status.st_mtime_ns)
        with self._lock:
            quick = self._quick.get(stamp)
        if quick is None or path.is_dir():
            quick = quick_fingerprint(path)
            with self._lock:
                self._quick[stamp] = quick
        return quick

    def hash_all(self, stop: Callable[[], bool] = lambda: False) -> int:
        """Hash every file whose hash is not known; for a thread in the background. Gives how many were hashed."""
        hashed = 0
        for kind, name in self.all():
            if stop():
                break
            path = self.folders.find(kind, name)
            if path is not None and self.hashes.known(path) is None:
                self.hashes.sha256(path)
                hashed += 1
        return hashed
