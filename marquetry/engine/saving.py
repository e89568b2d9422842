"""Saving: numbered files that never overwrite another, are never seen half written, and never leave their folder."""

from __future__ import annotations

import os
import posixpath
import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal, TypedDict

from marquetry.engine.errors import NodeFailed
from marquetry.engine.folders import Folders

MAX_NAME_BYTES = 255
BATCH_NUMBER = "%batch_num%"


class SavedFile(TypedDict):
    """Where a client finds a file again."""

    filename: str
    subfolder: str
    type: str


class FileSeries:
    """The files `prefix_00001_.png`, `prefix_00002_.png`, ... of one prefix; numbers go on from the highest on disk.

    The prefix may hold subfolders and the tokens `%width%`, `%height%`, `%year%`, `%month%`, `%day%`, `%hour%`, `%minute%`, `%second%`
    and, in the name, `%batch_num%`. Any number of series of the same prefix may save at the same time, in any process.
    """

    def __init__(
        self,
        folders: Folders,
        kind: Literal["output", "temp", "input"],
        prefix: str,
        *,
        width: int = 0,
        height: int = 0,
        now: datetime | None = None,
    ) -> None:
        """Raises UnsafePath for a prefix that leaves the folder, NodeFailed for one that can't be a file's name."""
        normal = posixpath.normpath(expanded(prefix, width, height, now or datetime.now()).replace("\\", "/"))
        self.subfolder, self.stem = posixpath.split(normal)
        if self.stem in ("", ".") or not self.stem.isprintable():
            raise NodeFailed(f"'{prefix}' can't begin a file's name; give letters and digits, with / between folders")
        root = folders.directory(kind)
        folders.inside(root, normal)
        self.kind = kind
        self.folder: Path = folders.inside(root, self.subfolder) if self.subfolder else root
        self.folder.mkdir(parents=True, exist_ok=True)
        self.number = self._highest() + 1

    def save(self, data: bytes, suffix: str, batch_number: int = 0) -> SavedFile:
        """Write the next file of the series; `suffix` begins with a dot. Raises NodeFailed when its name is too long."""
        part = self.folder / f".{uuid.uuid4().hex}.part"
        try:
            part.write_bytes(data)
            return self.adopt(part, suffix, batch_number)
        finally:
            part.unlink(missing_ok=True)

    def adopt(self, finished: Path, suffix: str, batch_number: int = 0) -> SavedFile:
        """Give a finished file on the same disk the next free name of the series. The old name may stay; remove it."""
        while True:
            name = f"{self.stem.replace(BATCH_NUMBER, str(batch_number))}_{self.number:05}_{suffix}"
            if len(os.fsencode(name)) > MAX_NAME_BYTES:
                raise NodeFailed(f"the file name '{name[:40]}...' is longer than {MAX_NAME_BYTES} bytes; use a shorter prefix")
            self.number += 1
            if claimed(finished, self.folder / name):
                return SavedFile(filename=name, subfolder=self.subfolder, type=self.kind)

    def _highest(self) -> int:
        stem = re.escape(self.stem).replace(re.escape(BATCH_NUMBER), r"\d+")
        pattern = re.compile(rf"{stem}_(\d{{1,18}})_", re.IGNORECASE if os.name == "nt" else 0)
        return max((int(match[1]) for name in os.listdir(self.folder) if (match := pattern.match(name))), default=0)


def expanded(prefix: str, width: int, height: int, now: datetime) -> str:
    """`prefix` with its tokens filled in, all but `%batch_num%`."""
    if "%" not in prefix:
        return prefix
    values: Mapping[str, str] = {
        "width": str(width),
        "height": str(height),
        "year": str(now.year),
        "month": f"{now.month:02}",
        "day": f"{now.day:02}",
        "hour": f"{now.hour:02}",
        "minute": f"{now.minute:02}",
        "second": f"{now.second:02}",
    }
    return re.sub(r"%(\w+)%", lambda match: values.get(match[1], match[0]), prefix)


def claimed(finished: Path, path: Path) -> bool:
    """Whether `finished` now also has the name `path`; False when that name is taken. The name appears with all its content."""
    try:
        os.link(finished, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links: take the name first, then put the content in its place
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        os.replace(finished, path)
    return True
