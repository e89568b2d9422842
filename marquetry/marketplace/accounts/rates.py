"""Rates: how often somebody may ask. A token bucket in whole microseconds (the generic cell rate algorithm): one number for each bucket."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from marquetry.marketplace.errors import TooManyRequests

FORM = re.compile(r"(?P<count>\d{1,9})/(?P<number>\d{1,6})?(?P<unit>s|min|h|d)(?:\+(?P<burst>\d{1,9}))?")
UNITS_US = {"s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
MAX_BUCKETS = 200_000
MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` in each period, of which up to `burst` at once."""

    count: int
    period_us: int
    burst: int

    @classmethod
    def parse(cls, text: str) -> Rate:
        """As in `10/s`, `5/15min`, `3/s+10`; what stands behind the + may come at once, else the whole count may. Raises ValueError."""
        match = FORM.fullmatch(text.replace(" ", ""))
        if match is None or int(match["count"]) == 0 or int(match["number"] or 1) == 0:
            raise ValueError(f"'{text}' is not a rate; examples: 10/s, 5/15min, 3/s+10")
        count = int(match["count"])
        return cls(count, UNITS_US[match["unit"]] * int(match["number"] or 1), int(match["burst"] or count))

    @property
    def step_us(self) -> int:
        """The time that one request is worth."""
        return max(1, self.period_us // self.count)


class Buckets(Protocol):
    """Where buckets are: in this process, or in Redis for several."""

    async def take(self, key: str, rate: Rate, now_us: int) -> int:
        """Take one out of a bucket. Gives 0, or in how many microseconds there is one again; then nothing is taken."""
        ...

    async def close(self) -> None: ...


class LocalBuckets:
    """Buckets of this process; of so many that they are forgotten in the order in which they were used."""

    def __init__(self, most: int = MAX_BUCKETS) -> None:
        self._full_at_us: OrderedDict[str, int] = OrderedDict()
        self._most = most

    async def take(self, key: str, rate: Rate, now_us: int) -> int:
        full_us, wait_us = taken(self._full_at_us.get(key, 0), rate, now_us)
        if wait_us == 0:
            self._full_at_us[key] = full_us
            self._full_at_us.move_to_end(key)
            if len(self._full_at_us) > self._most:
                self._full_at_us.popitem(last=False)
        return wait_us

    async def close(self) -> None:
        self._full_at_us.clear()


def taken(full_us: int, rate: Rate, now_us: int) -> tuple[int, int]:
    """When the bucket will be full after one more is taken, and how long to wait for it: 0 where it may be taken now."""
    step_us = rate.step_us
    after_us = max(full_us, now_us) + step_us
    return after_us, max(0, after_us - now_us - step_us * rate.burst)


def refused(wait_us: int, what: str) -> TooManyRequests:
    """The error that says when to come again."""
    seconds = max(1, -(-wait_us // MICROSECONDS))
    return TooManyRequests(f"{what}; try again in {seconds} s", retry_after_s=seconds)
