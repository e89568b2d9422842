"""Local copies: where the store is elsewhere, what jobs saved here stays here too while there is room, and comes back when it is looked at."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from marquetry.server.database.database import one_by_one
from marquetry.server.storage import files as rows
from marquetry.server.storage.file import StoredFile, file_of_row
from marquetry.server.storage.needs import still_needed
from marquetry.server.storage.storage import Storage
from marquetry.server.storage.tables import files, local_copies

BATCH = 100


@dataclass(frozen=True, slots=True)
class Copy:
    """A file is on a machine's disk, and was used there."""

    host: str
    file_id: str
    size_bytes: int
    used_ms: int


def _note(connection: Connection, copy: Copy) -> None:
    same = (local_copies.c.host == copy.host, local_copies.c.file_id == copy.file_id)
    if connection.execute(update(local_copies).where(*same).values(used_ms=copy.used_ms)).rowcount:
        return
    if connection.execute(select(files.c.id).where(files.c.id == copy.file_id)).first() is not None:
        connection.execute(
            insert(local_copies).values(host=copy.host, file_id=copy.file_id, size_bytes=copy.size_bytes, used_ms=copy.used_ms)
        )


def _drop(connection: Connection, copies: tuple[str, tuple[str, ...]]) -> None:
    host, ids = copies
    connection.execute(delete(local_copies).where(local_copies.c.host == host, local_copies.c.file_id.in_(ids)))


note_copy = one_by_one(_note)
drop_copies = one_by_one(_drop)


def oldest_copies(connection: Connection, host: str, skipped: int) -> list[StoredFile]:
    """The files whose copies on a machine were not used for longest."""
    found = select(files).join(local_copies, local_copies.c.file_id == files.c.id).where(local_copies.c.host == host)
    page = found.order_by(local_copies.c.used_ms, files.c.id).limit(BATCH).offset(skipped)
    return [file_of_row(row) for row in connection.execute(page).mappings()]


def copied_bytes(connection: Connection, host: str) -> int:
    """How much the copies on a machine take."""
    total = select(func.coalesce(func.sum(local_copies.c.size_bytes), 0)).where(local_copies.c.host == host)
    return int(connection.execute(total).scalar_one())


async def restore(storage: Storage, owner: str, folder: str, path: str, now_ms: int) -> bool:
    """Bring a file back to where graphs and ComfyUI's clients look for it; whether there was one to bring."""
    if storage.store.path("blobs/") is not None:
        return False
    file = await storage.database.read(rows.file_at, owner, folder, path)
    place = None if file is None else storage.place(file)
    if file is None or place is None:
        return False
    partial = place.parent / f".{secrets.token_hex(8)}.partial"

    def fetch() -> bool:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not storage.store.fetch(file.blob, partial):
                return False
            os.utime(partial, (file.created_ms / 1000, file.created_ms / 1000))
            os.replace(partial, place)
            return True
        finally:
            partial.unlink(missing_ok=True)

    if not await storage.run(fetch):
        return False
    await storage.database.write(note_copy, Copy(storage.host, file.id, file.size_bytes, now_ms))
    return True


async def trim(storage: Storage, limit_bytes: int, *, dry_run: bool = False) -> tuple[int, int]:
    """Delete copies, those first that were not used for longest, until the rest fits; how many, and their bytes."""
    excess = await storage.database.read(copied_bytes, storage.host) - limit_bytes
    count = freed = skipped = 0
    while freed < excess and (batch := await storage.database.read(oldest_copies, storage.host, skipped)):
        needed = await storage.database.read(still_needed, batch)
        chosen: list[StoredFile] = []
        for file in batch:
            if freed >= excess:
                break
            if file.id not in needed:
                chosen.append(file)
                freed += file.size_bytes
        count += len(chosen)
        if dry_run:
            skipped += len(batch)
            continue
        skipped += len(batch) - len(chosen)
        for file in chosen:
            place = storage.place(file)
            if place is not None:
                await storage.run(place.unlink, missing_ok=True)
        await storage.database.write(drop_copies, (storage.host, tuple(file.id for file in chosen)))
    return count, freed
