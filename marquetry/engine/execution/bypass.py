"""Bypass: a node left out, with its inputs passed on by type, as an editor's bypass does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marquetry.engine.cache import Result
from marquetry.engine.execution.plan import PlannedNode
from marquetry.engine.input_check import types_match
from marquetry.engine.outcome import ExecutionBlocker

if TYPE_CHECKING:
    from marquetry.engine.execution.run import Run


def bypassed(run: Run, planned: PlannedNode) -> Result:
    """For each output the first linked input of its type; a blocked value where there is none."""
    outputs: list[list[Any]] = []
    for output in planned.type.outputs:
        values: list[Any] = [ExecutionBlocker()]
        for name, parent, slot in planned.links:
            declared = planned.type.input(name)
            if declared is not None and types_match(declared.type, output.type):
                values = run.results[parent].outputs[slot]
                break
        outputs.append(values)
    return Result(tuple(outputs))
