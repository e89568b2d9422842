"""Uploads in parts: begun, gone on with from where they stand, completed with a check of the hash. How far one has come is its size on disk."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, func, insert, select

from marquetry.server.database.database import one_by_one
from marquetry.server.http.errors import TooLarge
from marquetry.server.storage.errors import FileMissing, UploadConflict
from marquetry.server.storage.storage import Storage
from marquetry.server.storage.tables import uploads

OPEN_AT_ONCE = 20  # of one owner
UPLOAD_ID = "up_[0-9a-f]{32}"


@dataclass(frozen=True, slots=True)
class PartUpload:
    """An upload under way; `sha256` where it was announced."""

    id: str
    owner: str
    filename: str
    size_bytes: int
    sha256: str | None
    purpose: str
    subfolder: str
    created_ms: int
    expires_ms: int


def new_upload_id() -> str:
    return f"up_{secrets.token_hex(16)}"


def _begin(connection: Connection, upload: PartUpload) -> None:
    open_now = connection.execute(
        select(func.count()).where(uploads.c.owner == upload.owner, uploads.c.expires_ms > upload.created_ms)
    ).scalar_one()
    if open_now >= OPEN_AT_ONCE:
        raise UploadConflict(f"{open_now} uploads are open already; complete or cancel some of them first", open=open_now)
    connection.execute(insert(uploads).values(**{column.name: getattr(upload, column.name) for column in uploads.columns}))


def _end(connection: Connection, id: str) -> int:
    return connection.execute(delete(uploads).where(uploads.c.id == id)).rowcount


begin_upload = one_by_one(_begin)
end_upload = one_by_one(_end)


def find_upload(connection: Connection, id: str, owner: str | None, now_ms: int) -> PartUpload:
    """Raises FileMissing, also for another owner's and for one whose time is over."""
    found = select(uploads).where(uploads.c.id == id, uploads.c.expires_ms > now_ms)
    row = connection.execute(found if owner is None else found.where(uploads.c.owner == owner)).mappings().first()
    if row is None:
        raise FileMissing(f"there is no upload '{id[:60]}'; its time may be over")
    return PartUpload(**{column.name: row[column.name] for column in uploads.columns})


def expired_uploads(connection: Connection, now_ms: int, limit: int) -> list[str]:
    """The ids of uploads whose time is over."""
    return list(
        connection.execute(select(uploads.c.id).where(uploads.c.expires_ms <= now_ms).order_by(uploads.c.id).limit(limit)).scalars()
    )


def uploads_of(connection: Connection, owner: str) -> list[str]:
    """The ids of an owner's uploads."""
    return list(connection.execute(select(uploads.c.id).where(uploads.c.owner == owner)).scalars())


class PartUploads:
    """Uploads in parts of this machine. One part of an upload is taken at a time."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._busy: set[str] = set()

    def path(self, id: str) -> Path:
        return self._storage.incoming / f"{id}.part"

    async def begin(self, upload: PartUpload) -> None:
        """Raises StorageFull, TooLarge and UploadConflict."""
        limit = self._storage.settings.resumable_bytes
        if upload.size_bytes > limit:
            raise TooLarge(f"the file has {upload.size_bytes:,} bytes; at most {limit:,} are allowed", limit_bytes=limit)
        await self._storage.require_room(upload.owner, upload.size_bytes)
        await self._storage.database.write(begin_upload, upload)
        self._storage.incoming.mkdir(parents=True, exist_ok=True)
        self.path(upload.id).touch()

    def offset(self, id: str) -> int:
        """How many bytes have come."""
        try:
            return self.path(id).stat().st_size
        except OSError:
            return 0

    @asynccontextmanager
    async def alone(self, id: str) -> AsyncIterator[None]:
        """Nobody else writes to the upload meanwhile. Raises UploadConflict."""
        if id in self._busy:
            raise UploadConflict("another part of this upload is coming in; wait until it is there")
        self._busy.add(id)
        try:
            yield
        finally:
            self._busy.discard(id)

    def require_offset(self, upload: PartUpload, offset: int) -> None:
        """Raises UploadConflict where a part does not go on where the upload stands."""
        stands = self.offset(upload.id)
        if offset != stands:
            raise UploadConflict(f"the upload stands at {stands:,}, the part begins at {offset:,}", offset=stands)

    def require_whole(self, upload: PartUpload, sha256: str | None, found: str, size_bytes: int) -> None:
        """Raises UploadConflict where what came is not what was announced."""
        if size_bytes != upload.size_bytes:
            raise UploadConflict(f"{size_bytes:,} of {upload.size_bytes:,} bytes have come; send the rest first", offset=size_bytes)
        wanted = (sha256 or upload.sha256 or found).lower()
        if wanted != found:
            raise UploadConflict(f"the bytes that came have the hash {found}, not {wanted}; begin anew", sha256=found)

    async def end(self, id: str) -> None:
        """Forget an upload and what came of it."""
        await self._storage.database.write(end_upload, id)
        self.path(id).unlink(missing_ok=True)
