"""Event: something that happened and that others may be told of, under the names that receivers subscribe to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

JOB_EVENTS = ("generation.completed", "generation.failed", "generation.cancelled")
EVENTS = (
    *JOB_EVENTS,
    "batch.completed",
    "schedule.fired",
    "schedule.missed",
    "schedule.failed",
    "lora.deleted",
    "user.deleted",
    "user.permissions_changed",
    "moderation.completed",
    "webhook.disabled",
    "webhook.test",
)


@dataclass(frozen=True, slots=True)
class Event:
    """`key` is the same whenever the same thing is told again; a receiver is told of it once. `job_id` for those who hear of one job only."""

    owner: str
    type: str
    key: str
    data: dict[str, Any]
    time_ms: int
    job_id: str | None = None

    def body(self) -> bytes:
        """The message as it is sent, every time the same bytes."""
        moment = datetime.fromtimestamp(self.time_ms / 1000, UTC).isoformat(timespec="milliseconds")
        return orjson.dumps({"type": self.type, "timestamp": moment.replace("+00:00", "Z"), "data": self.data})
