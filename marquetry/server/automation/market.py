"""What batches and the queue ask of the market. Where there is none, nothing costs anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from marquetry.engine.graph import Graph


class Quoting(Protocol):
    """Says what graphs will cost; the market puts one in `Automation.batching.quoting`."""

    async def quote(self, owner: str, graphs: Sequence[Graph]) -> dict[str, Any]:
        """One quote for all of them, as JSON is made of it. Raises MarketError when the owner can't have that."""
        ...


@dataclass(frozen=True, slots=True)
class JobPrices:
    """What waiting jobs may cost, by id, and together."""

    jobs: Mapping[str, dict[str, Any]]
    total: dict[str, Any]


class JobPricing(Protocol):
    """Knows what was quoted for jobs; the market puts one in `Automation.pricing`."""

    async def of_jobs(self, owner: str, job_ids: Sequence[str]) -> JobPrices:
        """The prices of an owner's waiting jobs; `total` is of all that wait, shown or not."""
        ...
