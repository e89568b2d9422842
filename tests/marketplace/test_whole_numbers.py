"""Money is whole: no float literal, no `float(...)` and no true division stands in the market's code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import marquetry.marketplace

ROOT = Path(marquetry.marketplace.__path__[0])


def faults(source: str) -> Iterator[str]:
    """What is not whole, by line. A slash before a text joins paths, and is none."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, (float, complex)):
            yield f"{node.lineno}: the literal {node.value}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("float", "complex"):
            yield f"{node.lineno}: a call of {node.func.id}"
        elif (isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.Div) and not _joins_paths(node)) or (
            isinstance(node, ast.Attribute) and node.attr == "truediv"
        ):
            yield f"{node.lineno}: a true division"


def _joins_paths(node: ast.BinOp | ast.AugAssign) -> bool:
    if isinstance(node, ast.AugAssign):
        return False
    joined = node.right
    return isinstance(joined, ast.JoinedStr) or (isinstance(joined, ast.Constant) and isinstance(joined.value, str))


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_market_counts_in_whole_numbers(path: Path) -> None:
    assert list(faults(path.read_text())) == []


@pytest.mark.parametrize(
    "source", ["a = 0.5", "a = 1e6", "a = float(b)", "a = b / c", "a = 2 / 3", "a /= b", "a = 2j", "operator.truediv(a, b)"]
)
def test_what_is_not_whole_is_found(source: str) -> None:
    assert list(faults(source))


@pytest.mark.parametrize("source", ["a = b // c", "a = folder / 'name'", "a = folder / f'{b}.txt'", "a = 10**6"])
def test_what_is_whole_passes(source: str) -> None:
    assert not list(faults(source))
