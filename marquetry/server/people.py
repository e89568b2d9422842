"""People as ComfyUI knows them: one nameless user, or several whom the `comfy-user` header tells apart; each with a folder of files."""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
from pathlib import Path
from typing import Any

from marquetry.server.errors import ServerError
from marquetry.server.http.errors import Exists, RequestError

NOBODY = "default"
SETTINGS_FILE = "comfy.settings.json"
PEOPLE_FILE = "users.json"
MAX_NAME_CHARACTERS = 100


class UnknownPerson(ServerError):
    """The comfy-user header names nobody."""

    code = "unknown_user"


class People:
    """Who there is, and where their files are. `several` is the multi-user mode."""

    def __init__(self, folder: Path, several: bool) -> None:
        self.folder = folder
        self.several = several
        self._lock = threading.Lock()
        self._names: dict[str, str] | None = None

    def names(self) -> dict[str, str]:
        """Name by id."""
        if self._names is None:
            self._names = {str(id): str(name) for id, name in _read_object(self.folder / PEOPLE_FILE).items()}
        return self._names

    def owner(self, header: str | None) -> str:
        """The id of who calls. Raises UnknownPerson."""
        if not self.several:
            return NOBODY
        if header is None or header not in self.names():
            raise UnknownPerson("the header comfy-user must hold the id of a user; POST /api/users makes one")
        return header

    def home(self, owner: str) -> Path:
        """The folder of a person; made when it is not there."""
        path = self.folder / owner
        path.mkdir(parents=True, exist_ok=True)
        return path

    def add(self, name: str) -> str:
        """Add a person and return the id. Raises Exists when the name is taken."""
        name = name.strip()
        if not name or len(name) > MAX_NAME_CHARACTERS:
            raise RequestError(f"a user's name has 1 to {MAX_NAME_CHARACTERS} characters")
        with self._lock:
            if name in self.names().values():
                raise Exists(f"there is a user called '{name}' already")
            id = f"{re.sub(r'[^A-Za-z0-9_-]', '', name)[:40]}_{secrets.token_hex(16)}"
            self.names()[id] = name
            write_whole(self.folder / PEOPLE_FILE, json.dumps(self.names(), ensure_ascii=False, indent=2).encode())
        return id

    def remove(self, id: str) -> None:
        """Forget a person; their folder is left to whoever calls."""
        with self._lock:
            if self.names().pop(id, None) is not None:
                write_whole(self.folder / PEOPLE_FILE, json.dumps(self.names(), ensure_ascii=False, indent=2).encode())

    def settings(self, owner: str) -> dict[str, Any]:
        """What the editor keeps for a person."""
        return _read_object(self.home(owner) / SETTINGS_FILE)

    def change_settings(self, owner: str, changes: dict[str, Any]) -> None:
        """Set some of a person's settings; the others stay."""
        with self._lock:
            write_whole(self.home(owner) / SETTINGS_FILE, json.dumps(self.settings(owner) | changes, ensure_ascii=False, indent=2).encode())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".{secrets.token_hex(8)}.partial"
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        path.rename(path.with_suffix(".damaged.json"))
        return {}
    return value if isinstance(value, dict) else {}
