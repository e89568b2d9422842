"""Entitlements: what a plan allows. None means without limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from marquetry.marketplace.plans.errors import InvalidPlan

Quota: TypeAlias = int | None


@dataclass(frozen=True, slots=True)
class Entitlements:
    """`resolution` bounds the sides of pictures in pixels, `models` the families (what their ids begin with).

    `images`, `inpaints`, `trainings` and `api_calls` are counted by the month; `inpaints` None: without limit. `batch_size` bounds the pictures
    of one request, `concurrency` the jobs that wait or run, `queue_weight` is the share of turns in the queue.
    """

    resolution: Quota = None
    models: tuple[str, ...] | None = None
    concurrency: Quota = None
    queue_weight: int = 1
    retention_days: Quota = 30
    api_calls: Quota = None
    batch_size: Quota = 100
    images: int = 0
    inpaints: Quota = None
    trainings: Quota = None
    auto_enhance: bool = False
    upscale: bool = True
    white_label: bool = False
    bulk_operations: bool = True
    custom_workflows: bool = True
    templates: str = "advanced"
    support: str = "community"
    team_tools: bool = False
    usage_reports: bool = False
    dedicated_accelerator: bool = False
    storage_bytes: Quota = None

    def permits_model(self, family: str) -> bool:
        return self.models is None or family.startswith(self.models)


def read_entitlements(raw: Mapping[str, Any], where: str) -> Entitlements:
    """Entitlements of plain values. Raises InvalidPlan."""
    known = {field.name: field.default for field in fields(Entitlements)}
    unknown = raw.keys() - known.keys()
    if unknown:
        raise InvalidPlan(f"{where}: unknown entitlements {', '.join(sorted(map(str, unknown)))}")
    values: dict[str, Any] = {}
    for name, value in raw.items():
        if name == "models":
            values[name] = None if value is None else tuple(map(str, value))
        elif isinstance(known[name], (bool, str)):
            if type(value) is not type(known[name]):
                raise InvalidPlan(f"{where}: {name} must be {type(known[name]).__name__}, not {value!r}")
            values[name] = value
        elif value is None and name not in ("queue_weight", "images"):
            values[name] = None
        elif type(value) is int and value >= 0:
            values[name] = value
        else:
            raise InvalidPlan(f"{where}: {name} must be a whole number from 0 on, or null for no limit, not {value!r}")
    return Entitlements(**values)
