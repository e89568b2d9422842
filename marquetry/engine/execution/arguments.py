"""The arguments of a call: constants, results of linked nodes, hidden values, the context."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from marquetry.engine.errors import NodeFailed
from marquetry.engine.execution.plan import KNOWN_HIDDEN, PlannedNode
from marquetry.engine.folders import PRIVATE_WEIGHTS

if TYPE_CHECKING:
    from marquetry.engine.execution.run import Run


def gather(run: Run, planned: PlannedNode, asked: Collection[str] = ()) -> tuple[dict[str, Any], bool]:
    """Every argument of a node by name, and whether some stand for lists of values: those are left to `lists_of`.

    A lazy input that was not asked for is None, also when its value happens to be there: what a node gives must not depend on that.
    """
    arguments = dict(planned.constants)
    results = run.results
    plural = False
    for name, parent, slot in planned.links:
        outputs = results[parent].outputs
        if slot >= len(outputs):
            raise NodeFailed(f"input '{name}' is linked from output {slot} of node '{run.nodes[parent].id}', which has {len(outputs)}")
        values = outputs[slot]
        for value in values:
            if type(value) is str and PRIVATE_WEIGHTS in value:
                raise NodeFailed(f"input '{name}': private weights are named in the graph itself, never by a link")
        if len(values) == 1:
            arguments[name] = values[0]
        else:
            arguments[name] = values
            plural = True
    if planned.raw is not None:
        for name, parent, slot in planned.raw:
            arguments[name] = [run.nodes[parent].id, slot]
    if planned.lazy is not None:
        for name, parent, slot in planned.lazy:
            values = results[parent].outputs[slot] if name in asked else [None]
            arguments[name] = values[0] if len(values) == 1 else values
            plural = plural or len(values) != 1
    if planned.type.hidden:
        for name, kind in planned.type.hidden.items():
            if isinstance(kind, str) and kind in KNOWN_HIDDEN and planned.type.wants_context is None:
                arguments[name] = run.hidden(planned, kind)
    if planned.type.wants_context is not None:
        arguments[planned.type.wants_context] = run.context(planned)
    return arguments, plural


def lists_of(run: Run, planned: PlannedNode, arguments: dict[str, Any], asked: Collection[str] = ()) -> dict[str, list[Any]]:
    """The arguments as lists of values: one for each constant and hidden value, the whole list for what comes from lists."""
    lists = {name: [value] for name, value in arguments.items()}
    for name, parent, slot in planned.links:
        lists[name] = run.results[parent].outputs[slot]
    for name, parent, slot in planned.lazy or ():
        if name in asked:
            lists[name] = run.results[parent].outputs[slot]
    return lists
