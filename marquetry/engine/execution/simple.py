"""The common case in one piece: a function of single values with one output. Does what `Run._step` and `Run.settle` do, in fewer steps.

Most nodes of large graphs are of this kind, and what the engine costs is what this costs. Anything else is left to the general way.
"""

from __future__ import annotations

from time import perf_counter
from types import CoroutineType
from typing import TYPE_CHECKING

from marquetry.engine.cache import Result
from marquetry.engine.events import NodeFinished, NodeStarted
from marquetry.engine.execution.clock import now_ms
from marquetry.engine.execution.plan import PlannedNode
from marquetry.engine.expansion import current_call
from marquetry.engine.outcome import ExecutionBlocker, NodeOutput

if TYPE_CHECKING:
    from marquetry.engine.execution.run import Run

SPECIAL = frozenset({ExecutionBlocker, NodeOutput, CoroutineType})


def step(run: Run, index: int, planned: PlannedNode) -> bool:
    """Make the result of a claimed node and settle it. False when a value is a list or blocked: nothing was done then. Raises what the node raises."""
    arguments = planned.constants.copy()
    results = run.results
    for name, parent, slot in planned.links:
        values = results[parent].outputs[slot]
        if len(values) != 1:
            return False
        value = values[0]
        if type(value) is ExecutionBlocker:
            return False
        arguments[name] = value
    job_id, id, display_id, parent_id = run.job_id, planned.id, planned.display_id, planned.parent_id
    listener = run.listener
    time_ms = now_ms()
    run.running[index] = planned
    with run.lock:
        if run.over:
            return True
        listener(NodeStarted(job_id=job_id, time_ms=time_ms, node_id=id, display_id=display_id, parent_id=parent_id))
    own = current_call.get()
    assert own is not None  # `Run.work` sets it for its thread
    own.node_id, own.call_index, own.graph_index = id, 0, 0
    started_s = perf_counter()
    value = planned.type.call(**arguments)
    duration_s = perf_counter() - started_s
    if type(value) in SPECIAL:
        run.special(index, planned, value, duration_s, arguments)
        return True
    result = Result(([value],), None, duration_s)
    key = run.keys[index]
    if run.claimed.pop(key, None) is not None:
        if run.growth.tainted and run.growth.is_tainted(planned):
            run.executor.cache.abandon(key)
        else:
            run.executor.cache.complete(key, result)
    if duration_s > 0.0005:
        run.executor.learn(planned.type, duration_s)
    event = NodeFinished(
        job_id=job_id,
        time_ms=time_ms + int(duration_s * 1000),
        node_id=id,
        display_id=display_id,
        parent_id=parent_id,
        duration_s=duration_s,
    )
    with run.lock:
        if not run.is_over():  # another thread may have ended the job meanwhile
            listener(event)
            run.executed.append(id)
            run.hand_on(index, planned, result)
    return True
