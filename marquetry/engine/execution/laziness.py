"""Lazy inputs: which of them a node needs next."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from marquetry.engine.execution import call
from marquetry.engine.execution.arguments import gather, lists_of
from marquetry.engine.execution.plan import PlannedNode
from marquetry.engine.validation import parameters_of

if TYPE_CHECKING:
    from marquetry.engine.execution.run import Run


def wanted_inputs(run: Run, planned: PlannedNode, asked: Collection[str]) -> list[str]:
    """The lazy inputs that are missing and asked for by the node, over all its calls. Without a lazy status that is all of them."""
    assert planned.lazy is not None
    missing = [name for name, _, _ in planned.lazy if name not in asked]
    if not missing:
        return []
    status = planned.type.lazy_status
    if status is None:
        return missing
    arguments, _ = gather(run, planned, asked)
    lists = lists_of(run, planned, arguments, asked)
    names, everything = parameters_of(status)
    instance = run.executor.instance(run.owner, planned)
    wanted: set[str] = set()
    for batch in call.slices(planned.type, lists):
        given = batch if everything else {name: value for name, value in batch.items() if name in names}
        answer = status(**given) if instance is None else status(instance, **given)
        if inspect.isawaitable(answer):
            answer = _wait(answer)
        if isinstance(answer, Iterable) and not isinstance(answer, str):
            wanted.update(name for name in answer if isinstance(name, str))
    return [name for name in missing if name in wanted]


def _wait(awaitable: Any) -> Any:
    """Let a coroutine end, also when this thread runs a loop already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_finish(awaitable))
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(_finish(awaitable))).result()


async def _finish(awaitable: Any) -> Any:
    return await awaitable
