"""Rows of old jobs: packed away in the store, or deleted, when the operator wants that. What they made is not touched."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, delete, func, insert, select

from marquetry.server.database.database import one_by_one
from marquetry.server.database.tables import job_graphs, jobs
from marquetry.server.http.answer import encode
from marquetry.server.jobs.view import decode_record
from marquetry.server.storage.blob_store import ARCHIVES
from marquetry.server.storage.storage import Storage
from marquetry.server.storage.tables import job_archives

BATCH = 200
KEPT = ("id", "owner", "client_id", "state", "priority", "number", "created_ms", "started_ms", "finished_ms", "attempts", "set_aside",
        "idempotency_key")  # fmt: skip


@dataclass(frozen=True, slots=True)
class OldJob:
    """A finished job, and all that is told of it."""

    seq: int
    finished_ms: int
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Packed:
    """Jobs of one owner that were written to the store under `key`; without one, they are only deleted."""

    key: str | None
    owner: str
    ids: tuple[str, ...]
    size_bytes: int
    first_ms: int
    last_ms: int
    now_ms: int


def _remove(connection: Connection, packed: Packed) -> int:
    if packed.key is not None:
        connection.execute(delete(job_archives).where(job_archives.c.key == packed.key))
        connection.execute(
            insert(job_archives).values(
                key=packed.key,
                owner=packed.owner,
                jobs=len(packed.ids),
                size_bytes=packed.size_bytes,
                first_ms=packed.first_ms,
                last_ms=packed.last_ms,
                created_ms=packed.now_ms,
            )
        )
    return connection.execute(delete(jobs).where(jobs.c.id.in_(packed.ids), jobs.c.finished_ms.is_not(None))).rowcount


remove_packed = one_by_one(_remove)


def documents(connection: Connection, owner: str, after_seq: int, limit: int) -> list[OldJob]:
    """Jobs of an owner, in order of their numbers, each as JSON can hold it."""
    return _old(connection, (jobs.c.owner == owner, jobs.c.seq > after_seq), (jobs.c.seq,), limit)


def old_jobs(connection: Connection, before_ms: int, limit: int) -> list[OldJob]:
    """Jobs that ended before a time: all of one owner, the one whose job ended first."""
    first = select(jobs.c.owner).where(jobs.c.finished_ms < before_ms).order_by(jobs.c.finished_ms, jobs.c.seq).limit(1)
    owner = connection.execute(first).scalar()
    if owner is None:
        return []
    return _old(connection, (jobs.c.owner == owner, jobs.c.finished_ms < before_ms), (jobs.c.seq,), limit)


def count_old(connection: Connection, before_ms: int) -> int:
    """How many jobs ended before a time."""
    return int(connection.execute(select(func.count()).select_from(jobs).where(jobs.c.finished_ms < before_ms)).scalar_one())


def archives_of(connection: Connection, owner: str) -> list[str]:
    """The names of what is packed away of an owner."""
    return list(
        connection.execute(select(job_archives.c.key).where(job_archives.c.owner == owner).order_by(job_archives.c.first_ms)).scalars()
    )


async def pack_old(storage: Storage, before_ms: int, now_ms: int, *, keep: bool) -> int:
    """One step: pack some old jobs away (`keep`), or delete them; how many. What is packed twice after a crash has the same name."""
    batch = await storage.database.read(old_jobs, before_ms, BATCH)
    if not batch:
        return 0
    owner = str(batch[0].document["owner"])
    key, size = None, 0
    if keep:
        key = f"{ARCHIVES}{place_of(owner)}/{batch[0].seq:020d}-{batch[-1].seq:020d}.jsonl.gz"
        scratch = storage.scratch()
        try:
            size = await storage.run(_write, scratch, batch)
            await storage.run(storage.store.put, key, scratch)
        finally:
            scratch.unlink(missing_ok=True)
    times = [job.finished_ms for job in batch]
    packed = Packed(key, owner, tuple(str(job.document["id"]) for job in batch), size, min(times), max(times), now_ms)
    return await storage.database.write(remove_packed, packed)


def place_of(owner: str) -> str:
    """The folder of an owner's archives: a hash, since owners' ids may hold anything."""
    return hashlib.sha256(owner.encode()).hexdigest()[:32]


def unpacked(path: Path) -> Iterator[dict[str, Any]]:
    """The jobs of an archive."""
    with gzip.open(path, "rb") as lines:
        for line in lines:
            yield orjson.loads(line)


def _write(path: Path, batch: Sequence[OldJob]) -> int:
    with gzip.GzipFile(path, "wb", mtime=0) as file:
        for job in batch:
            file.write(encode(job.document) + b"\n")
    return path.stat().st_size


def _old(connection: Connection, conditions: tuple[Any, ...], order: tuple[Any, ...], limit: int) -> list[OldJob]:
    statement = select(jobs, job_graphs.c.graph, job_graphs.c.extra).join_from(jobs, job_graphs, job_graphs.c.job_id == jobs.c.id)
    rows = connection.execute(statement.where(*conditions).order_by(*order).limit(limit)).mappings()
    return [OldJob(row["seq"], row["finished_ms"] or 0, _document(row)) for row in rows]


def _document(row: Any) -> dict[str, Any]:
    record = decode_record(row["record"])
    return {
        **{name: row[name] for name in KEPT},
        "graph": orjson.loads(row["graph"]),
        "extra": orjson.loads(row["extra"]) if row["extra"] else {},
        "outputs": record.outputs,
        "messages": record.messages,
        "error": None if record.error is None else {"code": record.error.code, "message": record.error.message},
    }
