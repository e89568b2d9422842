"""Comparisons and truth tables."""

from __future__ import annotations

from typing import Any

import pytest

from marquetry.engine.errors import NodeFailed
from marquetry.nodes import logic as nodes


@pytest.mark.parametrize(
    ("a", "b", "holds"),
    [
        (1, 2, {"!=", "<", "<="}),
        (2.0, 2, {"==", "<=", ">="}),
        ("b", "a", {"!=", ">", ">="}),
        ("a", "a", {"==", "<=", ">="}),
        (True, 0, {"!=", ">", ">="}),
    ],
)
def test_values_are_compared(a: Any, b: Any, holds: set[str]) -> None:
    assert {operation for operation in nodes.COMPARISONS if nodes.compare(a, b, operation)} == holds  # type: ignore[arg-type]


def test_a_number_and_a_text_differ_and_have_no_order() -> None:
    assert nodes.compare(1, "1", "!=") and not nodes.compare(1, "1", "==")
    with pytest.raises(NodeFailed, match="no order"):
        nodes.compare(1, "1", "<")


@pytest.mark.parametrize(
    ("operation", "table"),
    [
        ("and", [False, False, False, True]),
        ("or", [False, True, True, True]),
        ("xor", [False, True, True, False]),
        ("nand", [True, True, True, False]),
        ("nor", [True, False, False, False]),
        ("equal", [True, False, False, True]),
    ],
)
def test_truths_are_combined(operation: Any, table: list[bool]) -> None:
    assert [nodes.combine(a, b, operation) for a in (False, True) for b in (False, True)] == table


@pytest.mark.parametrize(("value", "expected"), [(0, True), ("", True), (None, True), ([], True), ("x", False), (0.1, False)])
def test_not_follows_pythons_truth(value: Any, expected: bool) -> None:
    assert nodes.negate(value) is expected
