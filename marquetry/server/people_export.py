"""The export of what is kept of a person: a ZIP with one JSON file for each kind of row in every room, and the files if wanted."""

from __future__ import annotations

import zipfile
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from marquetry.server.database.connect import make_engine
from marquetry.server.http.answer import encode
from marquetry.server.people_data import rooms
from marquetry.server.storage.blob_store import BlobStore, blob_name
from marquetry.server.storage.job_archive import archives_of, unpacked

MAX_FILES_BYTES = 16 * 2**30
ABOUT = """What this server keeps of you, as of when you asked.

Below each folder are the rows of one part of the program, as JSON. Left out is what proves who you are: hashes of passwords, keys, secrets.
`user` has the files that the editor keeps for you. Your pictures and other files are below `stored`, if you asked for them.
"""


def write_export(
    url: str, store: BlobStore, owner: str, home: Path | None, into: Path, scratch: Path, *, with_files: bool
) -> dict[str, int]:
    """Write the ZIP; how many rows there are, by room and table. Blocks for long, with a database connection of its own."""
    counts: dict[str, int] = {}
    engine = make_engine(url, write=False)
    try:
        with engine.connect() as connection, zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            archive.writestr("about.txt", ABOUT)
            for room in rooms():
                for name, rows in room.export(connection, owner):
                    counts[f"{room.name}/{name}"] = _write(archive, f"{room.name}/{name}.json", rows)
            packed = _packed(store, archives_of(connection, owner), scratch)
            with closing(packed):
                counts["jobs/archived"] = _write(archive, "jobs/archived.json", packed)
            counts["user/files"] = _copy_home(archive, home)
            if with_files:
                counts["stored/files"] = _copy_files(archive, connection, store, owner)
    finally:
        engine.dispose()
    return counts


def _write(archive: zipfile.ZipFile, name: str, rows: Iterable[dict[str, Any]]) -> int:
    count = 0
    with archive.open(name, "w", force_zip64=True) as file:
        file.write(b"[")
        for row in rows:
            file.write(b",\n" if count else b"\n")
            file.write(encode(row))
            count += 1
        file.write(b"\n]\n")
    return count


def _packed(store: BlobStore, names: Iterable[str], scratch: Path) -> Generator[dict[str, Any], None, None]:
    try:
        for name in names:
            if store.fetch(name, scratch):
                yield from unpacked(scratch)
    finally:
        scratch.unlink(missing_ok=True)


def _copy_home(archive: zipfile.ZipFile, home: Path | None) -> int:
    count = 0
    for path in sorted(home.rglob("*")) if home is not None and home.is_dir() else ():
        if path.is_file() and not path.is_symlink():
            archive.write(path, f"user/{path.relative_to(home).as_posix()}")  # type: ignore[arg-type]
            count += 1
    return count


def _copy_files(archive: zipfile.ZipFile, connection: Any, store: BlobStore, owner: str) -> int:
    from sqlalchemy import select

    from marquetry.server.storage.tables import files

    count = size = 0
    wanted = select(files.c.id, files.c.blob_key, files.c.filename, files.c.size_bytes).where(
        files.c.owner == owner, files.c.purpose != "export"
    )
    for row in connection.execute(wanted.order_by(files.c.created_ms)).all():
        size += row.size_bytes
        if size > MAX_FILES_BYTES:
            break
        with archive.open(f"stored/{row.id}/{row.filename}", "w", force_zip64=True) as file:
            for part in store.read(blob_name(row.blob_key), 0, row.size_bytes):
                file.write(part)
        count += 1
    return count
