"""What node packs bring for browsers: scripts, translations, example graphs. Each pack's files stay inside its own folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marquetry.engine.folders import Folders
from marquetry.server.http.errors import NotFound

EXAMPLE_FOLDERS = ("example_workflows", "example", "examples", "workflow", "workflows")
OURS = "marquetry"


@dataclass
class PackFiles:
    """`web` maps a pack's name to the folder of its scripts; packs themselves are the folders below `custom_nodes`."""

    folders: Folders
    graphs: Path
    web: Mapping[str, Path] = field(default_factory=dict)

    def scripts(self) -> list[str]:
        """Addresses of all scripts that the editor loads."""
        found: list[str] = []
        for pack, root in sorted(self.web.items()):
            found += [f"/extensions/{pack}/{path.relative_to(root).as_posix()}" for path in sorted(root.rglob("*.js")) if path.is_file()]
        return found

    def script(self, pack: str, name: str) -> Path:
        """A file of a pack's folder of scripts. Raises NotFound, UnsafePath."""
        root = self.web.get(pack)
        if root is None:
            raise NotFound(f"no pack '{pack[:100]}' has scripts")
        path = self.folders.inside(root, name)
        if not path.is_file():
            raise NotFound(f"the pack '{pack}' has no file '{name[:200]}'")
        return path

    def templates(self) -> dict[str, list[str]]:
        """Names of example graphs by pack; our own first."""
        found = {OURS: sorted(path.stem for path in self.graphs.glob("*.json"))} if self.graphs.is_dir() else {}
        for pack in self._packs():
            names = sorted({path.stem for folder in _examples(pack) for path in folder.glob("*.json")})
            if names:
                found[pack.name] = names
        return found

    def template(self, pack: str, name: str) -> Path:
        """The file of an example graph or of its picture. Raises NotFound, UnsafePath."""
        if Path(name).suffix not in (".json", ".jpg", ".png", ".webp"):
            raise NotFound(f"there is no example '{name[:200]}'")
        places = [self.graphs] if pack == OURS else [folder for found in self._packs() if found.name == pack for folder in _examples(found)]
        for place in places:
            path = self.folders.inside(place, name)
            if path.is_file():
                return path
        raise NotFound(f"the pack '{pack[:100]}' has no example '{name[:200]}'")

    def translations(self) -> dict[str, Any]:
        """By language, what packs translate: the files `locales/LANGUAGE/*.json` of each, laid over one another."""
        found: dict[str, Any] = {}
        for pack in self._packs():
            for path in sorted(pack.glob("locales/*/*.json")):
                try:
                    text = json.loads(path.read_text(encoding="utf-8"))
                except (OSError, ValueError):
                    continue
                if isinstance(text, dict):
                    language = found.setdefault(path.parent.name, {})
                    _lay_over(language, text if path.stem == "main" else {path.stem: text})
        return found

    def _packs(self) -> Iterator[Path]:
        for place in self.folders.custom_nodes:
            if place.is_dir():
                yield from sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def _examples(pack: Path) -> list[Path]:
    return [pack / name for name in EXAMPLE_FOLDERS if (pack / name).is_dir()]


def _lay_over(below: dict[str, Any], above: dict[str, Any]) -> None:
    for key, value in above.items():
        known = below.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            _lay_over(known, value)
        else:
            below[key] = value
