"""Arithmetic expressions of one line, read as Python reads them but evaluated here: no names, calls or sizes beyond the ones below."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from marquetry.engine.errors import NodeFailed

Value: TypeAlias = "int | float"

MAX_CHARACTERS = 4096
MAX_PARTS = 1000
MAX_BITS = 4096  # of a whole number on the way
MAX_DIGITS = 300  # that `round` may keep

CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e, "tau": math.tau}
UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def evaluate(expression: str, names: Mapping[str, Value]) -> Value:
    """The value of an expression over `names`. Raises NodeFailed with a reason when it can't be read or has no finite result."""
    if len(expression) > MAX_CHARACTERS:
        raise NodeFailed(f"the expression has more than {MAX_CHARACTERS} characters")
    try:
        tree = ast.parse(" ".join(expression.split()), mode="eval")
        if sum(1 for _ in ast.walk(tree)) > MAX_PARTS:
            raise NodeFailed(f"the expression has more than {MAX_PARTS} parts")
        result = value_of(tree.body, {**CONSTANTS, **names})
    except SyntaxError as error:
        raise NodeFailed(f"the expression can't be read: {error.msg} at character {error.offset}") from error
    except (RecursionError, MemoryError) as error:
        raise NodeFailed("the expression is nested too deeply") from error
    except ZeroDivisionError as error:
        raise NodeFailed(f"'{expression:.60}' divides by zero") from error
    except (ArithmeticError, ValueError, TypeError) as error:
        raise NodeFailed(f"'{expression:.60}' can't be calculated: {error}") from error
    if isinstance(result, float) and not math.isfinite(result):
        raise NodeFailed(f"'{expression:.60}' has no finite result")
    return result


def value_of(part: ast.expr, names: Mapping[str, Value]) -> Value:
    """One part of the expression, checked for size."""
    match part:
        case ast.Constant(value=bool() | int() | float() as value):
            return bounded(value)
        case ast.Name(id=name):
            if name not in names:
                raise NodeFailed(f"'{name}' is not known here; there are {', '.join(sorted(names))}")
            return bounded(names[name])
        case ast.UnaryOp(op=op, operand=operand):
            return bounded(UNARY[type(op)](value_of(operand, names)))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            return bounded(BINARY[type(op)](value_of(left, names), value_of(right, names)))
        case ast.BoolOp(op=op, values=parts):
            return chained(parts, names, stop_at=isinstance(op, ast.Or))
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in COMPARISONS for op in ops):
            values = [value_of(operand, names) for operand in (left, *others)]
            return all(COMPARISONS[type(op)](values[index], values[index + 1]) for index, op in enumerate(ops))
        case ast.IfExp(test=test, body=body, orelse=otherwise):
            return value_of(body if value_of(test, names) else otherwise, names)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            if name not in FUNCTIONS:
                raise NodeFailed(f"there is no function '{name}'; there are {', '.join(sorted(FUNCTIONS))}")
            return bounded(FUNCTIONS[name](*(value_of(argument, names) for argument in arguments)))
    raise NodeFailed(f"'{ast.unparse(part)[:60]}' is no arithmetic")


def chained(parts: list[ast.expr], names: Mapping[str, Value], *, stop_at: bool) -> Value:
    """`and` and `or`: the first value that decides, or the last."""
    value: Value = not stop_at
    for part in parts:
        value = value_of(part, names)
        if bool(value) is stop_at:
            break
    return value


def bounded(value: Any) -> Value:
    """`value` when it is a real number of a size that can be worked with."""
    if (isinstance(value, int) and value.bit_length() <= MAX_BITS) or isinstance(value, float):
        return value
    if isinstance(value, int):
        raise NodeFailed(f"a number has more than {MAX_BITS} bits")
    raise NodeFailed("the result is no real number" if isinstance(value, complex) else f"{value!r:.40} is no number")


def power(base: Value, exponent: Value) -> Any:
    if (
        isinstance(base, int)
        and isinstance(exponent, int)
        and exponent > 0
        and base.bit_length() * exponent > 2 * MAX_BITS
        and abs(base) > 1
    ):
        raise NodeFailed(f"a number has more than {MAX_BITS} bits")
    if isinstance(base, int) and isinstance(exponent, int) and exponent < 0:
        return float(base) ** exponent
    return base**exponent


def shifted(value: int, places: int) -> int:
    if places > MAX_BITS:
        raise NodeFailed(f"a number has more than {MAX_BITS} bits")
    return value << places


def rounded(value: Value, digits: int = 0) -> Value:
    if abs(digits) > MAX_DIGITS:
        raise NodeFailed(f"round keeps at most {MAX_DIGITS} digits")
    return round(value, digits) if digits else round(value)


def clamped(value: Value, low: Value, high: Value) -> Value:
    return max(low, min(high, value))


def sign(value: Value) -> int:
    return (value > 0) - (value < 0)


def total(*values: Value) -> Value:
    return sum(values)


BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: power,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: shifted,
    ast.RShift: operator.rshift,
}
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs, "acos": math.acos, "asin": math.asin, "atan": math.atan, "atan2": math.atan2, "ceil": math.ceil, "clamp": clamped, "cos": math.cos,
    "exp": math.exp, "float": float, "floor": math.floor, "hypot": math.hypot, "int": int, "log": math.log, "log10": math.log10, "log2": math.log2,
    "max": max, "min": min, "pow": power, "round": rounded, "sign": sign, "sin": math.sin, "sqrt": math.sqrt, "sum": total, "tan": math.tan,
    "trunc": math.trunc,
}  # fmt: skip
