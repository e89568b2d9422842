"""Intake: how a file that has wholly come in is taken over: checked, cleaned, put where graphs find it, and kept."""

from __future__ import annotations

import filecmp
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from marquetry.engine.errors import UnsafePath
from marquetry.engine.folders import Folders
from marquetry.server.http.errors import RequestError
from marquetry.server.jobs.live import now_ms
from marquetry.server.storage.content_type import ALSO, PURPOSES, SUFFIXES
from marquetry.server.storage.file import StoredFile
from marquetry.server.storage.files import file_at
from marquetry.server.storage.folder_store import copy
from marquetry.server.storage.inspection import accept, describe
from marquetry.server.storage.storage import Incoming, Storage
from marquetry.server.uploads import sound_name

READ_BY_GRAPHS = frozenset({"input", "image", "mask", "reference", "voice"})
MAX_COPIES = 10_000
MAX_SUBFOLDER_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody says of a file that they send."""

    owner: str
    filename: str
    purpose: str = "input"
    subfolder: str = ""
    overwrite: bool = False


def checked(wanted: Wanted) -> Wanted:
    """The same with a sound name and subfolder. Raises RequestError and UnsafePath, before anything is received."""
    if wanted.purpose not in PURPOSES:
        raise RequestError(f"purpose is one of {', '.join(PURPOSES)}; not '{wanted.purpose[:40]}'")
    subfolder = wanted.subfolder.strip().replace("\\", "/")
    parts = subfolder.split("/")
    if subfolder.startswith("/") or ".." in parts or "\x00" in subfolder or len(subfolder) > MAX_SUBFOLDER_CHARACTERS:
        raise UnsafePath("the subfolder leads out of its folder, or is too long")
    return Wanted(wanted.owner, sound_name(wanted.filename), wanted.purpose, "/".join(part for part in parts if part), wanted.overwrite)


async def take_over(storage: Storage, source: Path, wanted: Wanted, max_pixels: int) -> StoredFile:
    """Keep a file that was received. It is changed while it is cleaned, and its own name is left to whoever received it.

    Raises UnsupportedContent, InvalidPicture and StorageFull.
    """
    wanted = checked(wanted)
    facts = await storage.run(accept, source, wanted.purpose, max_pixels)
    await storage.require_room(wanted.owner, facts.size_bytes)
    name = named(wanted.filename, facts.media_type)
    place: Place | None = None
    if wanted.purpose in READ_BY_GRAPHS:
        place = await storage.run(put_in_place, storage.folders.of(wanted.owner), wanted.subfolder, name, source, wanted.overwrite)
    if place is not None and not place.made:
        known = await storage.database.read(file_at, wanted.owner, "input", place.path)
        if known is not None and (known.sha256, known.purpose) == (facts.sha256, wanted.purpose):
            return known
    try:
        return await storage.keep(
            Incoming(
                source,
                wanted.owner,
                name,
                wanted.purpose,
                facts,
                now_ms(),
                folder=None if place is None else "input",
                path=None if place is None else place.path,
            )
        )
    except BaseException:
        if place is not None and place.made:
            place.file.unlink(missing_ok=True)
        raise


async def adopt(storage: Storage, owner: str, folder: str, path: str) -> StoredFile | None:
    """Keep a file that stands in a folder of the owner already, as ComfyUI's clients put it there. The same file is kept once."""
    folders = storage.folders.of(owner)
    file = folders.inside(folders.directory(folder), path)
    facts = await storage.run(describe, file)
    known = await storage.database.read(file_at, owner, folder, path)
    if known is not None and known.sha256 == facts.sha256:
        return known
    name = path.rpartition("/")[2]
    return await storage.keep(Incoming(file, owner, name, "input", facts, now_ms(), share=True, bounded=False, folder=folder, path=path))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file stands. `made`: it was not there before."""

    file: Path
    path: str
    made: bool


def put_in_place(folders: Folders, subfolder: str, name: str, source: Path, overwrite: bool = False) -> Place:
    """Put a file into the input folder under its name or, where that is taken by other bytes, under the next free number."""
    folder = folders.inside(folders.input, subfolder) if subfolder else folders.input.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    stem, suffix = os.path.splitext(name)
    partial = folder / f".{secrets.token_hex(8)}.partial"
    try:
        copy(source, partial)
        for count in range(MAX_COPIES):
            chosen = name if count == 0 else f"{stem} ({count}){suffix}"
            file = folder / chosen
            path = f"{subfolder}/{chosen}" if subfolder else chosen
            if overwrite and not file.is_dir():
                os.replace(partial, file)  # replaces a link itself, not what it points to
                return Place(file, path, made=True)
            if file.is_file() and not file.is_symlink() and filecmp.cmp(file, source, shallow=False):
                return Place(file, path, made=False)
            try:
                os.link(partial, file)
                return Place(file, path, made=True)
            except FileExistsError:
                continue
    finally:
        partial.unlink(missing_ok=True)
    raise RequestError(f"there are {MAX_COPIES} files called '{name}' already")


def named(name: str, media_type: str) -> str:
    """The name with an ending that fits the content, so that nobody takes the file for what it is not."""
    suffix = os.path.splitext(name)[1].lower()
    fitting = SUFFIXES.get(media_type)
    if fitting is None or suffix == fitting or suffix in ALSO.get(media_type, ()):
        return name
    return f"{name}{fitting}"
