"""Message: one numbered event of the feed. Beside the engine's events there are those of the queue."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from marquetry.engine.events import AnyEvent, Event


class JobQueued(Event, frozen=True, tag=True, kw_only=True, gc=False):
    """The job stands in the queue, durably."""


class JobLeased(Event, frozen=True, tag=True, kw_only=True, gc=False):
    """The job was given to a worker. Jobs come in the order of the queue here; which of those that run side by side starts first is chance."""


class JobRequeued(Event, frozen=True, tag=True, kw_only=True, gc=False):
    """The job's worker was lost; it waits for its next attempt."""

    attempts: int
    reason: str


class QueueChanged(msgspec.Struct, frozen=True, tag=True, kw_only=True, gc=False):
    """`remaining` jobs are waiting or running. Everybody hears of it."""

    remaining: int


class PackMessage(msgspec.Struct, frozen=True, tag=True, kw_only=True, gc=False):
    """What a node pack tells clients on its own account. `data` is JSON; without `to`, it is for every client."""

    name: str
    data: bytes
    to: str | None = None


class Gap(msgspec.Struct, frozen=True, tag=True, kw_only=True, gc=False):
    """Messages are missing here: read the state of your jobs anew, then go on."""


FeedEvent: TypeAlias = AnyEvent | JobQueued | JobLeased | JobRequeued | QueueChanged | PackMessage | Gap


class FeedMessage:
    """One event with its number. `frames` keeps what it was encoded to, so that many listeners cost one encoding."""

    __slots__ = ("client_id", "event", "frames", "owner", "seq")

    def __init__(self, seq: int, event: FeedEvent, owner: str = "", client_id: str = "") -> None:
        self.seq = seq
        self.event = event
        self.owner = owner
        self.client_id = client_id
        self.frames: dict[Any, Any] = {}
