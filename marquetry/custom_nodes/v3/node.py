"""`Schema`, `ComfyNode` and `NodeOutput` of V3, and the V1 names under which the host reads them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

from marquetry.custom_nodes.v3.sockets import Input, Output
from marquetry.engine.outcome import ExecutionBlocker


class Hidden(StrEnum):
    """Values that the engine gives by itself; read as `cls.hidden.<name>`."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"
    auth_token_comfy_org = "AUTH_TOKEN_COMFY_ORG"
    api_key_comfy_org = "API_KEY_COMFY_ORG"


class Schema:
    """What a node is. Unknown arguments are kept in `more`."""

    def __init__(
        self,
        node_id: str,
        display_name: str | None = None,
        category: str = "sd",
        inputs: Iterable[Input] | None = None,
        outputs: Iterable[Output] | None = None,
        hidden: Iterable[Any] | None = None,
        description: str = "",
        **more: Any,
    ) -> None:
        self.node_id = node_id
        self.display_name = display_name
        self.category = category
        self.inputs = list(inputs or ())
        self.outputs = list(outputs or ())
        self.hidden = [Hidden(kind) for kind in hidden or ()]
        self.description = description
        self.more = more

    def flag(self, name: str) -> bool:
        return bool(self.more.get(name, False))


class NodeOutput:
    """What `execute` gives back."""

    def __init__(self, *args: Any, ui: Any = None, expand: Any = None, block_execution: str | None = None) -> None:
        self.args = args
        self.ui = ui
        self.expand = expand
        self.block_execution = block_execution

    @property
    def result(self) -> tuple[Any, ...] | None:
        return self.args or None


class NodeClass(type):
    """Gives V3 classes the attributes of V1 classes, read from their schema each time."""

    @property
    def RETURN_TYPES(cls) -> tuple[Any, ...]:
        return tuple(output.io_type for output in _schema(cls).outputs)

    @property
    def RETURN_NAMES(cls) -> tuple[str, ...]:
        return tuple(output.name for output in _schema(cls).outputs)

    @property
    def OUTPUT_IS_LIST(cls) -> tuple[bool, ...]:
        return tuple(output.is_output_list for output in _schema(cls).outputs)

    @property
    def OUTPUT_TOOLTIPS(cls) -> tuple[str | None, ...]:
        return tuple(output.tooltip for output in _schema(cls).outputs)

    @property
    def FUNCTION(cls) -> str:
        return "execute_async" if inspect.iscoroutinefunction(getattr(cls, "execute", None)) else "execute_plain"

    @property
    def CATEGORY(cls) -> str:
        return _schema(cls).category

    @property
    def DESCRIPTION(cls) -> str:
        return _schema(cls).description

    @property
    def SEARCH_ALIASES(cls) -> tuple[str, ...]:
        return tuple(_schema(cls).more.get("search_aliases") or ())

    OUTPUT_NODE = property(lambda cls: _schema(cls).flag("is_output_node"))
    INPUT_IS_LIST = property(lambda cls: _schema(cls).flag("is_input_list"))
    DEPRECATED = property(lambda cls: _schema(cls).flag("is_deprecated"))
    EXPERIMENTAL = property(lambda cls: _schema(cls).flag("is_experimental"))
    API_NODE = property(lambda cls: _schema(cls).flag("is_api_node"))
    NOT_IDEMPOTENT = property(lambda cls: _schema(cls).flag("not_idempotent"))
    IS_CHANGED = property(lambda cls: getattr(cls, "fingerprint_inputs", None))
    VALIDATE_INPUTS = property(lambda cls: getattr(cls, "validate_inputs", None))


def _schema(cls: Any) -> Schema:
    made: Schema = cls.define_schema()
    return made


class ComfyNode(metaclass=NodeClass):
    """Base of V3 nodes: `define_schema` and `execute` are classmethods; state on the class is not kept."""

    hidden: Any = SimpleNamespace()

    @classmethod
    def define_schema(cls) -> Schema:
        raise NotImplementedError(f"{cls.__name__} has no define_schema")

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        return _schema(cls)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The schema's inputs as V1 classes give them."""
        schema = _schema(cls)
        sections: dict[str, dict[str, Any]] = {"required": {}, "optional": {}, "hidden": {}}
        for declared in schema.inputs:
            sections["optional" if declared.optional else "required"][declared.id] = declared.as_v1()
        wanted = list(schema.hidden)
        if schema.flag("is_output_node"):
            wanted += [Hidden.prompt, Hidden.extra_pnginfo]
        sections["hidden"] = {kind.name: kind.value for kind in wanted}
        return sections

    def execute_plain(self, **inputs: Any) -> Any:
        """Call `execute` on a class of its own that has the hidden values."""
        node, given = _with_hidden(type(self), inputs)
        return _v1_result(node.execute(**given))

    async def execute_async(self, **inputs: Any) -> Any:
        """As `execute_plain`."""
        node, given = _with_hidden(type(self), inputs)
        return _v1_result(await node.execute(**given))


def _with_hidden(cls: Any, inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    names = cls.INPUT_TYPES()["hidden"]
    values = {kind.name: inputs.pop(kind.name, None) if kind.name in names else None for kind in Hidden}
    if cls.INPUT_IS_LIST:
        values = {name: value[0] if isinstance(value, list) and value else value for name, value in values.items()}
    return type(cls)(cls.__name__, (cls,), {"hidden": SimpleNamespace(**values)}), inputs


def _v1_result(result: Any) -> Any:
    if not isinstance(result, NodeOutput):
        return result
    if result.block_execution is not None:
        return ExecutionBlocker(result.block_execution)
    ui = result.ui.as_dict() if hasattr(result.ui, "as_dict") else result.ui
    if ui is None and result.expand is None:
        return result.args
    parts = {"ui": ui, "expand": result.expand, "result": result.args}
    return {name: part for name, part in parts.items() if part is not None}


class ComfyExtension:
    """What a pack's `comfy_entrypoint` gives: its nodes."""

    async def on_load(self) -> None:
        """Called once before the nodes are listed."""

    async def get_node_list(self) -> list[type[ComfyNode]]:
        raise NotImplementedError(f"{type(self).__name__} lists no nodes")
