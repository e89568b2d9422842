"""Plain values: what nodes show to clients comes from anybody's code; here it becomes what MessagePack and JSON can hold."""

from __future__ import annotations

from typing import Any

SMALLEST, LARGEST = -(2**63), 2**64 - 1
DEEPEST = 64


def plain(value: Any) -> Any:
    """One value that an encoder does not know: arrays and their numbers as lists and numbers, everything else as text."""
    for name in ("tolist", "item"):
        convert = getattr(value, name, None)
        if callable(convert):
            return convert()
    return str(value)


def plain_tree(value: Any, depth: int = 0) -> Any:
    """As `plain`, for a whole value that no encoder takes: numbers too large become floats, keys text, and what nests too deep text."""
    if depth > DEEPEST:
        return str(value)
    if value is None or isinstance(value, (str, bytes, bool)):
        return value
    if isinstance(value, int):
        return value if SMALLEST <= value <= LARGEST else float(min(max(value, -(10**300)), 10**300))
    if isinstance(value, float):
        return float(value)
    if isinstance(value, dict):
        return {str(key): plain_tree(part, depth + 1) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain_tree(part, depth + 1) for part in value]
    simple = plain(value)
    return plain_tree(simple, depth + 1)
