"""`comfy_execution.utils` for packs: which node is running."""

from __future__ import annotations

from typing import NamedTuple

from marquetry.engine.expansion import current_call, current_context


class ExecutionContext(NamedTuple):
    """The running node, its job and its place in a list."""

    prompt_id: str
    node_id: str
    list_index: int | None


def get_executing_context() -> ExecutionContext | None:
    """The context of the node that calls, or None outside of one."""
    context, call = current_context.get(), current_call.get()
    if context is None:
        return None
    return ExecutionContext(context.job_id, context.node_id, None if call is None else call.call_index)
