"""Validation: every problem of a graph at once, before anything runs or is charged. Problem types are ComfyUI's words."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from marquetry.engine.folders import Folders
from marquetry.engine.graph import Graph, Link, Node
from marquetry.engine.input_check import Finding, check_constant, check_link
from marquetry.engine.schema import MISSING, Input, NodeType

PLAIN_KINDS: Mapping[str, type] = {"STRING": str, "BOOLEAN": bool}


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. Without a node it concerns the graph as a whole. `extra` says what was received and what was wanted."""

    type: str
    message: str
    details: str = ""
    node_id: str | None = None
    input_name: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Validation:
    """`outputs` are the output nodes that can be run; `graph` has its literals in the types that the nodes declare.

    The graph may be run when `outputs` is not empty, also when there are problems: they concern other outputs then.
    `dependent_outputs` names for each node with a problem the output nodes that it keeps from running.
    """

    problems: tuple[Problem, ...]
    outputs: tuple[str, ...]
    graph: Graph
    dependent_outputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.problems


async def validate(graph: Graph, registry: Mapping[str, NodeType], folders: Folders, targets: Iterable[str] | None = None) -> Validation:
    """Check what the output nodes need; `targets` restricts which output nodes count. Nodes that nothing needs may be incomplete."""
    unknown = [
        Problem(
            "invalid_prompt",
            f"Cannot execute because node {node.type_id} does not exist.",
            f"Node ID '#{id}'",
            id,
            None,
            {"class_type": node.type_id, "node_title": node.title or node.type_id},
        )
        for id, node in graph.nodes.items()
        if node.type_id not in registry
    ]
    if unknown:
        return Validation(tuple(unknown), (), graph)
    outputs = [id for id, node in graph.nodes.items() if registry[node.type_id].is_output]
    if targets is not None:
        wanted = set(targets)
        outputs = [id for id in outputs if id in wanted]
    if not outputs:
        message = "Prompt has no outputs" if targets is None else "None of the chosen nodes is an output node of this graph"
        return Validation((Problem("prompt_no_outputs", message),), (), graph)
    check = _Check(graph, registry, folders)
    await check.run(outputs)
    return check.verdict(outputs)


class _Check:
    """One pass over the nodes that the outputs need, in topological order."""

    def __init__(self, graph: Graph, registry: Mapping[str, NodeType], folders: Folders) -> None:
        self.graph = graph
        self.registry = registry
        self.folders = folders
        self.problems: list[Problem] = []
        self.invalid: set[str] = set()
        self.changed: dict[str, Node] = {}
        self.types: dict[str, NodeType] = {}

    async def run(self, outputs: list[str]) -> None:
        order, stuck = order_of(self.graph, tuple(outputs))
        for id in (*order, *stuck) if stuck else order:
            node = self.graph.nodes[id]
            node_type = self.types.get(node.type_id) or self._current_type(node.type_id)
            if node_type.validate is None:
                named: frozenset[str] = frozenset()
                everything = False
            else:
                named, everything = parameters_of(node_type.validate)
            found, values = self._inputs(node, node_type, named, everything)
            if node_type.validate is not None and not found:
                found = await self._custom(node, node_type, values, named, everything)
            if found:
                self.invalid.add(id)
                self.problems += [
                    Problem(finding.type, finding.message, finding.details, id, finding.input_name, finding.extra) for finding in found
                ]
        if stuck:
            self._cycle(stuck)

    def verdict(self, outputs: list[str]) -> Validation:
        good = tuple(id for id in outputs if id not in self.invalid)
        graph = Graph({**self.graph.nodes, **self.changed}, self.graph.orders) if self.changed else self.graph
        if not self.problems:
            return Validation((), good, graph)
        faulty = {problem.node_id for problem in self.problems if problem.node_id is not None}
        dependent: dict[str, list[str]] = {id: [] for id in faulty}
        for output in outputs:
            if output in self.invalid:
                for id in self.graph.ancestors([output]) & faulty:
                    dependent[id].append(output)
        return Validation(tuple(self.problems), good, graph, {id: tuple(ids) for id, ids in dependent.items()})

    def _current_type(self, type_id: str) -> NodeType:
        node_type = self.registry[type_id]
        if node_type.refresh is not None:
            node_type = node_type.refresh()
        self.types[type_id] = node_type
        return node_type

    def _inputs(self, node: Node, node_type: NodeType, named: frozenset[str], everything: bool) -> tuple[list[Finding], Mapping[str, Any]]:
        found: list[Finding] = []
        given = node.inputs
        values: dict[str, Any] | None = None
        skip_types = "input_types" in named
        nodes, types = self.graph.nodes, self.types
        for declared in node_type.inputs:
            name = declared.name
            value = given.get(name, MISSING)
            kind = type(value)
            finding: Finding | None = None
            if kind is Link:
                parent = nodes.get(value.node_id)
                parent_type = None if parent is None else types.get(parent.type_id)
                if parent_type is not None and 0 <= value.slot < len(parent_type.outputs):
                    received = parent_type.outputs[value.slot].type
                    if received is declared.type or (type(received) is str and type(declared.type) is str and received == declared.type):
                        continue
                finding = self._link(declared, value, skip_types)
            elif value is MISSING:
                if declared.required:
                    found.append(Finding("required_input_missing", "Required input is missing", name, name, {"input_name": name}))
                continue
            elif kind is PLAIN_KINDS.get(declared.type if type(declared.type) is str else "") and (kind is str or kind is bool):
                continue
            else:
                checked, finding = check_constant(declared, value, self.folders, custom=everything or name in named)
                if checked is not value:
                    values = dict(given) if values is None else values
                    values[name] = checked
            if finding is not None:
                found.append(finding)
        for name, value in given.items():
            if type(value) is Link:
                if value.node_id in self.invalid:
                    self.invalid.add(node.id)
                elif value.node_id not in nodes and node_type.input(name) is None:
                    found.append(
                        Finding("bad_linked_input", "Input is linked from a node that is not there", name, name, {"input_name": name})
                    )
        if values is not None:
            self.changed[node.id] = Node(node.id, node.type_id, values, node.title, node.display_id, node.policy)
        return found, given if values is None else values

    def _link(self, declared: Input, link: Link, skip_types: bool) -> Finding | None:
        parent = self.graph.nodes.get(link.node_id)
        if parent is None:
            details = f"{declared.name}, linked from node '{link.node_id}', which is not in the graph"
            extra = {"input_name": declared.name, "received_value": [link.node_id, link.slot]}
            return Finding("bad_linked_input", "Input is linked from a node that is not there", details, declared.name, extra)
        parent_type = self.types.get(parent.type_id) or self._current_type(parent.type_id)
        return check_link(declared, link, parent_type, skip_types=skip_types)

    async def _custom(
        self, node: Node, node_type: NodeType, values: Mapping[str, Any], named: frozenset[str], everything: bool
    ) -> list[Finding]:
        assert node_type.validate is not None
        constants = {name: None if type(value) is Link else value for name, value in values.items()}
        arguments = constants if everything else {name: constants[name] for name in constants if name in named}
        if "input_types" in named:
            arguments = {**arguments, "input_types": self._linked_types(values)}
        try:
            answer = node_type.validate(**arguments)
            if inspect.isawaitable(answer):
                answer = await answer
        except Exception as error:  # a pack's validator may raise anything; that is a finding about the node
            extra = {"exception_type": type(error).__qualname__, "traceback": traceback.format_tb(error.__traceback__)}
            return [Finding("exception_during_validation", "Exception when validating node", str(error), None, extra)]
        if answer is True or (answer is None and not named and not everything):
            return []
        details = "" if answer is False or answer is None else f" - {answer}"
        return [
            Finding(
                "custom_validation_failed",
                "Custom validation failed for node",
                f"{name}{details}",
                name,
                {"input_name": name, "received_value": constants.get(name)},
            )
            for name in arguments
            if name != "input_types"
        ] or [Finding("custom_validation_failed", "Custom validation failed for node", details.removeprefix(" - "), None, {})]

    def _linked_types(self, values: Mapping[str, Any]) -> dict[str, Any]:
        types: dict[str, Any] = {}
        for name, value in values.items():
            if type(value) is Link and value.node_id in self.graph.nodes:
                types[name] = self._current_type(self.graph.nodes[value.node_id].type_id).outputs[value.slot].type
        return types

    def _cycle(self, stuck: set[str]) -> None:
        ring = Graph({id: self.graph.nodes[id] for id in stuck}).cycle()
        path = " -> ".join([*ring, ring[0]])
        self.invalid |= stuck
        self.problems += [
            Problem("dependency_cycle", "The graph has a cycle: a node needs its own result", path, id, None, {"cycle": list(ring)})
            for id in ring
        ]


def order_of(graph: Graph, outputs: tuple[str, ...]) -> tuple[list[str], set[str]]:
    """As `topological_order`; the graph remembers it, so that who runs what was just validated need not ask again."""
    known = graph.orders.get(outputs)
    if known is not None:
        return known, set()
    order, stuck = topological_order(graph, outputs)
    if not stuck:
        graph.orders[outputs] = order
    return order, stuck


def topological_order(graph: Graph, outputs: Iterable[str]) -> tuple[list[str], set[str]]:
    """What the outputs need, parents before children, and the nodes that can't be ordered: those on a cycle or behind one."""
    nodes = graph.nodes
    waiting: dict[str, int] = {}
    children: dict[str, list[str]] = {}
    pending = list(dict.fromkeys(outputs))
    ready: list[str] = []
    for id in pending:
        waiting[id] = 0
    while pending:
        id = pending.pop()
        count = 0
        for value in nodes[id].inputs.values():
            if type(value) is Link and value.node_id in nodes:
                parent = value.node_id
                count += 1
                if parent in children:
                    children[parent].append(id)
                else:
                    children[parent] = [id]
                if parent not in waiting:
                    waiting[parent] = 0
                    pending.append(parent)
        waiting[id] = count
        if not count:
            ready.append(id)
    order: list[str] = []
    while ready:
        id = ready.pop()
        order.append(id)
        for child in children.get(id, ()):
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    stuck = set(waiting) - set(order) if len(order) < len(waiting) else set()
    return order, stuck


@lru_cache(maxsize=8192)
def parameters_of(function: Callable[..., Any]) -> tuple[frozenset[str], bool]:
    """The names of a function's parameters, and whether it takes any other by `**`."""
    parameters = inspect.signature(function).parameters.values()
    names = frozenset(p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))
    return names, any(p.kind is p.VAR_KEYWORD for p in parameters)
