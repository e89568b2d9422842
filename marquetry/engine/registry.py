"""Registry: which node types there are. Filled by scanning a package of declared functions, and by the hosts of node packs."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from marquetry.engine.errors import DeclarationError, UnknownNodeType
from marquetry.engine.folders import DATA_FOLDERS, Folders
from marquetry.engine.schema import Input, NodeType


class Registry(Mapping[str, NodeType]):
    """Node types by id."""

    def __init__(self) -> None:
        self._types: dict[str, NodeType] = {}
        self.revision = 0  # grows with every change, so that what was made from the types can be kept until then

    def __getitem__(self, id: str) -> NodeType:
        return self._types[id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)

    def find(self, id: str) -> NodeType:
        """As `[]`, but raises UnknownNodeType."""
        found = self._types.get(id)
        if found is None:
            raise UnknownNodeType(f"no node type '{id}' is installed", id=id)
        return found

    def add(self, node_type: NodeType, *, replace: bool = False) -> None:
        """Add a node type; raises DeclarationError when its id is taken and `replace` is not set."""
        if node_type.id in self._types and not replace:
            raise DeclarationError(f"two nodes have the id '{node_type.id}'")
        self._types[node_type.id] = node_type
        self.revision += 1

    def scan(self, package: ModuleType) -> None:
        """Add every function of the package's modules that `declare.node` marked; of subpackages too, unless they say `HOLDS_NODES = False`."""
        for found in sorted(pkgutil.iter_modules(package.__path__, package.__name__ + "."), key=lambda info: info.name):
            module = importlib.import_module(found.name)
            if found.ispkg and getattr(module, "HOLDS_NODES", True):
                self.scan(module)
            for value in vars(module).values():
                declared = getattr(value, "__node_type__", None) if callable(value) else None
                if isinstance(declared, NodeType) and getattr(value, "__module__", None) == module.__name__:
                    self.add(declared)


def choices_of(declared: Input, folders: Folders) -> list[Any] | None:
    """The choices of a combo input as they are now, or None when the input is no combo with a list."""
    if declared.file_kind in DATA_FOLDERS:
        return [*declared.also, *_files_in(folders.directory(declared.file_kind))]
    if declared.file_kind is not None:
        return [*declared.also, *folders.list_files(declared.file_kind)]
    if declared.choices is not None:
        return list(declared.choices())
    if isinstance(declared.type, (list, tuple)):
        return list(declared.type)
    return None


def describe(node_type: NodeType, folders: Folders) -> dict[str, Any]:
    """The node type as `object_info` shows it. A list in an option of an input stays as it is declared."""
    sections: dict[str, dict[str, Any]] = {"required": {}}
    for declared in node_type.inputs:
        section = sections.setdefault("required" if declared.required else "optional", {})
        choices = choices_of(declared, folders)
        kind = declared.type if choices is None else choices
        section[declared.name] = [kind, dict(declared.options)] if declared.options else [kind]
    if node_type.hidden:
        sections["hidden"] = dict(node_type.hidden)
    described: dict[str, Any] = {
        "input": sections,
        "input_order": {name: list(section) for name, section in sections.items()},
        "output": [output.type for output in node_type.outputs],
        "output_is_list": [output.is_list for output in node_type.outputs],
        "output_name": [output.name for output in node_type.outputs],
        "name": node_type.id,
        "display_name": node_type.title,
        "description": node_type.description,
        "python_module": node_type.module,
        "category": node_type.category,
        "output_node": node_type.is_output,
    }
    if any(output.tooltip for output in node_type.outputs):
        described["output_tooltips"] = [output.tooltip for output in node_type.outputs]
    for name in ("deprecated", "experimental", "api_node"):
        if getattr(node_type, name):
            described[name] = True
    if node_type.aliases:
        described["search_aliases"] = list(node_type.aliases)
    return described | dict(node_type.extra)


def _files_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
