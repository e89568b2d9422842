"""`nodes` for packs: constants and the classes that other packs offer."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from marquetry.custom_nodes.class_of import class_of
from marquetry.custom_nodes.installation import current
from marquetry.custom_nodes.progress import InterruptProcessingException, require_running

MAX_RESOLUTION = 16384


class NodeClasses(MutableMapping[str, Any]):
    """Node classes by id: those of packs as they are, built-in nodes as classes made to the same pattern."""

    def __init__(self) -> None:
        self._own: dict[str, Any] = {}

    def __getitem__(self, id: str) -> Any:
        if id not in self._own:
            self._own[id] = class_of(current().registry[id])
        return self._own[id]

    def __setitem__(self, id: str, node_class: Any) -> None:
        self._own[id] = node_class

    def __delitem__(self, id: str) -> None:
        del self._own[id]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*current().registry, *self._own]))

    def __len__(self) -> int:
        return len(set(current().registry) | set(self._own))

    def __contains__(self, id: object) -> bool:
        return id in self._own or id in current().registry


NODE_CLASS_MAPPINGS = NodeClasses()
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {id: node_type.title for id, node_type in current().registry.items()}
EXTENSION_WEB_DIRS: dict[str, str] = current().web_directories
LOADED_MODULE_DIRS: dict[str, str] = {}


def interrupt_processing(value: bool = True) -> None:
    """Cancel the job of the node that runs."""
    if value:
        raise InterruptProcessingException()


def before_node_execution() -> None:
    require_running()


def get_module_name(module_path: str) -> str:
    """The last part of a path, without a suffix."""
    import os

    base = os.path.basename(os.path.normpath(module_path))
    return os.path.splitext(base)[0] if os.path.isfile(module_path) else base
