"""Standing: what an owner's plan says of the queue: class, weight, and how many jobs may run at the same time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

LARGEST_WEIGHT = 1000
BATCH_INPUTS = 100


@dataclass(frozen=True, slots=True)
class Standing:
    """`priority_class`: higher goes first; None lets each job say its own priority, which is right where nobody else waits.

    `weight`: turns of the queue in relation to those of others of the same class. `running_jobs`: how many at the same time; None: no bound.
    The others bound what automation keeps for the owner.
    """

    priority_class: int | None = None
    weight: int = 1
    running_jobs: int | None = None
    batch_inputs: int = BATCH_INPUTS
    schedules: int = 20
    webhooks: int = 20

    def __post_init__(self) -> None:
        if not 1 <= self.weight <= LARGEST_WEIGHT or (self.running_jobs is not None and self.running_jobs < 1):
            raise ValueError(f"a weight is 1 to {LARGEST_WEIGHT}, and at least one job may run")

    def priority(self, wanted: int) -> int:
        """The priority of a job: with a class, an owner may let jobs stand back, but not push them ahead of others of the class."""
        return wanted if self.priority_class is None else self.priority_class + min(wanted, 0)


class QueueStanding(Protocol):
    """Knows the standing of owners. Asked at each submission, so it must be quick."""

    async def of(self, owner: str) -> Standing:
        """The standing of an owner; also of one that it never heard of."""
        ...


ALONE = Standing()
EQUAL = Standing(priority_class=0)


class EqualStanding:
    """Everybody is equal. Who has no name has the server to themselves."""

    async def of(self, owner: str) -> Standing:
        return EQUAL if owner else ALONE
