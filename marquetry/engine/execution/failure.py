"""Failure: what happens when a node raises. It is tried again, caught by who asked for that, or ends its job and no other."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from marquetry.engine.cache import Result
from marquetry.engine.errors import EngineError, GraphError, Interrupted, OutOfMemory
from marquetry.engine.events import NodeFailed
from marquetry.engine.execution import call
from marquetry.engine.execution.plan import PlannedNode

if TYPE_CHECKING:
    from marquetry.engine.execution.run import Run

MAX_SHOWN = 200


def handle(run: Run, index: int, planned: PlannedNode, error: BaseException, arguments: Mapping[str, Any]) -> None:
    """Deal with what a node raised."""
    if isinstance(error, Interrupted) or run.cancelled:
        run.finish("cancelled", "interrupted", "the job was cancelled", planned)
        return
    tries = run.growth.tries.get(index, 0)
    if is_out_of_memory(error) and "memory" not in run.growth.relieved.get(index, ()):
        run.growth.relieved[index] = {"memory"}
        run.executor.relieve()
        run.retry(index)
        return
    if tries < planned.policy.retries:
        run.growth.tries[index] = tries + 1
        run.emit(failed_event(run, planned, error, arguments, caught=True))
        run.retry(index)
        return
    if planned.policy.on_error == "block" or _is_caught(run, index):
        run.emit(failed_event(run, planned, error, arguments, caught=True))
        result = Result(call.blocked_outputs(planned.type))
        result.shareable = False
        run.settle(index, result)
        return
    run.emit(failed_event(run, planned, error, arguments, caught=False))
    run.finish("failed", code_of(error), message_of(error), planned)


def fail_job(run: Run, error: Exception) -> None:
    """End a job that can't even be planned."""
    planned = None
    if isinstance(error, EngineError):
        id = error.details.get("node_id")
        planned = run.nodes[run.index[id]] if isinstance(id, str) and id in run.index else None
    if planned is not None:
        run.emit(failed_event(run, planned, error, {}, caught=False))
    run.finish("failed", code_of(error), message_of(error), planned)


def stalled(run: Run) -> None:
    """Nothing can go on although not all is done: expanded nodes wait for each other in a ring."""
    grown = [index for index in run.growth.grown if index in run.growth.waiting]
    planned = run.nodes[run.index[run.nodes[grown[0]].origin_id]] if grown else run.nodes[run.plan.outputs[0]]
    error = GraphError(f"node '{planned.id}' expanded into a graph with a cycle: a node in it needs its own result", node_id=planned.id)
    run.emit(failed_event(run, planned, error, {}, caught=False))
    run.finish("failed", code_of(error), message_of(error), planned)


def blocked_event(run: Run, planned: PlannedNode, message: str) -> NodeFailed:
    """A node that could not run because what it received was blocked, for a reason that the owner should see."""
    return run.failed_event(
        node_id=planned.id, display_id=planned.display_id, parent_id=planned.parent_id, node_type=planned.type.id,
        error_type="ExecutionBlocked", code="execution_blocked", message=f"Execution Blocked: {message}", traceback=[], current_inputs={},
        current_outputs=[], caught=False,
    )  # fmt: skip


def failed_event(run: Run, planned: PlannedNode, error: BaseException, arguments: Mapping[str, Any], *, caught: bool) -> NodeFailed:
    """The event for an error that a node raised."""
    module = type(error).__module__
    name = type(error).__qualname__
    return run.failed_event(
        node_id=planned.id, display_id=planned.display_id, parent_id=planned.parent_id, node_type=planned.type.id,
        error_type=name if module == "builtins" else f"{module}.{name}", code=code_of(error), message=message_of(error),
        traceback=traceback.format_tb(error.__traceback__), current_inputs={key: [shown(value)] for key, value in arguments.items()},
        current_outputs=[run.nodes[parent].id for parent in planned.parents], caught=caught,
    )  # fmt: skip


def code_of(error: BaseException) -> str:
    if isinstance(error, EngineError):
        return error.code
    return OutOfMemory.code if is_out_of_memory(error) else "node_failed"


def message_of(error: BaseException) -> str:
    return str(error) or type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory ran out, of the machine or of an accelerator."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ in ("OutOfMemoryError", "OutOfMemory")
        or "can't allocate memory" in str(error)
    )


def shown(value: Any) -> str:
    """A short description of a value: numbers and text as they are, tensors by their shape."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    text = str(value) if isinstance(value, (str, int, float, bool, type(None))) else f"{type(value).__name__}"
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def _is_caught(run: Run, index: int) -> bool:
    """Whether everything that waits for this node ends in an input that catches a blocked value."""
    pending = [index]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        dependents = run.dependents_of(current)
        if not dependents:
            return False
        for dependent in dependents:
            planned = run.nodes[dependent]
            catching = [name for group in (planned.links, planned.lazy or ()) for name, parent, _ in group if parent == current]
            if planned.type.passes_blocked or not catching or not all(name in planned.type.catches for name in catching):
                pending.append(dependent)
    return True
