"""Node types as V1 classes: packs look other nodes up, subclass them and call them directly."""

from __future__ import annotations

from typing import Any

from marquetry.custom_nodes.installation import current
from marquetry.engine.context import Context, Services
from marquetry.engine.expansion import current_context
from marquetry.engine.outcome import NodeOutput
from marquetry.engine.registry import describe
from marquetry.engine.schema import NodeType


def class_of(node_type: NodeType) -> Any:
    """The pack's own class, or one made after a built-in node. Its FUNCTION gives a tuple, or a dict with `ui`, as V1 nodes do."""
    if isinstance(node_type.instance, type):
        return node_type.instance

    def input_types(cls: Any) -> dict[str, Any]:
        sections: dict[str, Any] = describe(node_type, current().folders)["input"]
        return {
            name: {key: tuple(entry) if isinstance(entry, list) else entry for key, entry in section.items()}
            for name, section in sections.items()
        }

    def execute(self: Any, **inputs: Any) -> Any:
        if node_type.wants_context is not None:
            inputs[node_type.wants_context] = current_context.get() or Context(Services(current().folders, current().models))
        result = node_type.call(**inputs)
        return (result,) if node_type.bare and not isinstance(result, NodeOutput) else _plain(result)

    return type(
        node_type.id,
        (),
        {
            "__doc__": node_type.description,
            "INPUT_TYPES": classmethod(input_types),
            "RETURN_TYPES": tuple(output.type for output in node_type.outputs),
            "RETURN_NAMES": tuple(output.name for output in node_type.outputs),
            "OUTPUT_IS_LIST": tuple(output.is_list for output in node_type.outputs),
            "INPUT_IS_LIST": node_type.input_is_list,
            "OUTPUT_NODE": node_type.is_output,
            "CATEGORY": node_type.category,
            "DESCRIPTION": node_type.description,
            "FUNCTION": "execute",
            "RELATIVE_PYTHON_MODULE": node_type.module,
            "execute": execute,
        },
    )


def _plain(result: Any) -> Any:
    if not isinstance(result, NodeOutput):
        return result if isinstance(result, tuple) else (result,)
    values = result.value if isinstance(result.value, tuple) else () if result.value is None else (result.value,)
    if result.ui is None and result.expand is None:
        return values
    parts = {"ui": result.ui, "result": values, "expand": result.expand}
    return {key: part for key, part in parts.items() if part is not None}
