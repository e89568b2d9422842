"""Foresight: what a graph's nodes will consume at most, found from its literals before anything runs. What can't be known has declared limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from marquetry.engine.folders import DATA_FOLDERS
from marquetry.engine.graph import Graph, Link, Node
from marquetry.engine.schema import Input, NodeType
from marquetry.engine.usage import Extent, Foreseen, Usage, number_of
from marquetry.engine.validation import order_of

WEIGHT_KINDS = frozenset({"checkpoints", "diffusion_models", "diffusers"})
UNKNOWN_FAMILY = "flux?"  # what nobody recognises is taken for the costliest
SizeReader: TypeAlias = Callable[[str, str], Extent | None]  # of a picture by folder and name
FamilyReader: TypeAlias = Callable[[str, str], str | None]  # of weights by kind and name


LARGEST = Extent(2048, 2048, 4)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is assumed of values that only the run will make."""

    extent: Extent = LARGEST
    number: int = 100


@dataclass(frozen=True, slots=True)
class ForeseenNode:
    """What one node will consume at most.

    `files` are the weights that it names, by kind; `linked_files`: it names some by a link, so nobody knows them yet. `certain`: it is needed
    whenever the job completes, whatever lazy inputs turn out to be wanted. `extent` bounds the pictures or latents that it gives.
    """

    node: Node
    type: NodeType
    usage: tuple[Usage, ...]
    files: tuple[tuple[str, str], ...]
    linked_files: bool
    certain: bool
    extent: Extent
    families: frozenset[str]


@dataclass(frozen=True, slots=True)
class _About:
    """What matters of a node type: its inputs that name files, those that are lazy, whether it passes a schedule on."""

    files: tuple[Input, ...]
    lazy: frozenset[str]
    gives_sigmas: bool
    number: str


@dataclass(slots=True)
class Foresight:
    """Reads graphs. `read_size` and `read_family` look into files; None: it is not known."""

    types: Mapping[str, NodeType]
    limits: Limits = field(default_factory=Limits)
    read_size: SizeReader = lambda kind, name: None
    read_family: FamilyReader = lambda kind, name: None
    _known: dict[str, _About] = field(default_factory=dict)

    def nodes(self, graph: Graph, outputs: Iterable[str]) -> list[ForeseenNode]:
        """Everything that the outputs need, parents before children. The graph is valid. Nodes of unknown types consume nothing."""
        wanted = tuple(outputs)
        order, _ = order_of(graph, wanted)
        certain = self._certain(graph, wanted)
        seen: dict[str, Foreseen] = {}
        found: list[ForeseenNode] = []
        for id in order:
            node = graph.nodes[id]
            node_type = self.types.get(node.type_id)
            if node_type is None:
                seen[id] = self._unknown(frozenset({UNKNOWN_FAMILY}))
                continue
            foreseen = self._node(node, node_type, seen, id in certain)
            found.append(foreseen)
        return found

    def _node(self, node: Node, node_type: NodeType, seen: dict[str, Foreseen], certain: bool) -> ForeseenNode:
        inputs: dict[str, Any] = {}
        files: list[tuple[str, str]] = []
        families: set[str] = set()
        picture: Extent | None = None
        linked_files = False
        for name, value in node.inputs.items():
            if type(value) is Link:
                known = inputs[name] = seen.get(value.node_id) or self._unknown(frozenset())
                families |= known.families
            else:
                inputs[name] = value
        about = self._about(node_type)
        for declared in about.files:
            kind, value = declared.file_kind, inputs.get(declared.name)
            if kind is None or value is None or value in declared.also:
                continue
            if isinstance(value, Foreseen):
                linked_files = linked_files or kind not in DATA_FOLDERS
            elif kind in DATA_FOLDERS:
                picture = self.read_size(kind, str(value)) or picture
            else:
                files.append((kind, str(value)))
                if kind in WEIGHT_KINDS:
                    own = frozenset({self.read_family(kind, str(value)) or UNKNOWN_FAMILY})
                    families |= own
                    inputs[declared.name] = Foreseen(self.limits.extent, 0, own)
        extent = node_type.extent(inputs) if node_type.extent is not None else picture or self.limits.extent
        number = self._number(about, inputs)
        result = Foreseen(extent, self.limits.number if number is None else number, frozenset(families), number is not None)
        seen[node.id] = result
        usage = () if node_type.usage is None else node_type.usage(inputs)
        return ForeseenNode(node, node_type, usage, tuple(files), linked_files, certain, extent, result.families)

    def _unknown(self, families: frozenset[str]) -> Foreseen:
        return Foreseen(self.limits.extent, self.limits.number, families, known=False)

    def _about(self, node_type: NodeType) -> _About:
        known = self._known.get(node_type.id)
        if known is None:
            known = self._known[node_type.id] = _About(
                tuple(declared for declared in node_type.inputs if declared.file_kind is not None),
                frozenset(declared.name for declared in node_type.inputs if declared.lazy),
                any(output.type == "SIGMAS" for output in node_type.outputs),
                "value" if node_type.id.startswith("Primitive") else "steps",
            )
        return known

    def _number(self, about: _About, inputs: Mapping[str, Any]) -> int | None:
        """The number, or the steps of the schedule, that a node gives; None: it is not known."""
        given = inputs.get(about.number)
        if given is not None:
            return None if isinstance(given, Foreseen) and not given.known else number_of(given)
        if not about.gives_sigmas:
            return None
        linked = [value for value in inputs.values() if isinstance(value, Foreseen)]
        return max((value.number for value in linked if value.known), default=None)

    def _certain(self, graph: Graph, outputs: Iterable[str]) -> set[str]:
        """The nodes that are needed although no lazy input may be wanted."""
        found: set[str] = set()
        pending = [id for id in outputs if id in graph.nodes]
        while pending:
            id = pending.pop()
            if id in found:
                continue
            found.add(id)
            node_type = self.types.get(graph.nodes[id].type_id)
            lazy = self._about(node_type).lazy if node_type is not None else frozenset()
            for name, value in graph.nodes[id].inputs.items():
                if type(value) is Link and name not in lazy and value.node_id in graph.nodes:
                    pending.append(value.node_id)
        return found
