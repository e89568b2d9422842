"""What a node may give back beside plain values: user-interface data, a graph to continue with, a blocked output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class NodeOutput(Generic[Value]):
    """`NodeOutput[Image]` as a return annotation declares an IMAGE output; `NodeOutput[None]` none.

    `ui` maps names to lists, as clients show them (`{"images": [{"filename", "subfolder", "type"}]}`).
    `expand` is an API graph whose nodes take this node's place; `value` may then hold links into it.
    """

    value: Value | None = None
    ui: Mapping[str, list[Any]] | None = None
    expand: Mapping[str, Any] | None = None


class ExecutionBlocker:
    """Given in place of an output: whoever receives it does not run. With a message, that is reported as an error."""

    __slots__ = ("message",)

    def __init__(self, message: str | None = None) -> None:
        self.message = message
