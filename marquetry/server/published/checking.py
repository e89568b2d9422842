"""Checking graphs that use published ones: as they were submitted, then with everything in place. Problems inside are told of the node that
stands there, without saying what is inside."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import replace

from marquetry.engine.folders import Folders
from marquetry.engine.graph import Graph, GraphLimits
from marquetry.engine.schema import NodeType
from marquetry.engine.sealed import Opened, opened
from marquetry.engine.validation import Problem, Validation, validate
from marquetry.server.published.definitions import described, unpack


async def check(
    graph: Graph, registry: Mapping[str, NodeType], folders: Folders, targets: Sequence[str] | None, published: bytes, limits: GraphLimits
) -> Validation:
    """As `engine.validation.validate`. Raises GraphError where a published graph can't be put in place."""
    types: Mapping[str, NodeType] = ChainMap(described(published, registry), registry)  # type: ignore[arg-type]  # read only
    found = await validate(graph, types, folders, targets)
    if not found.outputs:
        return found
    flat = opened(found.graph, unpack(published), limits.nodes, for_check=True)
    places = flat.opened
    assert places is not None
    inside = await _validate_inside(flat, places, registry, folders, found.outputs)
    outer = replace(found.graph, published=published)
    if not inside:
        return replace(found, graph=outer)
    faulty = {problem.node_id for problem in inside if problem.node_id is not None}
    good = tuple(id for id in found.outputs if not graph.ancestors([id]) & faulty)
    dependent = {id: tuple(output for output in found.outputs if id in graph.ancestors([output])) for id in faulty}
    return Validation((*found.problems, *inside), good, outer, {**found.dependent_outputs, **dependent})


async def _validate_inside(
    flat: Graph, places: Opened, registry: Mapping[str, NodeType], folders: Folders, outputs: Sequence[str]
) -> list[Problem]:
    """One problem for each node that stands for a graph that can't run, or each input of it that is at fault."""
    types: Mapping[str, NodeType] = ChainMap(places.types, registry)  # type: ignore[arg-type]  # read only
    lacking = {places.outer_id(id) for id, node in flat.nodes.items() if node.type_id not in types}
    if lacking:
        return [_unusable(places, outer_id) for outer_id in sorted(lacking)]
    found = await validate(flat, types, folders, [*outputs, *places.shown])
    masked = [_masked(places, problem) for problem in found.problems if problem.node_id in places.seals]
    return list({(problem.node_id, problem.input_name): problem for problem in masked}.values())


def _masked(places: Opened, problem: Problem) -> Problem:
    assert problem.node_id is not None
    outer_id = places.outer_id(problem.node_id)
    gate = places.gates[outer_id]
    names = places.names.get(problem.node_id, [])
    if len(names) == 1 and problem.input_name is not None:
        details = f"{names[0]}: '{gate.title}' can't work with this value"
        return Problem(
            "published_graph_refused", "Value can't be used by the published graph", details, outer_id, names[0], {"input_name": names[0]}
        )
    return _unusable(places, outer_id)


def _unusable(places: Opened, outer_id: str) -> Problem:
    gate = places.gates.get(outer_id)
    name = outer_id if gate is None else gate.type_id
    return Problem(
        "published_graph_unusable", "The published graph can't run on this server", f"{name}: ask its creator to publish it anew", outer_id
    )
