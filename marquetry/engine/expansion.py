"""Expansion: what a node needs to go on as a graph of its own. Ids are the same whenever the same node does the same again.

The executor sets `current_call` and `current_context` right before it calls a node; both follow the call into its thread or task.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from marquetry.engine.context import Context


@dataclass(slots=True)
class Call:
    """One call of a node. `call_index` counts the calls over a list; `graph_index` the builders that the call has made."""

    node_id: str
    call_index: int = 0
    graph_index: int = 0


current_call: ContextVar[Call | None] = ContextVar("current_call", default=None)
current_context: ContextVar[Context | None] = ContextVar("current_context", default=None)


def is_link(value: object) -> bool:
    """Whether a value of an API graph is a link: a list of a node id and a slot."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], (int, float))


class GraphNode:
    """A node under construction. `inputs` stays one object for its life, so that what is set later is seen by who holds it."""

    def __init__(self, id: str, class_type: str, inputs: dict[str, Any]) -> None:
        self.id = id
        self.class_type = class_type
        self.inputs = inputs
        self.override_display_id: str | None = None

    def out(self, index: int) -> list[Any]:
        """A link to an output of this node."""
        return [self.id, index]

    def set_input(self, key: str, value: Any) -> None:
        """Set an input; None takes it away."""
        if value is None:
            self.inputs.pop(key, None)
        else:
            self.inputs[key] = value

    def get_input(self, key: str) -> Any:
        """The input's value, or None."""
        return self.inputs.get(key)

    def set_override_display_id(self, override_display_id: str) -> None:
        """Let editors show this node's progress on another one."""
        self.override_display_id = override_display_id

    def serialize(self) -> dict[str, Any]:
        """The node as it stands in an API graph."""
        entry: dict[str, Any] = {"class_type": self.class_type, "inputs": self.inputs}
        if self.override_display_id is not None:
            entry["override_display_id"] = self.override_display_id
        return entry


class GraphBuilder:
    """Builds an API graph. Without a prefix, ids begin with the running call's, so that they clash with nobody's."""

    _outside: Call = Call("")

    def __init__(self, prefix: str | None = None) -> None:
        self.prefix = self.alloc_prefix() if prefix is None else prefix
        self.nodes: dict[str, GraphNode] = {}
        self.id_gen = 1

    @classmethod
    def set_default_prefix(cls, prefix_root: str, call_index: int, graph_index: int = 0) -> None:
        """Let the builders made from here on begin with this node and call."""
        current_call.set(Call(prefix_root, call_index, graph_index))

    @classmethod
    def alloc_prefix(cls, root: str | None = None, call_index: int | None = None, graph_index: int | None = None) -> str:
        """The next unused prefix of the running call; every part may be given instead."""
        call = current_call.get() or cls._outside
        parts = (
            call.node_id if root is None else root,
            call.call_index if call_index is None else call_index,
            call.graph_index if graph_index is None else graph_index,
        )
        call.graph_index += 1
        return "".join(f"{part}." for part in parts)

    def node(self, class_type: str, id: str | None = None, **kwargs: Any) -> GraphNode:
        """Add a node with these inputs; the node that is there already when the id is taken. Unnamed nodes are counted."""
        if id is None:
            id = str(self.id_gen)
            self.id_gen += 1
        id = self.prefix + id
        if id not in self.nodes:
            self.nodes[id] = GraphNode(id, class_type, kwargs)
        return self.nodes[id]

    def lookup_node(self, id: str) -> GraphNode | None:
        """The node that was added under this id (without the prefix), or None."""
        return self.nodes.get(self.prefix + id)

    def remove_node(self, id: str) -> None:
        """Take away the node that was added under this id; links to it stay."""
        del self.nodes[self.prefix + id]

    def replace_node_output(self, node_id: str, index: int, new_value: Any) -> None:
        """Put a value, or another link, wherever an output of a node is used; None unlinks."""
        link = [self.prefix + node_id, index]
        for node in self.nodes.values():
            for key in [key for key, value in node.inputs.items() if is_link(value) and value == link]:
                node.set_input(key, new_value)

    def finalize(self) -> dict[str, dict[str, Any]]:
        """The API graph. Its `inputs` are the nodes' own, not copies."""
        return {id: node.serialize() for id, node in self.nodes.items()}


def add_graph_prefix(
    graph: Mapping[str, Mapping[str, Any]], outputs: Any, prefix: str
) -> tuple[dict[str, dict[str, Any]], tuple[Any, ...]]:
    """A copy of an API graph, and of outputs that link into it, with a prefix before every id."""

    def moved(value: Any) -> Any:
        return [prefix + value[0], value[1]] if is_link(value) else value

    nodes = {
        prefix + id: {**entry, "inputs": {name: moved(value) for name, value in entry.get("inputs", {}).items()}}
        for id, entry in graph.items()
    }
    return nodes, tuple(moved(output) for output in outputs)
