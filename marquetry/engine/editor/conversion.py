"""The editor's file to an API graph: only what runs is left, subgraphs are laid open, widgets have become named values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from marquetry.engine.editor.document import Document, EditorNode, Slot, read_document
from marquetry.engine.editor.dynamic_prompt import replace_placeholders, resolve_choices
from marquetry.engine.editor.promoted import MAX_NESTING
from marquetry.engine.editor.resolve import VIRTUAL, Constant, Output, Resolver, Scope
from marquetry.engine.editor.widgets import has_widget, read_values
from marquetry.engine.errors import GraphError
from marquetry.engine.folders import Folders
from marquetry.engine.schema import NodeType
from marquetry.engine.validation import Problem

MAX_NODES = 50_000


@dataclass(frozen=True)
class Conversion:
    """An API graph, and what could not be converted as it was meant. The graph holds unknown node types too."""

    graph: dict[str, Any]
    problems: list[Problem] = field(default_factory=list)


def to_api(
    editor: Mapping[str, Any],
    registry: Mapping[str, NodeType],
    folders: Folders,
    *,
    seed: int = 0,
    now: datetime | None = None,
    max_nodes: int = MAX_NODES,
) -> Conversion:
    """The API graph that ComfyUI's editor would submit for its workflow JSON (schema 0.4 or 1.0).

    `seed` decides between the choices of `{a|b}` texts; `now` fills in `%date%`. Raises GraphError for what is no workflow.
    """
    document = read_document(editor)
    return _Converter(document, registry, folders, seed, now or datetime.now(), max_nodes).run()


class _Converter:
    """One conversion."""

    def __init__(
        self, document: Document, registry: Mapping[str, NodeType], folders: Folders, seed: int, now: datetime, max_nodes: int
    ) -> None:
        self.document = document
        self.registry = registry
        self.folders = folders
        self.seed = seed
        self.now = now
        self.max_nodes = max_nodes
        self.resolver = Resolver(document, registry)
        self.problems: list[Problem] = []
        self.graph: dict[str, Any] = {}

    def run(self) -> Conversion:
        root = Scope(self.document.graph)
        for scope, node in self._running(root):
            id = scope.id_of(node)
            node_type = self.registry.get(node.type)
            if node_type is None:
                self._unknown(id, node)
            entry: dict[str, Any] = {"inputs": self._inputs(scope, node, node_type), "class_type": node.type}
            entry["_meta"] = {"title": node.title or (node_type.title if node_type is not None else node.type)}
            policy = node.properties.get("policy")
            if isinstance(policy, dict):
                entry["policy"] = policy
            self.graph[id] = entry
            if len(self.graph) > self.max_nodes:
                raise GraphError(f"the graph has more than {self.max_nodes} nodes once its subgraphs are laid open", limit=self.max_nodes)
        for entry in self.graph.values():
            inputs = entry["inputs"]
            for name in [name for name, value in inputs.items() if type(value) is Output and value.node_id not in self.graph]:
                del inputs[name]
            entry["inputs"] = {name: [value.node_id, value.slot] if type(value) is Output else value for name, value in inputs.items()}
        return Conversion(self.graph, self.problems)

    def _running(self, root: Scope) -> Iterator[tuple[Scope, EditorNode]]:
        pending = [iter([(root, node) for node in root.graph.nodes.values()])]
        while pending:
            found = next(pending[-1], None)
            if found is None:
                pending.pop()
                continue
            scope, node = found
            if node.silent or node.type in VIRTUAL:
                continue
            inner = self.resolver.inner(scope, node)
            if inner is None:
                yield scope, node
            elif self._is_inside_itself(inner) or len(inner.path) > MAX_NESTING:
                self._problem("recursive_subgraph", f"Subgraph '{inner.graph.name}' is used inside of itself", scope.id_of(node))
            else:
                pending.append(iter([(inner, child) for child in inner.graph.nodes.values()]))

    @staticmethod
    def _is_inside_itself(scope: Scope) -> bool:
        outer = scope.parent
        while outer is not None:
            if outer.graph is scope.graph:
                return True
            outer = outer.parent
        return False

    def _unknown(self, id: str, node: EditorNode) -> None:
        extra: dict[str, Any] = {"class_type": node.type}
        pack = node.properties.get("cnr_id") or node.properties.get("aux_id")
        if isinstance(pack, str):
            extra["pack"] = pack
        where = f", it comes from the pack '{pack}'" if isinstance(pack, str) else ""
        self.problems.append(
            Problem("unknown_node_type", f"No node type '{node.type}' is installed{where}", f"Node ID '#{id}'", id, None, extra)
        )

    def _problem(self, type: str, message: str, id: str) -> None:
        self.problems.append(Problem(type, message, f"Node ID '#{id}'", id))

    def _inputs(self, scope: Scope, node: EditorNode, node_type: NodeType | None) -> dict[str, Any]:
        inputs: dict[str, Any] = {}
        if node_type is None:
            if isinstance(node.values, Mapping):
                inputs.update({str(name): _wrapped(value) for name, value in node.values.items()})
        else:
            for name, value in read_values(node, node_type, self.folders).items():
                if value is not None:
                    inputs[name] = self._sent(scope, node, node_type, name, value)
        for slot in node.inputs:
            if slot.link is None:
                continue
            source = self.resolver.source(scope, slot.link, self._wanted(slot, node_type))
            if isinstance(source, Output):
                inputs[slot.name] = source
            elif isinstance(source, Constant):
                inputs[slot.name] = self._constant(scope, node, node_type, slot, source)
        return inputs

    @staticmethod
    def _wanted(slot: Slot, node_type: NodeType | None) -> Any:
        declared = None if node_type is None else node_type.input(slot.name)
        if declared is None:
            return slot.type
        return declared.type if isinstance(declared.type, str) else "COMBO"

    def _constant(self, scope: Scope, node: EditorNode, node_type: NodeType | None, slot: Slot, source: Constant) -> Any:
        value = source.value
        if isinstance(value, str) and source.node.properties.get("Run widget replace on values"):
            value = replace_placeholders(value, lambda name, widget: self._widget(scope, name, widget), self.now)
        return _wrapped(value) if node_type is None else self._sent(scope, node, node_type, slot.name, value)

    def _sent(self, scope: Scope, node: EditorNode, node_type: NodeType, name: str, value: Any) -> Any:
        """The value as it goes to the engine."""
        declared = node_type.input(name)
        if isinstance(value, str) and declared is not None:
            if declared.options.get("dynamicPrompts"):
                return resolve_choices(value, Random(f"{self.seed}:{scope.id_of(node)}:{name}"))
            if name == "filename_prefix" and node_type.is_output:
                return replace_placeholders(value, lambda other, widget: self._widget(scope, other, widget), self.now)
        return _wrapped(value)

    def _widget(self, scope: Scope, node_name: str, widget: str) -> str | None:
        for node in scope.graph.nodes.values():
            node_type = self.registry.get(node.type)
            if node_type is None or node_name not in (node.search_name, node.title):
                continue
            declared = node_type.input(widget)
            if declared is not None and has_widget(declared):
                return str(read_values(node, node_type, self.folders).get(widget, ""))
        return None


def _wrapped(value: Any) -> Any:
    if isinstance(value, list) or (isinstance(value, dict) and value.keys() == {"__value__"}):
        return {"__value__": value}
    return value
