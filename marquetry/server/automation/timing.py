"""Timing: when a schedule is due. Cron expressions in a time zone, moments, and the hours within which something may run. No clock is read here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from marquetry.server.automation.errors import WrongTime

FIELDS = 5
FIELD = re.compile(r"[0-9A-Za-z*,/#?-]{1,40}")
ALIASES = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *"}
HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
RANDOM = re.compile(r"(?:^|[\s,])[hr](?:$|[\s,/(])", re.IGNORECASE)
MAX_REPEATED = 130  # firings within the hour that clocks show twice, at most one a minute


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of each day, local time; past midnight where it ends before it begins."""

    begin: time
    end: time
    zone: ZoneInfo

    def has(self, moment: datetime) -> bool:
        """Whether it is open then."""
        now = moment.astimezone(self.zone).time()
        if self.begin < self.end:
            return self.begin <= now < self.end
        return now >= self.begin or now < self.end

    def next_begin(self, moment: datetime) -> datetime:
        """When it next opens."""
        local = moment.astimezone(self.zone)
        days = (local.date() + timedelta(days=number) for number in range(3))
        begins = (datetime.combine(day, self.begin, self.zone).astimezone(UTC) for day in days)
        return next(begin for begin in begins if begin > moment)


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its name in the IANA database. Raises WrongTime."""
    try:
        if not re.fullmatch(r"[A-Za-z0-9_+/-]{1,64}", name):
            raise ValueError(name)
        return ZoneInfo(name)
    except (ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise WrongTime(f"'{name[:64]}' is not a time zone; one is Europe/Berlin, another UTC") from error
    except KeyError as error:
        raise WrongTime(f"'{name[:64]}' is not a time zone; one is Europe/Berlin, another UTC") from error


def hours_of(text: str, zone: ZoneInfo) -> Hours:
    """Hours written as 22:00-06:00. Raises WrongTime."""
    match = HOURS.fullmatch(text)
    if match is None or match.group(1, 2) == match.group(3, 4):
        raise WrongTime(f"'{text[:40]}' are no hours; write them as 22:00-06:00")
    first, second, third, fourth = map(int, match.groups())
    return Hours(time(first, second), time(third, fourth), zone)


def checked_cron(text: str, zone: ZoneInfo, after_ms: int) -> str:
    """A cron expression of five fields, which fires some time. Raises WrongTime."""
    expression = ALIASES.get(text.strip().lower(), " ".join(text.split()))
    fields = expression.split(" ")
    if len(fields) != FIELDS or not all(FIELD.fullmatch(field) for field in fields) or RANDOM.search(expression):
        raise WrongTime(
            f"'{text[:100]}' is not a cron expression: it has five fields, minute hour day month weekday, as in 30 2 * * mon-fri"
        )
    next_firing(expression, zone, after_ms)
    return expression


def next_firing(cron: str, zone: ZoneInfo, after_ms: int) -> int:
    """The first moment after that one. What clocks show twice in autumn counts once, unless it fires in every hour. Raises WrongTime."""
    from croniter import CroniterError, croniter

    try:
        firings = croniter(cron, datetime.fromtimestamp(after_ms / 1000, zone), max_years_between_matches=8)
        for _ in range(MAX_REPEATED):
            found: datetime = firings.get_next(datetime)
            if not found.fold or "*" in cron.split(" ")[1]:
                return int(found.timestamp() * 1000)
    except (CroniterError, ValueError, OverflowError) as error:
        raise WrongTime(f"'{cron[:100]}' never fires, or is not a cron expression: {error}") from error
    return int(found.timestamp() * 1000)


def within(hours: Sequence[Hours], due_ms: int) -> int:
    """The first moment from then on at which one of these hours is open; without any, that moment."""
    moment = datetime.fromtimestamp(due_ms / 1000, UTC)
    if not hours or any(entry.has(moment) for entry in hours):
        return due_ms
    return int(min(entry.next_begin(moment) for entry in hours).timestamp() * 1000)


def upcoming(cron: str, zone: ZoneInfo, hours: Sequence[Hours], after_ms: int, count: int) -> list[int]:
    """The next moments at which it will run."""
    found: list[int] = []
    due_ms = after_ms
    for _ in range(count * 50):
        due_ms = next_firing(cron, zone, due_ms)
        moment = within(hours, due_ms)
        if not found or moment > found[-1]:
            found.append(moment)
        if len(found) == count:
            break
        due_ms = max(due_ms, moment)
    return found
