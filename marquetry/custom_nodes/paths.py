"""The table of model folders as packs read and write it: `kind -> (list of folders, set of suffixes)`, tied to the engine's Folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from marquetry.engine.folders import LEGACY_KINDS, Folders


class TiedList(list[str]):
    """A list of folder names; every change is made in a list of paths as well."""

    def __init__(self, paths: list[Path]) -> None:
        super().__init__(str(path) for path in paths)
        self._paths = paths

    def _tie(self) -> None:
        self._paths[:] = [Path(name) for name in self]


def _tied(name: str) -> Callable[..., Any]:
    plain = getattr(list, name)

    def method(self: TiedList, *arguments: Any) -> Any:
        result = plain(self, *arguments)
        self._tie()
        return self if name == "__iadd__" else result

    method.__name__ = name
    return method


for _name in ("append", "insert", "extend", "remove", "pop", "clear", "reverse", "sort", "__setitem__", "__delitem__", "__iadd__"):
    setattr(TiedList, _name, _tied(_name))


class FolderTable(dict[str, tuple[list[str], set[str]]]):
    """A dict that packs may change at will; the engine sees every entry."""

    def __init__(self, folders: Folders) -> None:
        super().__init__()
        self._folders = folders
        for kind, (paths, suffixes) in folders.kinds.items():
            super().__setitem__(kind, (TiedList(paths), suffixes))
        super().__setitem__("custom_nodes", (TiedList(folders.custom_nodes), set()))

    def __setitem__(self, kind: str, entry: Any) -> None:
        places, suffixes = entry
        paths = [Path(place) for place in places]
        kept = suffixes if isinstance(suffixes, set) else set(suffixes)
        if kind == "custom_nodes":
            self._folders.custom_nodes[:] = paths
            paths = self._folders.custom_nodes
        else:
            self._folders.kinds[LEGACY_KINDS.get(kind, kind)] = (paths, kept)
        super().__setitem__(kind, (TiedList(paths), kept))

    def setdefault(self, kind: str, default: Any = None) -> Any:
        if kind not in self:
            self[kind] = default
        return self[kind]

    def update(self, *others: Any, **entries: Any) -> None:
        for kind, entry in dict(*others, **entries).items():
            self[kind] = entry

    def __delitem__(self, kind: str) -> None:
        super().__delitem__(kind)
        self._folders.kinds.pop(kind, None)

    def add(self, kind: str, path: str, first: bool = False) -> None:
        """Let a kind also be found below `path`; as the first place when `first`."""
        kind = LEGACY_KINDS.get(kind, kind)
        if kind not in self:
            self[kind] = ([path], set[str]())
            return
        places = self[kind][0]
        if path in places:
            if not first or places[0] == path:
                return
            places.remove(path)
        places.insert(0, path) if first else places.append(path)


def filtered(files: Iterable[str], suffixes: Iterable[str]) -> list[str]:
    """The files with one of these suffixes, sorted; all of them when there are none."""
    wanted = {suffix.lower() for suffix in suffixes}
    return sorted(file for file in files if not wanted or Path(file).suffix.lower() in wanted)
