"""Files that the editor keeps for a person: graphs, subgraphs, styles. None leaves the person's folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from marquetry.engine.errors import UnsafePath
from marquetry.engine.folders import Folders
from marquetry.server.http.errors import Exists, Forbidden, NotFound
from marquetry.server.people import write_whole

MAX_LISTED = 20_000


class UserData:
    """The files below one person's folder; names are relative to it, with `/`."""

    def __init__(self, home: Path, folders: Folders) -> None:
        self.home = home.resolve()
        self._folders = folders

    def path(self, name: str) -> Path:
        """Where a name stands. Raises Forbidden when that is outside."""
        try:
            path = self._folders.inside(self.home, name)
        except UnsafePath as error:
            raise Forbidden(error.message) from error
        if path == self.home:
            raise Forbidden("a name of a file is needed")
        return path

    def find(self, name: str) -> Path:
        """As `path`; raises NotFound when there is no such file."""
        path = self.path(name)
        if not path.is_file():
            raise NotFound(f"there is no file '{name}'")
        return path

    def files(self, folder: str, *, recurse: bool) -> list[Path]:
        """The files below a folder. Raises NotFound when there is no such folder."""
        root = self.path(folder) if folder.strip("/") else self.home
        if not root.is_dir():
            raise NotFound(f"there is no folder '{folder}'")
        return sorted(_files(root, recurse))[:MAX_LISTED]

    def entries(self, folder: str) -> list[dict[str, Any]]:
        """What stands in a folder, folders included. Raises NotFound."""
        root = self.path(folder) if folder.strip("/") else self.home
        if not root.is_dir():
            raise NotFound(f"there is no folder '{folder}'")
        found: list[dict[str, Any]] = []
        for entry in sorted(root.iterdir()):
            if entry.name.startswith(".") and entry.name.endswith(".partial"):
                continue
            if entry.is_dir():
                found.append({"name": entry.name, "path": self.name(entry), "type": "directory"})
            elif entry.is_file():
                found.append({"name": entry.name, "type": "file", **self.facts(entry)})
        return found

    def write(self, name: str, data: bytes, *, overwrite: bool) -> Path:
        """Keep a file. Raises Exists when there is one and `overwrite` is not set."""
        path = self.path(name)
        if path.is_dir():
            raise Exists(f"'{name}' is a folder")
        if path.exists() and not overwrite:
            raise Exists(f"there is a file '{name}' already")
        try:
            write_whole(path, data)
        except (NotADirectoryError, FileExistsError) as error:
            raise Exists(f"a part of '{name}' is a file, not a folder") from error
        return path

    def move(self, name: str, target: str, *, overwrite: bool) -> Path:
        """Give a file another name. Raises NotFound, Exists."""
        source, path = self.find(name), self.path(target)
        if path.is_dir() or (path.exists() and not overwrite):
            raise Exists(f"there is '{target}' already")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, path)
        return path

    def name(self, path: Path) -> str:
        return path.relative_to(self.home).as_posix()

    def facts(self, path: Path, root: Path | None = None) -> dict[str, Any]:
        """A file's path (relative to `root`), its bytes, and when it changed, in ms."""
        status = path.stat()
        return {
            "path": path.relative_to(root or self.home).as_posix(),
            "size": status.st_size,
            "modified": status.st_mtime_ns // 1_000_000,
            "created": int(status.st_ctime * 1000),
        }


def _files(root: Path, recurse: bool) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        if not recurse:
            folders.clear()
        for name in names:
            if not (name.startswith(".") and name.endswith(".partial")):
                yield Path(folder, name)
