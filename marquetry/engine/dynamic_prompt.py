"""What nodes that look at their own graph receive as DYNPROMPT: the submitted graph and everything that it expanded into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from marquetry.engine.errors import GraphError


class DynamicPrompt:
    """A view of a running graph. `expanded` gives (node, parent id, display id, origin id) of a node made by expansion, or None."""

    def __init__(
        self,
        prompt: Mapping[str, Any],
        expanded: Callable[[str], tuple[dict[str, Any], str, str, str] | None],
        all_ids: Callable[[], set[str]],
    ) -> None:
        self.original_prompt = prompt
        self._expanded = expanded
        self._all_ids = all_ids

    def get_node(self, node_id: str) -> dict[str, Any]:
        """The node as it stands in an API graph. Raises GraphError for an unknown id."""
        if node_id in self.original_prompt:
            node: dict[str, Any] = self.original_prompt[node_id]
            return node
        found = self._expanded(node_id)
        if found is None:
            raise GraphError(f"there is no node '{node_id}' in this run", node_id=node_id)
        return found[0]

    def has_node(self, node_id: str) -> bool:
        """Whether the node was submitted or made by expansion."""
        return node_id in self.original_prompt or self._expanded(node_id) is not None

    def get_parent_node_id(self, node_id: str) -> str | None:
        """The node that expanded into this one; None for submitted nodes."""
        found = self._expanded(node_id)
        return None if found is None else found[1]

    def get_display_node_id(self, node_id: str) -> str:
        """The node on which an editor shows this one."""
        found = self._expanded(node_id)
        return node_id if found is None else found[2]

    def get_real_node_id(self, node_id: str) -> str:
        """The submitted node that this one comes from."""
        found = self._expanded(node_id)
        return node_id if found is None else found[3]

    def all_node_ids(self) -> set[str]:
        """Every id, submitted or made."""
        return set(self.original_prompt) | self._all_ids()

    def get_original_prompt(self) -> Mapping[str, Any]:
        """The graph as it was submitted."""
        return self.original_prompt
