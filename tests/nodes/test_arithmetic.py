"""Expressions give what Python gives, and nothing but arithmetic, however it is written."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marquetry.engine.declare import node_type
from marquetry.engine.errors import NodeFailed
from marquetry.nodes import arithmetic as nodes
from marquetry.nodes.expression import evaluate

LEAVES = st.sampled_from(["a", "b", "c", "2", "3.5", "7", "0.25"])
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "<", ">=", "==", "and", "or"]), inner).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        inner.map(lambda e: f"-{e}"),
        inner.map(lambda e: f"not {e}").map(lambda e: f"({e})"),
        inner.map(lambda e: f"abs({e})"),
        st.tuples(inner, inner).map(lambda t: f"max({t[0]}, {t[1]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
    ),
    max_leaves=12,
)


class TestExpression:
    @settings(max_examples=300, deadline=None)
    @given(EXPRESSIONS, st.integers(-9, 9), st.floats(-9, 9), st.booleans())
    def test_it_gives_what_python_gives(self, expression: str, a: int, b: float, c: bool) -> None:
        names = {"a": a, "b": b, "c": c}
        try:
            expected = eval(expression, {}, dict(names))
        except (ZeroDivisionError, OverflowError):
            with pytest.raises(NodeFailed):
                evaluate(expression, names)
            return
        if isinstance(expected, float) and not math.isfinite(expected):
            return
        assert evaluate(expression, names) == expected

    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            ("a + b", 5.5),
            ("1 << 4 | 3 ^ ~0 & 1", 1 << 4 | 3 ^ ~0 & 1),
            ("2 ** 10 // 3 % 7", 5),
            ("1 < a < 3 <= 3 != 4", True),
            ("sqrt(16) + hypot(3, 4) + sin(pi / 2) + log2(8)", 13.0),
            ("round(2.675, 1) + floor(-1.5) + ceil(1.2) + trunc(-1.9) + sign(-3)", 2.7 - 2 + 2 - 1 - 1),
            ("clamp(9, 0, 4) + min(1, 2, 3) + sum(1, 2, 3) + int(2.9) + pow(2, -1)", 4 + 1 + 6 + 2 + 0.5),
            ("  a\n* 2 ", 4),
            ("2 ** 0.5", 2**0.5),
        ],
    )
    def test_operators_and_functions(self, expression: str, expected: float) -> None:
        assert evaluate(expression, {"a": 2, "b": 3.5}) == pytest.approx(expected)

    @pytest.mark.parametrize(
        "expression",
        [
            "",
            "a +",
            "d",
            "__import__('os')",
            "a.__class__",
            "(lambda: 1)()",
            "[1, 2]",
            "'x' * 9",
            "a[0]",
            "max(*[1, 2])",
            "max(a, key=b)",
            "(a := 3)",
            "f'{a}'",
            "open('x')",
            "1 is 1",
            "a in b",
            "1j",
            "None",
            "...",
            "{1: 2}",
            "[x for x in a]",
            "a @ b",
            "await a",
            "max()",
            "abs",
        ],
    )
    def test_anything_but_arithmetic_is_refused(self, expression: str) -> None:
        with pytest.raises(NodeFailed):
            evaluate(expression, {"a": 1, "b": 2})

    @pytest.mark.parametrize(
        "expression",
        [
            "9 ** 9 ** 9",
            "pow(10, 10 ** 9)",
            "1 << 10 ** 9",
            "(2 ** 4000) * (2 ** 4000)",
            "2.0 ** 99999",
            "1e308 * 10",
            "round(1, -10 ** 9)",
            "(" * 500 + "1" + ")" * 500,
            "-" * 3000 + "1",
            "1 + " * 1200 + "1",
            "9" * 4000,
            "x" * 5000,
            "1 / 0",
            "(-1) ** 0.5",
            "sqrt(-1)",
            "log(0)",
            "exp(1000)",
            "1 % 0",
            "~1.5",
            "1 << -1",
            "int(1e308 * 10)",
        ],
    )
    def test_what_is_too_large_or_has_no_result_is_refused_at_once(self, expression: str) -> None:
        with pytest.raises(NodeFailed):
            evaluate(expression, {"x": 1})

    def test_only_the_chosen_side_is_calculated(self) -> None:
        assert evaluate("1 / a if a else 5", {"a": 0}) == 5
        assert evaluate("a and 1 / a", {"a": 0}) == 0


class TestNodes:
    def test_an_expression_gives_a_number_a_whole_number_and_a_truth(self) -> None:
        assert nodes.math_expression("a * 2 - b", 3, 10.5) == (-4.5, -4, True)
        assert nodes.math_expression("a > b", 1, 2) == (0.0, 0, False)
        assert nodes.math_expression("a + 1", True).INT == 2

    def test_texts_and_results_beyond_a_float_are_refused(self) -> None:
        with pytest.raises(NodeFailed, match="must be a number"):
            nodes.math_expression("a", "1")  # type: ignore[arg-type]
        with pytest.raises(NodeFailed, match="too large"):
            nodes.math_expression("2 ** 4000")

    @pytest.mark.parametrize(
        ("operation", "whole", "broken"),
        [
            ("add", 4, 4.5),
            ("subtract", -10, -10.5),
            ("multiply", -21, -22.5),
            ("divide", -1, -0.4),
            ("modulo", 4, 4.5),
            ("minimum", -3, -3.0),
            ("maximum", 7, 7.5),
        ],
    )
    def test_operations_on_two_numbers(self, operation: Any, whole: int, broken: float) -> None:
        assert nodes.integer_math(-3, 7, operation) == whole
        assert nodes.float_math(-3.0, 7.5, operation) == pytest.approx(broken)

    def test_powers_and_division_by_zero(self) -> None:
        assert nodes.integer_math(2, 10, "power") == 1024 and nodes.float_math(9.0, 0.5, "power") == 3.0
        for action in (
            lambda: nodes.integer_math(1, 0, "divide"),
            lambda: nodes.float_math(1.0, 0.0, "divide"),
            lambda: nodes.integer_math(9, 9**9, "power"),
        ):
            with pytest.raises(NodeFailed):
                action()

    @pytest.mark.parametrize(("method", "expected"), [("nearest", 24), ("down", 16), ("up", 24), ("towards zero", 16)])
    def test_rounding_to_a_multiple(self, method: Any, expected: int) -> None:
        assert nodes.round_number(20.5, method, 8) == expected

    def test_rounding_a_negative_number(self) -> None:
        assert [nodes.round_number(-1.5, method) for method in ("nearest", "down", "up", "towards zero")] == [-2, -2, -1, -1]
        with pytest.raises(NodeFailed):
            nodes.round_number(float("nan"))

    def test_every_kind_of_number_can_be_linked(self) -> None:
        kinds = {declared.name: declared.type for declared in node_type(nodes.math_expression).inputs}
        assert kinds == {"expression": "STRING", "a": "FLOAT,INT,BOOLEAN", "b": "FLOAT,INT,BOOLEAN", "c": "FLOAT,INT,BOOLEAN"}
        assert [(output.name, output.type) for output in node_type(nodes.math_expression).outputs] == [
            ("FLOAT", "FLOAT"),
            ("INT", "INT"),
            ("BOOL", "BOOLEAN"),
        ]
