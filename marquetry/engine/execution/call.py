"""Calling a node: over lists of values, with blocked values, and its many forms of result brought into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from marquetry.engine.errors import NodeFailed
from marquetry.engine.outcome import ExecutionBlocker, NodeOutput
from marquetry.engine.schema import NodeType


class Returned(NamedTuple):
    """What one call gave: values by slot (None when the node blocked all), user-interface data, a graph to go on with."""

    values: Sequence[Any] | ExecutionBlocker
    ui: Mapping[str, Any] | None = None
    expand: Mapping[str, Any] | None = None


def read_result(node_type: NodeType, raw: Any) -> Returned:
    """Bring what a node gave back into one form. Raises NodeFailed for a result of the wrong shape."""
    kind = type(raw)
    if kind is NodeOutput:
        return Returned(_values(node_type, raw.value), raw.ui, raw.expand)
    if node_type.bare and kind is not ExecutionBlocker:
        return Returned((raw,))
    if kind is tuple:
        return Returned(raw)
    if raw is None:
        return Returned(())
    if isinstance(raw, ExecutionBlocker):
        return Returned(raw)
    if isinstance(raw, dict):
        result = raw.get("result", ())
        return Returned(() if result is None else result, raw.get("ui"), raw.get("expand"))
    if isinstance(raw, (tuple, list)):
        return Returned(raw)
    raise NodeFailed(f"'{node_type.id}' gave back a {kind.__name__}; a node gives a tuple with one value for each of its outputs")


def _values(node_type: NodeType, value: Any) -> Sequence[Any] | ExecutionBlocker:
    if isinstance(value, ExecutionBlocker):
        return value
    if value is None and not node_type.outputs:
        return ()
    if node_type.bare:
        return (value,)
    return value if isinstance(value, (tuple, list)) else (value,)


def blocked_outputs(node_type: NodeType) -> tuple[list[Any], ...]:
    """What a node that must not run gives."""
    return tuple([ExecutionBlocker()] for _ in node_type.outputs)


def has_blocker(outputs: Sequence[Sequence[Any]]) -> bool:
    """Whether any value of the outputs is blocked."""
    for values in outputs:
        for value in values:
            if type(value) is ExecutionBlocker:
                return True
    return False


def merge(node_type: NodeType, calls: Sequence[Sequence[Any] | ExecutionBlocker]) -> tuple[list[Any], ...]:
    """The values of several calls, slot by slot: lists are joined, single values collected; a blocked call counts as one blocked entry."""
    if len(calls) == 1 and node_type.bare and type(calls[0]) is tuple and not node_type.outputs[0].is_list:
        return ([calls[0][0]],)
    slots: list[list[Any]] = []
    outputs = node_type.outputs
    count = len(outputs)
    if type(outputs) is not tuple:  # outputs that answer any index: there are as many as the node gives
        count = max([count, *(len(call) for call in calls if not isinstance(call, ExecutionBlocker))])
    for number in range(count):
        output = outputs[number]
        values: list[Any] = []
        for given in calls:
            if isinstance(given, ExecutionBlocker):
                values.append(given)
            elif number >= len(given):
                raise NodeFailed(f"'{node_type.id}' gave {len(given)} values; it declares {len(node_type.outputs)} outputs")
            elif not output.is_list or isinstance(given[number], ExecutionBlocker):
                values.append(given[number])
            else:
                values.extend(given[number])
        slots.append(values)
    return tuple(slots)


def merge_ui(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """User-interface data of several calls: lists are joined under the keys of the first."""
    if not parts:
        return None
    if len(parts) == 1:
        return dict(parts[0])
    return {key: [entry for part in parts for entry in part.get(key, ())] for key in parts[0]}


def merge_shown(parts: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """What several nodes show, as if one showed it: lists under the same key are joined."""
    shown: dict[str, Any] = {}
    for part in parts:
        for key, entries in (part or {}).items():
            shown[key] = [*shown.get(key, ()), *entries] if isinstance(entries, (list, tuple)) else entries
    return shown or None


def slices(node_type: NodeType, lists: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """The arguments of each call: one call with whole lists, or one for each index up to the longest; shorter lists repeat their last."""
    if node_type.input_is_list:
        return [dict(lists)]
    for name, values in lists.items():
        if not values:
            raise NodeFailed(f"input '{name}' received an empty list")
    count = max((len(values) for values in lists.values()), default=1)
    if count == 1:
        return [{name: values[0] for name, values in lists.items()}]
    return [{name: values[index if index < len(values) else -1] for name, values in lists.items()} for index in range(count)]


def find_blocker(node_type: NodeType, arguments: Mapping[str, Any]) -> ExecutionBlocker | None:
    """The blocked value among the arguments of one call, if any; inputs that the node catches do not count."""
    for name, value in arguments.items():
        if type(value) is ExecutionBlocker:
            if name not in node_type.catches:
                return value
        elif node_type.input_is_list and type(value) is list:
            for entry in value:
                if type(entry) is ExecutionBlocker and name not in node_type.catches:
                    return entry
    return None
