"""Months by the calendar in UTC: subscriptions and quotas are counted in them."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def after(start_ms: int, months: int) -> int:
    """The same day and time so many months later; the last day of a month that has no such day."""
    moment = EPOCH + timedelta(milliseconds=start_ms)
    years, month = divmod(moment.month - 1 + months, 12)
    year = moment.year + years
    day = min(moment.day, monthrange(year, month + 1)[1])
    return to_ms(moment.replace(year=year, month=month + 1, day=day))


def calendar_month(now_ms: int) -> tuple[int, int]:
    """Where the month begins and ends that a time is in."""
    moment = EPOCH + timedelta(milliseconds=now_ms)
    start = to_ms(moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0))
    return start, after(start, 1)


def month_of(start_ms: int, now_ms: int) -> tuple[int, int]:
    """The month of a subscription that began at `start_ms` in which a time is."""
    number = 0
    while after(start_ms, number + 1) <= now_ms:
        number += 1
    return after(start_ms, number), after(start_ms, number + 1)


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch."""
    return (moment - EPOCH) // timedelta(milliseconds=1)
