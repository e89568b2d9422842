"""Usage: what a node execution consumed, in units and without a price. The market prices it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Usage:
    """`operation` is a key of the price book (`image.standard`, `lora.apply`, ...), `quantity` counts its unit.

    `resources` are the content hashes of weights, graphs and packs that the execution drew upon.
    """

    operation: str
    quantity: int = 1
    resources: tuple[str, ...] = ()


UsageRule: TypeAlias = Callable[[Mapping[str, Any]], tuple[Usage, ...]]


def operation(key: str, quantity: Callable[[Mapping[str, Any]], int] | int = 1) -> UsageRule:
    """A rule that names one operation; `quantity` is a number or counts from the node's inputs (literals only before a run)."""

    def rule(inputs: Mapping[str, Any]) -> tuple[Usage, ...]:
        return (Usage(key, quantity(inputs) if callable(quantity) else quantity),)

    return rule
