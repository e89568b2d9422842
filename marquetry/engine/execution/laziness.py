"""Lazy inputs: which of them a node needs next."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from marquetry.engine.awaiting import settled
from marquetry.engine.execution import call
from marquetry.engine.execution.arguments import gather, lists_of
from marquetry.engine.execution.plan import PlannedNode
from marquetry.engine.validation import parameters_of

if TYPE_CHECKING:
    from marquetry.engine.execution.run import Run


def wanted_inputs(run: Run, planned: PlannedNode, asked: Collection[str]) -> list[str]:
    """The lazy inputs that are missing and asked for by the node, over all its calls. Without a lazy status that is all of them."""
    missing = _missing(planned, asked)
    if not missing or planned.type.lazy_status is None:
        return missing
    return _named(missing, [settled(answer) for answer in _answers(run, planned, asked)])


async def wanted_inputs_awaited(run: Run, planned: PlannedNode, asked: Collection[str]) -> list[str]:
    """As `wanted_inputs`; others go on while the node thinks about it."""
    missing = _missing(planned, asked)
    if not missing or planned.type.lazy_status is None:
        return missing
    answers = _answers(run, planned, asked)
    return _named(missing, [await answer if inspect.isawaitable(answer) else answer for answer in answers])


def _missing(planned: PlannedNode, asked: Collection[str]) -> list[str]:
    return [name for name, _, _ in planned.lazy or () if name not in asked]


def _answers(run: Run, planned: PlannedNode, asked: Collection[str]) -> Iterator[Any]:
    status = planned.type.lazy_status
    assert status is not None
    arguments, _ = gather(run, planned, asked)
    names, everything = parameters_of(status)
    instance = run.executor.instance(run.owner, planned)
    for batch in call.slices(planned.type, lists_of(run, planned, arguments, asked)):
        given = batch if everything else {name: value for name, value in batch.items() if name in names}
        yield status(**given) if instance is None else status(instance, **given)


def _named(missing: list[str], answers: Iterable[Any]) -> list[str]:
    wanted: set[str] = set()
    for answer in answers:
        if isinstance(answer, Iterable) and not isinstance(answer, str):
            wanted.update(name for name in answer if isinstance(name, str))
    return [name for name in missing if name in wanted]
