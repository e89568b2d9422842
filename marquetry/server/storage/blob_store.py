"""BlobStore: where bytes are, by name. Names are plain (`blobs/ab/abcd...`), what is written under one never changes.

Methods block and may be called from any thread; a store never knows whose the bytes are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PART_BYTES = 1 << 20
BLOBS = "blobs/"
ARCHIVES = "jobs/"


@dataclass(frozen=True, slots=True)
class Found:
    """Something that a store holds."""

    name: str
    size_bytes: int
    modified_ms: int


@dataclass(frozen=True, slots=True)
class Shown:
    """How bytes are to be given out: under which name and type, and whether a browser may show them in place."""

    filename: str
    media_type: str
    disposition: str


class BlobStore(Protocol):
    """What every store can do."""

    kind: str

    def check(self) -> None:
        """Whether the store can be reached. Raises StoreNotConfigured, which says what to do."""

    def put(self, name: str, source: Path, *, share: bool = False) -> None:
        """Keep the bytes of a file, whole or not at all.

        `share`: the source stays in use. Else it is given away: nobody writes to it any more.
        """

    def size_bytes(self, name: str) -> int | None:
        """How many bytes are kept under a name, or None."""

    def path(self, name: str) -> Path | None:
        """The file on this machine that has the bytes, where the store is one of files."""

    def fetch(self, name: str, into: Path) -> bool:
        """Write the bytes to a file. False: there are none."""

    def read(self, name: str, start: int, length: int) -> Iterator[bytes]:
        """A part of the bytes. Raises FileMissing at the first part when there are none."""

    def delete(self, names: Sequence[str]) -> None:
        """Forget bytes; names that are not there are passed over."""

    def listed(self, prefix: str, after: str, limit: int) -> list[Found]:
        """What is kept under names that begin with `prefix`, in order of names, the first `limit` after a name."""

    def link(self, name: str, shown: Shown, expires_s: int) -> str | None:
        """An address at which the store itself gives the bytes out for a while, or None: then the server does."""


def blob_name(key: str) -> str:
    """The name of a blob."""
    return f"{BLOBS}{key[:2]}/{key}"


def key_of_name(name: str) -> str:
    """The inverse of `blob_name`."""
    return name.rpartition("/")[2]
