"""A folder with packs in it, and the registry that they fill."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from marquetry.custom_nodes.host import PackReport, load_packs
from marquetry.engine.folders import Folders
from marquetry.engine.registry import Registry


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders(tmp_path)
    folders.create()
    return folders


@pytest.fixture
def registry() -> Registry:
    return Registry()


WritePack = Callable[..., Path]


@pytest.fixture
def write_pack(folders: Folders) -> WritePack:
    """Write a package of that name, or a single file when the name ends in .py."""

    def write(name: str, source: str, **files: str) -> Path:
        place = folders.custom_nodes[0] / name
        if not name.endswith(".py"):
            place.mkdir()
            for file, text in files.items():
                (place / file.replace("__", ".")).write_text(textwrap.dedent(text))
        main = place if name.endswith(".py") else place / "__init__.py"
        main.write_text(textwrap.dedent(source))
        return place

    return write


@pytest.fixture
def load(registry: Registry, folders: Folders) -> Iterator[Callable[[], list[PackReport]]]:
    yield lambda: load_packs(registry, folders)
