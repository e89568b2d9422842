"""Files: the rows. Functions take a connection inside a transaction and never commit. `owner` None is whoever may see everybody's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, select, update

from marquetry.marketplace.accounts.upsert import insert_missing
from marquetry.server.storage.blobs import condemn_blobs, confirm_blob
from marquetry.server.storage.errors import StorageFull
from marquetry.server.storage.file import StoredFile, file_of_row
from marquetry.server.storage.plans import StoragePlan, StoragePlans
from marquetry.server.storage.tables import blobs, files, storage_usage

KINDS = ("image", "video", "audio", "model", "archive", "text")
ARCHIVES = ("application/zip",)


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be added; its bytes are in the store. `bounded`: refused where it does not fit into the owner's plan.

    `plans` says when it expires, unless `expires_ms` does.
    """

    file: StoredFile
    plans: StoragePlans
    bounded: bool = True


@dataclass(frozen=True, slots=True)
class FileFilter:
    """Which files to list. `kind` is one of KINDS; `made`: only what jobs made, or only what they did not."""

    owner: str | None
    kind: str | None = None
    purpose: str | None = None
    job_id: str | None = None
    made: bool | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What an owner keeps, and what the plan allows."""

    bytes: int
    files: int
    plan: StoragePlan


@dataclass(frozen=True, slots=True)
class Deletion:
    """Files to delete: those of `ids` that are the owner's."""

    ids: tuple[str, ...]
    owner: str | None


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted, and the blobs that nothing refers to any more; their bytes are to be deleted now."""

    files: tuple[StoredFile, ...]
    blob_keys: tuple[str, ...]


def add_file(connection: Connection, new: NewFile) -> StoredFile:
    """Add the row and confirm its blob. A result that was added before is given as it is. Raises StorageFull and BlobGone."""
    file = new.file
    if file.job_id is not None and (known := _same_result(connection, file)) is not None:
        return known
    plan = new.plans.plan(connection, file.owner)
    if file.expires_ms is None:
        file = replace(file, expires_ms=plan.expires_ms(file.created_ms))
    confirm_blob(connection, file.blob_key, file.created_ms)
    _count(connection, file.owner, file.size_bytes, 1, plan.quota_bytes if new.bounded else None)
    connection.execute(insert(files).values(**{column.name: getattr(file, column.name) for column in files.columns}))
    return file


def find_file(connection: Connection, id: str, owner: str | None) -> StoredFile | None:
    """The file of that id; another owner's is not found."""
    row = connection.execute(_owned(select(files).where(files.c.id == id), owner)).mappings().first()
    return None if row is None else file_of_row(row)


def file_at(connection: Connection, owner: str | None, folder: str, path: str) -> StoredFile | None:
    """The newest file that stands at a place in a folder."""
    found = _owned(select(files).where(files.c.folder == folder, files.c.path == path), owner)
    row = connection.execute(found.order_by(files.c.created_ms.desc(), files.c.id.desc()).limit(1)).mappings().first()
    return None if row is None else file_of_row(row)


def list_files(connection: Connection, wanted: FileFilter, limit: int, offset: int) -> tuple[list[StoredFile], int]:
    """A page of files, newest first, and how many there are in all."""
    conditions = _conditions(wanted)
    total = connection.execute(select(func.count()).select_from(files).where(*conditions)).scalar_one()
    page = select(files).where(*conditions).order_by(files.c.created_ms.desc(), files.c.id.desc()).limit(limit).offset(offset)
    return [file_of_row(row) for row in connection.execute(page).mappings()], total


def files_of_jobs(connection: Connection, job_ids: list[str], owner: str | None) -> dict[str, list[StoredFile]]:
    """The files of each of these jobs, in the order in which they were added."""
    found: dict[str, list[StoredFile]] = {id: [] for id in job_ids}
    rows = connection.execute(_owned(select(files).where(files.c.job_id.in_(job_ids)), owner).order_by(files.c.created_ms, files.c.path))
    for row in rows.mappings():
        found[row["job_id"]].append(file_of_row(row))
    return found


def delete_files(connection: Connection, deletion: Deletion) -> Deleted:
    """Delete rows; blobs that lose their last file are condemned."""
    rows = connection.execute(_owned(select(files).where(files.c.id.in_(deletion.ids)), deletion.owner).with_for_update()).mappings().all()
    gone = tuple(file_of_row(row) for row in rows)
    connection.execute(delete(files).where(files.c.id.in_([file.id for file in gone])))
    for file in gone:
        _count(connection, file.owner, -file.size_bytes, -1, None)
    return Deleted(gone, tuple(condemn_blobs(connection, [file.blob_key for file in gone])))


def usage_of(connection: Connection, owner: str, plans: StoragePlans) -> Usage:
    """What an owner keeps."""
    row = connection.execute(select(storage_usage).where(storage_usage.c.owner == owner)).first()
    plan = plans.plan(connection, owner)
    return Usage(0, 0, plan) if row is None else Usage(row.bytes, row.files, plan)


def require_room(connection: Connection, owner: str, size_bytes: int, plans: StoragePlans) -> None:
    """Raises StorageFull where a file of that size would not fit."""
    usage = usage_of(connection, owner, plans)
    if usage.plan.quota_bytes is not None and usage.bytes + size_bytes > usage.plan.quota_bytes:
        raise _full(usage.plan.quota_bytes)


def expired_files(connection: Connection, now_ms: int, limit: int, after: str = "") -> list[StoredFile]:
    """Files whose time is over, in order of ids."""
    found = select(files).where(files.c.expires_ms < now_ms, files.c.id > after).order_by(files.c.id).limit(limit)
    return [file_of_row(row) for row in connection.execute(found).mappings()]


def count_at(connection: Connection, owner: str, folder: str, path: str) -> int:
    """How many files of an owner say that they stand at a place."""
    found = select(func.count()).where(files.c.owner == owner, files.c.folder == folder, files.c.path == path)
    return int(connection.execute(found).scalar_one())


def stored_bytes(connection: Connection) -> int:
    """The bytes of all blobs."""
    return int(connection.execute(select(func.coalesce(func.sum(blobs.c.size_bytes), 0))).scalar_one())


def _same_result(connection: Connection, file: StoredFile) -> StoredFile | None:
    same = select(files).where(files.c.job_id == file.job_id, files.c.folder == file.folder, files.c.path == file.path)
    row = connection.execute(same).mappings().first()
    return None if row is None else file_of_row(row)


def _count(connection: Connection, owner: str, size_bytes: int, number: int, quota_bytes: int | None) -> None:
    counted = update(storage_usage).where(storage_usage.c.owner == owner)
    if quota_bytes is not None:
        counted = counted.where(storage_usage.c.bytes + size_bytes <= quota_bytes)
    values = {"bytes": storage_usage.c.bytes + size_bytes, "files": storage_usage.c.files + number}
    if connection.execute(counted.values(**values)).rowcount:
        return
    insert_missing(connection, storage_usage, owner=owner, bytes=0, files=0)
    if not connection.execute(counted.values(**values)).rowcount and quota_bytes is not None:
        raise _full(quota_bytes)


def _full(quota_bytes: int) -> StorageFull:
    return StorageFull(
        f"there is no room: all your files together may have {quota_bytes:,} bytes; delete some, or take a larger plan",
        quota_bytes=quota_bytes,
    )


def _owned(statement: Select[*tuple[Any, ...]], owner: str | None) -> Select[*tuple[Any, ...]]:
    return statement if owner is None else statement.where(files.c.owner == owner)


def _conditions(wanted: FileFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.owner is not None:
        found.append(files.c.owner == wanted.owner)
    if wanted.kind is not None:
        found.append(files.c.media_type.in_(ARCHIVES) if wanted.kind == "archive" else files.c.media_type.startswith(f"{wanted.kind}/"))
    if wanted.purpose is not None:
        found.append(files.c.purpose == wanted.purpose)
    if wanted.job_id is not None:
        found.append(files.c.job_id == wanted.job_id)
    if wanted.made is not None:
        found.append(files.c.job_id.is_not(None) if wanted.made else files.c.job_id.is_(None))
    return found
