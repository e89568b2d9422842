"""True and false: comparing values, combining truths."""

from __future__ import annotations

import operator
from typing import Annotated, Any, Literal

from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.ports import Anything, Port, Raw

Comparable = Annotated[Any, Port("FLOAT,INT,STRING,BOOLEAN"), Raw(widgetType="STRING")]
COMPARISONS = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@node(id="Compare", title="Compare Values", category="utils/logic", aliases=("equal", "greater", "less"))
def compare(a: Comparable, b: Comparable, operation: Literal["==", "!=", "<", "<=", ">", ">="] = "==") -> bool:
    """Compares two numbers, two texts (by their letters' code points) or two truths. A number and a text are never equal and have no order."""
    if isinstance(a, str) is not isinstance(b, str) and operation not in ("==", "!="):
        raise NodeFailed(f"{a!r:.40} and {b!r:.40} have no order; compare two numbers or two texts")
    return bool(COMPARISONS[operation](a, b))


@node(id="BooleanOperation", title="Boolean Operation", category="utils/logic", aliases=("and", "or", "xor"))
def combine(a: bool = False, b: bool = False, operation: Literal["and", "or", "xor", "nand", "nor", "equal"] = "and") -> bool:
    """Combines two truths."""
    return {
        "and": a and b,
        "or": a or b,
        "xor": a is not b,
        "nand": not (a and b),
        "nor": not (a or b),
        "equal": a is b,
    }[operation]


@node(id="ComfyNotNode", title="Not", category="utils/logic", aliases=("invert", "negate"))
def negate(value: Anything) -> bool:
    """True for what counts as nothing: false, 0, the empty text, an empty list, no value."""
    return not value
