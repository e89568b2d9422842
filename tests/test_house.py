"""The house has floors and no circles: a room imports only from rooms below it, and no module needs itself."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).parent.parent / "marquetry"
MAY_IMPORT = {
    "engine": set[str](),
    "nodes": {"engine"},
    "graphs": {"engine", "nodes"},
    "custom_nodes": {"engine", "nodes"},
    "marketplace": {"engine.graph", "engine.events", "engine.usage"},
    "server": {"engine", "nodes", "graphs", "custom_nodes", "marketplace"},
}
FORBIDDEN_WORDS = ("utils", "helpers", "common", "manager")


def modules() -> dict[str, Path]:
    return {".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path for path in ROOT.rglob("*.py")}


def imports(path: Path, *, at_load: bool) -> Iterator[str]:
    """What a module imports from this package; `at_load` leaves out functions and blocks for type checkers."""

    def walk(node: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            if at_load and isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                continue
            if at_load and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                yield from (part for entry in child.orelse for part in (entry, *walk(entry)))
                continue
            yield child
            yield from walk(child)

    for node in walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("marquetry") and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("marquetry"))


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_from_rooms_below_it(room: str) -> None:
    allowed = {f"marquetry.{name}" for name in MAY_IMPORT[room] | {room}}
    wrong = []
    for name, path in modules().items():
        if not name.startswith(f"marquetry.{room}"):
            continue
        for imported in imports(path, at_load=False):
            if imported == "marquetry" or imported == "marquetry.__version__":
                continue
            if not any(imported == place or imported.startswith(place + ".") for place in allowed):
                wrong.append(f"{name} imports {imported}")
    assert not wrong


def test_no_module_needs_itself() -> None:
    known = modules()
    arrows = networkx.DiGraph()
    for name, path in known.items():
        for imported in imports(path, at_load=True):
            if imported in known and imported != name and not (known[imported].name == "__init__.py" and name.startswith(imported + ".")):
                arrows.add_edge(name, imported)
    circles = [sorted(part) for part in networkx.strongly_connected_components(arrows) if len(part) > 1]
    assert not circles


def test_no_file_has_a_name_that_says_nothing() -> None:
    theirs = "marquetry.custom_nodes.facade."  # ComfyUI's module names, as packs import them
    assert not [name for name in modules() if name.rsplit(".", 1)[-1] in FORBIDDEN_WORDS and not name.startswith(theirs)]


def test_every_package_that_is_imported_is_declared() -> None:
    names = {"PIL": "pillow", "yaml": "pyyaml", "pydantic_settings": "pydantic-settings", "jwt": "pyjwt", "argon2": "argon2-cffi"}
    declared = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]["dependencies"]
    known = {re.split(r"[\[=<>]", entry)[0].lower() for entry in declared}
    wanted = set()
    for path in modules().values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                wanted.add(node.module.split(".")[0])
            elif isinstance(node, ast.Import):
                wanted |= {alias.name.split(".")[0] for alias in node.names}
    foreign = wanted - set(sys.stdlib_module_names) - {"marquetry"}
    assert {names.get(name, name).lower() for name in foreign} <= known
