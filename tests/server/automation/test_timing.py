"""When schedules are due: in their time zones, over the changes of clocks, within hours."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from marquetry.server.automation.errors import WrongTime
from marquetry.server.automation.timing import checked_cron, hours_of, next_firing, upcoming, within, zone_of

BERLIN = ZoneInfo("Europe/Berlin")


def ms(text: str, zone: ZoneInfo = BERLIN) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def times(cron: str, after: str, count: int) -> list[str]:
    moments = upcoming(cron, BERLIN, [], ms(after), count)
    return [datetime.fromtimestamp(moment / 1000, BERLIN).strftime("%m-%d %H:%M%z") for moment in moments]


def test_times_are_those_of_the_zone() -> None:
    assert times("30 2 * * mon-fri", "2026-11-20T12:00", 3) == ["11-23 02:30+0100", "11-24 02:30+0100", "11-25 02:30+0100"]


def test_an_hour_that_clocks_leave_out_moves_the_run_to_its_end() -> None:
    assert times("30 2 * * *", "2026-03-28T12:00", 2) == ["03-29 03:00+0200", "03-30 02:30+0200"]


def test_an_hour_that_clocks_show_twice_runs_once() -> None:
    assert times("30 2 * * *", "2026-10-24T12:00", 2) == ["10-25 02:30+0200", "10-26 02:30+0100"]


def test_what_runs_every_hour_runs_in_both_of_them() -> None:
    assert times("0 * * * *", "2026-10-25T01:30", 3) == ["10-25 02:00+0200", "10-25 02:00+0100", "10-25 03:00+0100"]


@pytest.mark.parametrize(
    "wrong",
    ["", "x", "* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "H * * * *", "R * * * *", "r(1-5) * * * *", "* * * * * * 2030",
     "*/0 * * * *", "0 0 * * " + "1," * 90, "@reboot", "$(id) * * * *"],
)  # fmt: skip
def test_what_is_no_cron_expression_or_never_fires_is_refused(wrong: str) -> None:
    with pytest.raises(WrongTime):
        checked_cron(wrong, BERLIN, ms("2026-01-01T00:00"))


def test_words_for_common_times_are_understood() -> None:
    assert checked_cron(" @daily ", BERLIN, ms("2026-01-01T00:00")) == "0 0 * * *"


@pytest.mark.parametrize("wrong", ["", "Mars/Base", "../../etc/passwd", "Europe", "UTC\n"])
def test_zones_that_are_none_are_refused(wrong: str) -> None:
    with pytest.raises(WrongTime):
        zone_of(wrong)


@pytest.mark.parametrize(
    ("due", "runs"),
    [("2026-06-01T21:59", "2026-06-01T22:00"), ("2026-06-01T22:00", "2026-06-01T22:00"), ("2026-06-02T03:00", "2026-06-02T03:00"),
     ("2026-06-02T06:00", "2026-06-02T22:00"), ("2026-03-28T12:00", "2026-03-28T22:00")],
)  # fmt: skip
def test_what_is_due_outside_its_hours_waits_for_them(due: str, runs: str) -> None:
    assert within([hours_of("22:00-06:00", BERLIN)], ms(due)) == ms(runs)


def test_of_several_hours_the_first_to_open_counts() -> None:
    hours = [hours_of("22:00-23:00", BERLIN), hours_of("13:00-14:00", BERLIN)]
    assert within(hours, ms("2026-06-01T12:00")) == ms("2026-06-01T13:00")
    assert within(hours, ms("2026-06-01T15:00")) == ms("2026-06-01T22:00")


def test_many_firings_outside_the_hours_are_one_run() -> None:
    found = upcoming("0 * * * *", BERLIN, [hours_of("22:00-23:30", BERLIN)], ms("2026-06-01T08:00"), 4)
    assert found == [ms("2026-06-01T22:00"), ms("2026-06-01T23:00"), ms("2026-06-02T22:00"), ms("2026-06-02T23:00")]


@pytest.mark.parametrize("wrong", ["", "22-6", "22:00-22:00", "24:00-01:00", "22:00-06:60", "22:00 - 06:00"])
def test_hours_that_are_none_are_refused(wrong: str) -> None:
    with pytest.raises(WrongTime):
        hours_of(wrong, BERLIN)


def test_the_next_firing_is_after_the_given_moment() -> None:
    noon = ms("2026-06-01T12:00")
    assert next_firing("0 12 * * *", BERLIN, noon) == ms("2026-06-02T12:00")
