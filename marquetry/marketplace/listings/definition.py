"""Definition: a graph with the interface that it shows as a node. Made once when a version is written, immutable, known by its hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson

from marquetry.engine.graph import Graph, GraphLimits, Link
from marquetry.marketplace.listings.errors import InvalidListing

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_ -]{0,63}")
INNER_ID = re.compile(r"[^#\x00-\x1f]{1,120}")
LIMITS = GraphLimits(nodes=2_000, depth=2_000, literal_bytes=2**20, id_length=120)
MAX_BYTES = 2**20
MAX_PORTS = 64
MAX_CHOICES = 500
NARROWING = ("min", "max", "step", "tooltip", "multiline", "label")

Interface: TypeAlias = Mapping[str, Any]
"""A node type as `object_info` describes it."""
FindInterface: TypeAlias = Callable[[str], Interface | None]
Pin: TypeAlias = Callable[[str], str]
"""Gives the node type of a published graph with its version. Raises ListingMissing."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the creator wants of an input; the rest follows from the input inside. `options` may narrow limits and set `default`, `choices`."""

    name: str
    node: str
    input: str
    options: Mapping[str, Any] = field(default_factory=dict)
    required: bool | None = None


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """What the creator wants of an output."""

    name: str
    node: str
    slot: int = 0
    tooltip: str = ""


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """A graph to be published. `shows`: output nodes whose pictures are shown; `previews`: nodes whose steps and previews are."""

    graph: Mapping[str, Any]
    inputs: Sequence[InputSpec] = ()
    outputs: Sequence[OutputSpec] = ()
    shows: Sequence[str] = ()
    previews: Sequence[str] = ()


def define(spec: GraphSpec, interface: FindInterface, pin: Pin) -> bytes:
    """The definition as JSON. Raises InvalidListing, GraphError, and what `pin` raises."""
    graph = Graph.from_api(spec.graph, LIMITS)
    for id in graph.nodes:
        if INNER_ID.fullmatch(id) is None:
            raise InvalidListing(f"node '{id[:40]}': ids inside a published graph have 1 to 120 characters and no #", field="graph")
    api = {id: {"class_type": pin(raw["class_type"]), **_kept(raw)} for id, raw in graph.to_api().items()}
    if max(len(spec.inputs), len(spec.outputs), len(spec.shows), len(spec.previews)) > MAX_PORTS:
        raise InvalidListing(f"at most {MAX_PORTS} inputs, outputs, shown nodes and previews can be declared", field="inputs")
    if not spec.outputs and not spec.shows:
        raise InvalidListing("declare at least one output, or an output node that is shown", field="outputs")
    reading = _Reading(api, graph, interface)
    definition = {
        "graph": api,
        "inputs": [reading.input(each) for each in _distinct(spec.inputs, "inputs")],
        "outputs": [reading.output(each) for each in _distinct(spec.outputs, "outputs")],
        "shows": [reading.shown(id) for id in dict.fromkeys(spec.shows)],
        "previews": [reading.known(id, "previews") for id in dict.fromkeys(spec.previews)],
    }
    data = orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)
    if len(data) > MAX_BYTES:
        raise InvalidListing(f"the graph has {len(data):,} bytes; at most {MAX_BYTES:,} are allowed: put data into files", field="graph")
    return data


def hash_of(data: bytes) -> str:
    """How a definition is known."""
    return hashlib.sha256(data).hexdigest()


def files_named(definition: Mapping[str, Any], interface: FindInterface) -> list[tuple[str, str, str]]:
    """(class, input, value) of every literal inside that names a file by the type of its input, for what is required."""
    found = []
    for raw in definition["graph"].values():
        declared = interface(raw["class_type"]) or {}
        for section in ("required", "optional"):
            for name, entry in (declared.get("input", {}).get(section) or {}).items():
                value = raw["inputs"].get(name)
                if isinstance(value, str) and entry and isinstance(entry[0], list) and name.endswith("_name"):
                    found.append((raw["class_type"], name, value))
    return found


def _kept(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: raw[name] for name in ("inputs", "policy") if name in raw}


def _distinct(specs: Sequence[Any], where: str) -> Sequence[Any]:
    for spec in specs:
        if NAME.fullmatch(spec.name) is None:
            raise InvalidListing(
                f"'{spec.name[:64]}': a name begins with a letter and has at most 64 letters, digits, spaces, _ and -", field=where
            )
    if len({spec.name for spec in specs}) < len(specs):
        raise InvalidListing("every name is used once", field=where)
    return specs


class _Reading:
    """Reads what ports are from the nodes that they belong to."""

    def __init__(self, api: Mapping[str, Any], graph: Graph, interface: FindInterface) -> None:
        self.api = api
        self.graph = graph
        self.interface = interface

    def known(self, id: str, where: str) -> str:
        if id not in self.api:
            raise InvalidListing(f"there is no node '{id[:100]}' in the graph", field=where)
        return id

    def declared(self, id: str, where: str) -> Interface:
        type_id = self.api[self.known(id, where)]["class_type"]
        found = self.interface(type_id)
        if found is None:
            raise InvalidListing(f"node '{id}' is a '{type_id}', which is not installed here", field=where)
        return found

    def shown(self, id: str) -> str:
        if not self.declared(id, "shows").get("output_node"):
            raise InvalidListing(f"node '{id}' is no output node, so it has nothing to show", field="shows")
        return id

    def output(self, spec: OutputSpec) -> dict[str, Any]:
        found = self.declared(spec.node, "outputs")
        kinds = found.get("output", [])
        if not 0 <= spec.slot < len(kinds):
            raise InvalidListing(f"node '{spec.node}' has {len(kinds)} outputs, and none with the number {spec.slot}", field="outputs")
        lists = found.get("output_is_list") or []
        plain = {"name": spec.name, "node": spec.node, "slot": spec.slot, "type": kinds[spec.slot]}
        return plain | {"is_list": bool(lists[spec.slot]) if spec.slot < len(lists) else False, "tooltip": spec.tooltip[:300] or None}

    def input(self, spec: InputSpec) -> dict[str, Any]:
        sections = self.declared(spec.node, "inputs").get("input", {})
        entry, needed = None, False
        for section in ("required", "optional"):
            if spec.input in (sections.get(section) or {}):
                entry, needed = sections[section][spec.input], section == "required"
        if not entry:
            raise InvalidListing(f"node '{spec.node}' has no input '{spec.input[:100]}'", field="inputs")
        kind: Any = entry[0]
        options = dict(entry[1]) if len(entry) > 1 and isinstance(entry[1], dict) else {}
        options |= {name: spec.options[name] for name in NARROWING if name in spec.options}
        value = self.graph.nodes[spec.node].inputs.get(spec.input)
        given: dict[str, Any] = {"name": spec.name, "node": spec.node, "input": spec.input}
        if "choices" in spec.options:
            kind = given["choices"] = _choices(spec, kind)
        default = spec.options.get("default", None if type(value) is Link else value)
        options.pop("default", None)
        if default is not None:
            options["default"] = default
        has_value = value is not None or default is not None
        required = (needed and not has_value) if spec.required is None else spec.required or (needed and value is None)
        return given | {"type": kind if isinstance(kind, (str, list)) else str(kind), "options": options, "required": required}


def _choices(spec: InputSpec, kind: Any) -> list[Any]:
    wanted = spec.options["choices"]
    if not isinstance(wanted, list) or not 0 < len(wanted) <= MAX_CHOICES:
        raise InvalidListing(f"input '{spec.name}': choices is a list of 1 to {MAX_CHOICES} values", field="inputs")
    unknown = [choice for choice in wanted if isinstance(kind, list) and choice not in kind]
    if unknown:
        raise InvalidListing(f"input '{spec.name}': {unknown[0]!r} is not among the choices of the input inside", field="inputs")
    return wanted
