"""Values that are typed in, and a look at any value as text."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, NamedTuple

from marquetry.engine.declare import node
from marquetry.engine.outcome import NodeOutput
from marquetry.engine.ports import Anything, Choice, Optional, Range, Raw, Text

MAX_SHOWN_CHARACTERS = 200_000


class Chosen(NamedTuple):
    STRING: str
    INDEX: int


@node(id="PrimitiveInt", title="Int", category="utils/primitive", aliases=("integer", "number"))
def whole_number(value: Annotated[int, Range(-sys.maxsize, sys.maxsize), Raw(control_after_generate=True)]) -> int:
    """A whole number of up to 64 bits."""
    return value


@node(id="PrimitiveFloat", title="Float", category="utils/primitive", aliases=("decimal", "number"))
def number(value: Annotated[float, Range(-sys.maxsize, sys.maxsize, step=0.1)]) -> float:
    """A number."""
    return value


@node(id="PrimitiveString", title="String", category="utils/primitive", aliases=("text",))
def line(value: Annotated[str, Text()]) -> str:
    """A line of text."""
    return value


@node(id="PrimitiveStringMultiline", title="String (Multiline)", category="utils/primitive", aliases=("text", "prompt"))
def lines(value: Annotated[str, Text(multiline=True)]) -> str:
    """A text of several lines."""
    return value


@node(id="PrimitiveBoolean", title="Boolean", category="utils/primitive", aliases=("toggle",))
def truth(value: bool) -> bool:
    """True or false."""
    return value


def _any_choice(choice: str, **_: Any) -> bool:
    """The editor holds the list of choices, so every choice is valid."""
    return True


@node(id="CustomCombo", title="Custom Combo", category="utils/primitive", experimental=True, validate=_any_choice)
def custom_choice(choice: Annotated[str, Choice()], index: Annotated[int, Optional] = 0) -> Chosen:
    """One of a list that was written in the editor, and its place in it, counted from 0."""
    return Chosen(choice, index)


@node(id="PreviewAny", title="Preview as Text", category="utils", output_node=True, aliases=("inspect", "debug", "show text"))
def preview(source: Anything) -> NodeOutput[str]:
    """Shows any value as text on the node: text as it is, lists and dictionaries as JSON, other things as Python prints them."""
    text = as_text(source)[:MAX_SHOWN_CHARACTERS]
    return NodeOutput(text, ui={"text": [text]})


def as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)) or value is None:
        return str(value)
    try:
        return json.dumps(value, indent=4)
    except (TypeError, ValueError, RecursionError):
        return str(value)
