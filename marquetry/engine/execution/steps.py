"""Steps: one node made, from what it needs to what it gives: laziness, claim, arguments, calls, result.

A step never raises: whatever a node raises is its failure, dealt with by `failure.handle`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from time import perf_counter, time_ns
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from marquetry.engine.cache import ENTRY_BYTES, PLAIN_KINDS, Result
from marquetry.engine.errors import EngineError, GraphError, Interrupted
from marquetry.engine.events import NodeFinished, NodeSkipped, NodeStarted
from marquetry.engine.execution import call, failure
from marquetry.engine.execution.arguments import gather, lists_of
from marquetry.engine.execution.bypass import bypassed
from marquetry.engine.execution.clock import now_ms
from marquetry.engine.execution.laziness import wanted_inputs, wanted_inputs_awaited
from marquetry.engine.execution.plan import PlannedNode
from marquetry.engine.expansion import Call, current_call, current_context
from marquetry.engine.outcome import ExecutionBlocker, NodeOutput

if TYPE_CHECKING:
    from marquetry.engine.execution.run import Run

QUICK_S = 0.0005  # nodes that take less are not timed again and again
SPECIAL = frozenset({ExecutionBlocker, NodeOutput, CoroutineType})


def step(run: Run, index: int) -> None:
    """Take one ready node as far as it goes: to its result, or to waiting for what it turned out to need."""
    planned = run.nodes[index]
    arguments: dict[str, Any] = {}
    try:
        if planned.simple and not run.growth.grown:
            if not _claim(run, index, planned) or _simple(run, index, planned):
                return
        elif not _begins(run, index, planned):
            return
        arguments, batches = _batches(run, index, planned)
        if planned.type.optional_under_load and run.executor.overloaded():
            _bypass(run, index, planned)
            return
        _general(run, index, planned, arguments, batches)
    except BaseException as error:  # the boundary of a node: whatever it raises is its failure and nobody else's
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            error = EngineError(f"the node tried to end the process ({type(error).__name__})")
        failure.handle(run, index, planned, error, arguments)
    finally:
        run.running.pop(index, None)


async def step_async(run: Run, index: int) -> None:
    """As `step`, for a node whose body is asynchronous; its calls over a list wait side by side."""
    planned = run.nodes[index]
    arguments: dict[str, Any] = {}
    try:
        if index in run.growth.grown:
            run.growth.gather(index)
            return
        if planned.lazy is not None and not await _lazy_settled_awaited(run, index, planned):
            return
        if not _claim(run, index, planned):
            return
        arguments, batches = _batches(run, index, planned)
        run.running[index] = planned
        run.emit(_started(run, planned))
        started_s = perf_counter()
        instance = run.executor.instance(run.owner, planned)
        calls = [_call_async(run, planned, instance, number, batch) for number, batch in enumerate(batches)]
        returned = list(await asyncio.gather(*calls))
        _returned(run, index, planned, returned, perf_counter() - started_s, arguments)
    except BaseException as error:  # the boundary of a node; cancelling its task is one way for it to end
        if isinstance(error, asyncio.CancelledError):
            error = Interrupted("the job was cancelled")
        failure.handle(run, index, planned, error, arguments)
    finally:
        run.running.pop(index, None)
        run.go_on()


def _begins(run: Run, index: int, planned: PlannedNode) -> bool:
    """Whether the node's body is to run now: its expansion is not just done, its lazy inputs are there, nobody else makes its result."""
    if run.growth.grown and index in run.growth.grown:
        run.growth.gather(index)
        return False
    if planned.lazy is not None and not _lazy_settled(run, index, planned):
        return False
    return _claim(run, index, planned)


def _lazy_settled(run: Run, index: int, planned: PlannedNode) -> bool:
    """Ask the node which lazy inputs it needs next; False when it now waits for some."""
    asked = run.asked.setdefault(index, [])
    while wanted := wanted_inputs(run, planned, asked):
        if _waits_for(run, index, planned, wanted):
            return False
    return True


async def _lazy_settled_awaited(run: Run, index: int, planned: PlannedNode) -> bool:
    """As `_lazy_settled`; other nodes go on while this one thinks about it."""
    asked = run.asked.setdefault(index, [])
    while wanted := await wanted_inputs_awaited(run, planned, asked):
        if _waits_for(run, index, planned, wanted):
            return False
    return True


def _waits_for(run: Run, index: int, planned: PlannedNode, wanted: list[str]) -> bool:
    """Whether lazy inputs that were asked for are still to be made; the node waits for them then."""
    with run.lock:
        run.asked[index] += wanted
        waits = run.require(index, [parent for name, parent, _ in planned.lazy or () if name in wanted]) > 0
        if waits:
            run.pause(index)
        return waits


def _claim(run: Run, index: int, planned: PlannedNode) -> bool:
    """Whether this run is to make the node's result. Otherwise it was there, or another node or run is making it."""
    if index in run.volatile:
        return True
    key = run.keys[index]
    if run.claimed and run.claimed.get(key) == index:
        return True
    found = run.cache.claim(key, run, index)
    if found is None:
        run.claimed[key] = index
        return True
    if type(found) is tuple:
        maker, other = found
        if maker is run and run.growth.is_inside(index, other):
            raise GraphError(f"node '{planned.id}' expands into itself without end", node_id=planned.origin_id)
        return False
    assert isinstance(found, Result)
    run.settle(index, found, cached=True)
    return False


def _batches(run: Run, index: int, planned: PlannedNode) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The arguments as they were gathered, and those of each call."""
    asked = run.asked.get(index, ())
    arguments, plural = gather(run, planned, asked)
    if plural or planned.type.input_is_list:
        return arguments, call.slices(planned.type, lists_of(run, planned, arguments, asked))
    return arguments, [arguments]


def _simple(run: Run, index: int, planned: PlannedNode) -> bool:
    """The common case in one piece: a plain function of single values with one output. Most nodes of large graphs are of this kind.

    Does what `_general` and `Run.settle` do, in fewer steps. False when a value is a list or blocked: nothing was done then.
    """
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
    time_ms = time_ns() // 1_000_000
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
        _returned(run, index, planned, [call.read_result(planned.type, _waited_for(value))], duration_s, arguments)
        return True
    result = Result(([value],), None, duration_s)
    key = run.keys[index]
    if run.claimed.pop(key, None) is not None:
        if run.growth.tainted and run.growth.is_tainted(planned):
            run.cache.abandon(key)
        else:
            run.cache.complete(key, result, ENTRY_BYTES if type(value) in PLAIN_KINDS else 0)
    if duration_s > QUICK_S or planned.type.id not in run.executor.durations:
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


def _general(run: Run, index: int, planned: PlannedNode, arguments: Mapping[str, Any], batches: list[dict[str, Any]]) -> None:
    """Call the node once for each batch of arguments."""
    node_type = planned.type
    run.running[index] = planned
    run.emit(_started(run, planned))
    current_call.set(own := Call(planned.id))
    instance = None
    if node_type.instance is not None or node_type.wants_context is not None:
        current_context.set(run.context(planned))
        instance = run.executor.instance(run.owner, planned)
    returned: list[call.Returned] = []
    started_s = perf_counter()
    for batch in batches:
        blocker = call.find_blocker(node_type, batch)
        if blocker is None:
            raw = node_type.call(**batch) if instance is None else node_type.call(instance, **batch)
            returned.append(call.read_result(node_type, _waited_for(raw)))
        else:
            returned.append(_blocked(run, planned, blocker))
        own.call_index, own.graph_index = own.call_index + 1, 0
    _returned(run, index, planned, returned, perf_counter() - started_s, arguments)


async def _call_async(run: Run, planned: PlannedNode, instance: Any, number: int, batch: dict[str, Any]) -> call.Returned:
    node_type = planned.type
    blocker = call.find_blocker(node_type, batch)
    if blocker is not None:
        return _blocked(run, planned, blocker)
    current_call.set(Call(planned.id, number))
    current_context.set(run.context(planned))
    raw = node_type.call(**batch) if instance is None else node_type.call(instance, **batch)
    return call.read_result(node_type, await raw if inspect.isawaitable(raw) else raw)


def _returned(
    run: Run, index: int, planned: PlannedNode, returned: list[call.Returned], duration_s: float, arguments: Mapping[str, Any]
) -> None:
    """All calls came back: settle the node, or let it grow."""
    node_type = planned.type
    ui = call.merge_ui([part.ui for part in returned if part.ui is not None])
    if node_type.shows_linked:
        ui = call.merge_shown([run.results[parent].ui for _, parent, _ in planned.raw or ()])
    if any(part.expand is not None for part in returned):
        run.growth.expand(index, planned, returned, ui, duration_s)
        return
    result = Result(call.merge(node_type, [part.values for part in returned]), ui, duration_s)
    result.shareable = not call.has_blocker(result.outputs)
    run.executor.learn(node_type, duration_s)
    run.settle(index, result, duration_s=duration_s, arguments=arguments)


def _blocked(run: Run, planned: PlannedNode, blocker: ExecutionBlocker) -> call.Returned:
    message = blocker.message or ""
    run.emit(_skipped(run, planned, "blocked", message))
    if message:
        run.blocked_message = run.blocked_message or message
        run.emit(failure.blocked_event(run, planned, message))
    return call.Returned(ExecutionBlocker())


def _bypass(run: Run, index: int, planned: PlannedNode) -> None:
    run.emit(_skipped(run, planned, "bypassed_under_load", ""))
    run.growth.tainted.add(planned.id)
    run.settle(index, bypassed(run, planned))


def _started(run: Run, planned: PlannedNode) -> NodeStarted:
    return NodeStarted(job_id=run.job_id, time_ms=now_ms(), node_id=planned.id, display_id=planned.display_id, parent_id=planned.parent_id)


def _skipped(run: Run, planned: PlannedNode, reason: str, message: str) -> NodeSkipped:
    return NodeSkipped(job_id=run.job_id, time_ms=now_ms(), node_id=planned.id, display_id=planned.display_id, parent_id=planned.parent_id,
                       reason=reason, message=message)  # fmt: skip


def _waited_for(raw: Any) -> Any:
    return asyncio.run(raw) if inspect.iscoroutine(raw) else raw
