"""Numbers: an expression in a line of text, and the common operations as nodes of their own."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NamedTuple

from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.ports import Named, Optional, Port, Range, Raw, Text
from marquetry.nodes.expression import evaluate

WHOLE = 2**53
NumberOrTruth = Annotated[float, Port("FLOAT,INT,BOOLEAN"), Raw(widgetType="FLOAT"), Optional]
Whole = Annotated[int, Range(-WHOLE, WHOLE, step=1)]
Number = Annotated[float, Range(-1e18, 1e18, step=0.01)]


class Calculated(NamedTuple):
    FLOAT: float
    INT: int
    BOOL: Annotated[bool, Named("BOOL")]


@node(id="MathExpression", title="Math Expression", category="utils/math", aliases=("formula", "calculate"))
def math_expression(
    expression: Annotated[str, Text(multiline=True)] = "a + b", a: NumberOrTruth = 0.0, b: NumberOrTruth = 0.0, c: NumberOrTruth = 0.0
) -> Calculated:
    """Calculates an expression over `a`, `b` and `c`, as `max(a, 64) // 8 * 8` or `b if a > 1 else c`.

    Understood are numbers, `pi`, `e`, `tau`, + - * / // % **, comparisons, `and` `or` `not`, `x if y else z`, & | ^ ~ << >> of whole numbers, and
    abs, acos, asin, atan, atan2, ceil, clamp, cos, exp, float, floor, hypot, int, log, log10, log2, max, min, pow, round, sign, sin, sqrt, sum,
    tan, trunc. INT is the result without its fraction, BOOL whether it differs from 0. Fails where there is no finite result.
    """
    for name, value in (("a", a), ("b", b), ("c", c)):
        if not isinstance(value, (int, float)):
            raise NodeFailed(f"'{name}' must be a number, not {value!r:.40}")
    result = evaluate(expression, {"a": a, "b": b, "c": c})
    try:
        return Calculated(float(result), int(result), bool(result))
    except OverflowError as error:
        raise NodeFailed("the result is too large for a FLOAT") from error


@node(id="IntegerMath", title="Integer Math", category="utils/math", aliases=("add", "subtract", "multiply", "divide"))
def integer_math(
    a: Whole = 0, b: Whole = 0, operation: Literal["add", "subtract", "multiply", "divide", "modulo", "power", "minimum", "maximum"] = "add"
) -> int:
    """Two whole numbers combined. Division rounds down, the remainder has the sign of `b`; fails for division by 0."""
    symbols = {"add": "a + b", "subtract": "a - b", "multiply": "a * b", "divide": "a // b", "modulo": "a % b", "power": "a ** b"}
    result = evaluate(symbols.get(operation, "min(a, b)" if operation == "minimum" else "max(a, b)"), {"a": a, "b": b})
    return int(result)


@node(id="FloatMath", title="Float Math", category="utils/math", aliases=("add", "subtract", "multiply", "divide"))
def float_math(
    a: Number = 0.0,
    b: Number = 0.0,
    operation: Literal["add", "subtract", "multiply", "divide", "modulo", "power", "minimum", "maximum"] = "add",
) -> float:
    """Two numbers combined. Fails where there is no finite result, as for division by 0."""
    symbols = {"add": "a + b", "subtract": "a - b", "multiply": "a * b", "divide": "a / b", "modulo": "a % b", "power": "a ** b"}
    result = evaluate(symbols.get(operation, "min(a, b)" if operation == "minimum" else "max(a, b)"), {"a": float(a), "b": float(b)})
    return float(result)


@node(id="RoundNumber", title="Round Number", category="utils/math", aliases=("float to int", "floor", "ceil"))
def round_number(
    value: Number = 0.0,
    method: Literal["nearest", "down", "up", "towards zero"] = "nearest",
    multiple_of: Annotated[int, Range(1, 65536, step=1)] = 1,
) -> int:
    """The whole number near `value` that is a multiple of `multiple_of`; halves go to the even neighbour."""
    if not math.isfinite(value):
        raise NodeFailed(f"{value} can't be rounded")
    rounding: dict[str, Any] = {"nearest": round, "down": math.floor, "up": math.ceil, "towards zero": math.trunc}
    return int(rounding[method](value / multiple_of)) * multiple_of
