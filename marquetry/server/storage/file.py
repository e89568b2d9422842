"""StoredFile: what is known of one file of somebody. A value; the bytes are in a blob."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from marquetry.server.storage.blob_store import blob_name
from marquetry.server.storage.tables import files

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

FILE_ID = "file_[0-9a-f]{32}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the bytes themselves tell."""

    sha256: str
    size_bytes: int
    media_type: str
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A row. `folder` and `path` say where graphs find the file, e.g. `input` and `sub/photo.png`."""

    id: str
    owner: str
    blob_key: str
    sha256: str
    filename: str
    size_bytes: int
    media_type: str
    purpose: str
    created_ms: int
    expires_ms: int | None = None
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    job_id: str | None = None
    node_id: str | None = None
    folder: str | None = None
    path: str | None = None

    @property
    def blob(self) -> str:
        """The name of its bytes in the store."""
        return blob_name(self.blob_key)


def new_file_id() -> str:
    return f"file_{secrets.token_hex(16)}"


def file_of_row(row: RowMapping) -> StoredFile:
    """The value of a row of `files`."""
    return StoredFile(**{column.name: row[column.name] for column in files.columns})
