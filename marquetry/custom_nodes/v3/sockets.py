"""Inputs and outputs of V3 schemas. Unknown options are kept: newer packs know more than this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from marquetry.engine.ports import ANY

OPTION_NAMES: Mapping[str, str] = {
    "force_input": "forceInput",
    "dynamic_prompts": "dynamicPrompts",
    "display_mode": "display",
    "raw_link": "rawLink",
    "multiselect": "multi_select",
    "widget_type": "widgetType",
    "extra_dict": "",
}


class Input:
    """One input. `io_type` is given by the type that it belongs to."""

    io_type: Any = ANY

    def __init__(
        self, id: str, display_name: str | None = None, optional: bool = False, tooltip: str | None = None, **options: Any
    ) -> None:
        self.id = id
        self.display_name = display_name
        self.optional = optional
        self.tooltip = tooltip
        self.options = options

    def as_v1(self) -> tuple[Any, dict[str, Any]]:
        """The type and the options, as INPUT_TYPES gives them."""
        named = {OPTION_NAMES.get(name, name): _plain(value) for name, value in self.options.items() if value is not None}
        named |= self.options.get("extra_dict") or {}
        named.pop("", None)
        if self.tooltip is not None:
            named["tooltip"] = self.tooltip
        if self.display_name is not None:
            named["display_name"] = self.display_name
        return self.io_type, named


class Output:
    """One output."""

    io_type: Any = ANY

    def __init__(
        self, id: str | None = None, display_name: str | None = None, tooltip: str | None = None, is_output_list: bool = False, **more: Any
    ) -> None:
        self.id = id
        self.display_name = display_name
        self.tooltip = tooltip
        self.is_output_list = is_output_list
        self.more = more

    @property
    def name(self) -> str:
        return str(self.display_name or self.id or self.io_type)


class ComboInput(Input):
    """A choice. The list stands in the options, and is not checked: what a pack lists may have changed since a graph was saved."""

    io_type = "COMBO"

    def __init__(self, id: str, options: Any = None, upload: Any = None, **more: Any) -> None:
        choices = [_plain(choice) for choice in options] if isinstance(options, Iterable) else None
        super().__init__(id, **more)
        self.options["options"] = choices
        if upload is not None:
            self.options[str(_plain(upload))] = True


class MultiTypeInput(Input):
    """An input that takes several types; over another input it keeps that one's widget."""

    def __init__(self, id: Any, types: Iterable[Any], **more: Any) -> None:
        super().__init__(id.id if isinstance(id, Input) else id, **more)
        names = [str(kind.io_type) for kind in types]
        if isinstance(id, Input):
            self.optional = id.optional or self.optional
            _, own = id.as_v1()
            self.options = {"widgetType": str(id.io_type), **own, **self.options}
            names.insert(0, str(id.io_type))
        self.io_type = ",".join(dict.fromkeys(names))


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return value.as_dict() if hasattr(value, "as_dict") else value


class PortType:
    """A type of V3 schemas: `io.Image.Input(...)`, `io.Image.Output(...)`."""

    io_type: Any
    Input: type[Input]
    Output: type[Output]


def port_type(io_type: Any, base: type[Input] = Input) -> type[PortType]:
    """The V3 type of a wire name."""
    name = str(io_type)
    return type(
        name,
        (PortType,),
        {
            "io_type": io_type,
            "Input": type("Input", (base,), {"io_type": io_type}),
            "Output": type("Output", (Output,), {"io_type": io_type}),
        },
    )
