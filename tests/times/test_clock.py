"""What lines do not say: years, days, zones, and hours that come twice; and what contradicts."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore.times.clock import Clock, Setting
from lmdbstore.times.dater import Dater
from lmdbstore.times.learning import format_named
from lmdbstore.times.moment import tai_seconds
from lmdbstore.times.template import UnknownField
from lmdbstore.times.zones import UnknownZone, Zones, zone_named
from tests.tools.properties import examples

BERLIN = Zones(ZoneInfo("Europe/Berlin"))


def utc(*fields: int) -> float:
    return datetime(*fields, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]


def times(lines: list[str], mtime: float, *, whole: bool = True, **known: object) -> list[float]:
    """Return the times of all lines of a file."""
    setting = Setting(mtime, **known)  # type: ignore[arg-type]
    found, _ = Dater(setting, again=(lambda: [lines]) if whole else None).date(lines)
    assert None not in found
    return found  # type: ignore[return-value]


# -- the year ---------------------------------------------------------------------------------


def syslog(*days: tuple[int, int]) -> list[str]:
    names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    return [f"{names[month - 1]} {day:2} 12:00:00 h app: x" for month, day in days]


def test_a_log_of_thirteen_months_turns_with_the_year() -> None:
    months = [*range(1, 13), 1, 2]
    found = times(syslog(*((month, 5) for month in months)), utc(2024, 2, 10))
    expected = [utc(2023, month, 5, 12) for month in range(1, 13)]
    assert found == [*expected, utc(2024, 1, 5, 12), utc(2024, 2, 5, 12)]


def test_a_log_of_several_years_counts_back_from_its_end() -> None:
    days = [(3, 1), (11, 1), (2, 1), (12, 31), (1, 1), (5, 5)]
    found = [datetime.fromtimestamp(one, UTC).year for one in times(syslog(*days), utc(2024, 6, 1))]
    assert found == [2022, 2022, 2023, 2023, 2024, 2024]


def test_late_lines_at_the_turn_of_the_year_stay_in_theirs() -> None:
    days = [(12, 30), (12, 31), (1, 1), (12, 31), (1, 1), (12, 31), (1, 2)]
    found = [datetime.fromtimestamp(one, UTC).year for one in times(syslog(*days), utc(2024, 1, 3))]
    assert found == [2023, 2023, 2024, 2023, 2024, 2023, 2024]


def test_lines_that_are_a_few_days_out_of_order_turn_nothing() -> None:
    days = [(3, 20), (3, 10), (4, 1), (3, 15)]
    found = [datetime.fromtimestamp(one, UTC).year for one in times(syslog(*days), utc(2024, 5, 1))]
    assert found == [2024] * 4


def test_february_29_and_weekdays_choose_the_year() -> None:
    assert times(syslog((2, 28), (2, 29), (3, 1)), utc(2026, 5, 1))[1] == utc(2024, 2, 29, 12)
    lines = ["Tue Mar  5 10:00:00 x", "Wed Mar  6 10:00:00 x"]
    assert times(lines, utc(2026, 5, 1)) == [utc(2024, 3, 5, 10), utc(2024, 3, 6, 10)]


DAYS = ["Feb 28 10:00", "Feb 28 10:01", "Feb 29 10:01", "Dec 31 23:59", "Jan  1"]
HOURS = ["23:50", "23:59", "20:01", "00:01", "00:02", "10:00", "25:00"]
ENDS = [":00 h x", ":07 CET h x", " 00:00:01 h x", ":99 h x", ":00", "", " x"]


@pytest.mark.parametrize(("name", "minutes"), [("syslog", DAYS), ("time-of-day", HOURS)])
@given(st.lists(st.tuples(st.integers(), st.sampled_from(ENDS)), max_size=12))
@examples(100)
def test_lines_of_one_minute_are_surveyed_like_others(
    name: str, minutes: list[str], ends: list[tuple[int, str]]
) -> None:
    lines = [minutes[n % len(minutes)] + end for n, end in ends]
    pattern = format_named(name).pattern
    at_once, each = (Clock(pattern, Setting(utc(2025, 6, 1))) for _ in range(2))
    at_once.survey(lines)
    for line in lines:
        each.survey([line])
    at_once.begin()
    each.begin()
    found = [list(clock.times(map(clock.match, lines))) for clock in (at_once, each)]
    assert repr(found[0]) == repr(found[1])


def test_the_given_year_is_that_of_the_first_line() -> None:
    found = times(syslog((12, 1), (1, 1)), utc(2024, 6, 1), year=2019)
    assert found == [utc(2019, 12, 1, 12), utc(2020, 1, 1, 12)]


def test_a_pipe_has_the_latest_year_that_is_not_in_the_future() -> None:
    found = times(syslog((2, 10), (2, 12)), utc(2024, 2, 10), whole=False)
    assert found == [utc(2024, 2, 10, 12), utc(2023, 2, 12, 12)]


# -- the day ----------------------------------------------------------------------------------


def test_a_time_of_day_turns_at_midnight_counted_back_from_the_end() -> None:
    lines = [f"{hour:02}:00:00 x" for hour in (22, 23, 0, 12, 23, 1)]
    found = times(lines, utc(2024, 3, 6, 1, 30))
    assert found[-1] == utc(2024, 3, 6, 1)
    assert found[:2] == [utc(2024, 3, 4, 22), utc(2024, 3, 4, 23)]
    assert found[2:5] == [utc(2024, 3, 5, 0), utc(2024, 3, 5, 12), utc(2024, 3, 5, 23)]


def test_the_last_time_of_day_is_not_after_the_file() -> None:
    assert times(["10:00:00.5 x"], utc(2024, 3, 6)) == [utc(2024, 3, 5, 10) + 0.5]
    assert times(["10:00:00.5 x"], utc(2024, 3, 6, 11)) == [utc(2024, 3, 6, 10) + 0.5]


# -- the zone ---------------------------------------------------------------------------------


def test_a_time_without_a_zone_is_in_the_given_one() -> None:
    assert times(["2024-07-01 12:00:00 x"], 0.0, zones=BERLIN) == [utc(2024, 7, 1, 10)]
    assert times(["2024-07-01 12:00:00 UTC x"], 0.0, zones=BERLIN) == [utc(2024, 7, 1, 12)]


def test_the_hour_that_comes_twice_is_told_apart_by_the_order_of_the_file() -> None:
    minutes = ["02:10", "02:50", "02:10", "02:50", "03:00"]
    lines = [f"2024-10-27 {minute}:00 x" for minute in ("01:59", *minutes)]
    found = times(lines, 0.0, zones=BERLIN)
    expected = [(23, 59), (0, 10), (0, 50), (1, 10), (1, 50), (2, 0)]
    assert found[0] == utc(2024, 10, 26, *expected[0])
    assert found[1:] == [utc(2024, 10, 27, *one) for one in expected[1:]]


def test_the_hour_that_comes_twice_does_not_depend_on_the_pieces_of_the_file() -> None:
    dater = Dater(Setting(0.0, BERLIN))
    found = [dater.date([f"2024-10-27 {one}:00 x"])[0][0] for one in ("02:50", "02:10", "02:50")]
    assert found == [utc(2024, 10, 27, 0, 50), utc(2024, 10, 27, 1, 10), utc(2024, 10, 27, 1, 50)]


def test_a_line_out_of_order_within_the_first_hour_stays_in_it() -> None:
    lines = ["2024-10-27 02:10:30 x", "2024-10-27 02:09:59 x"]
    assert times(lines, 0.0, zones=BERLIN) == [
        utc(2024, 10, 27, 0, 10, 30),
        utc(2024, 10, 27, 0, 9, 59),
    ]


@pytest.mark.parametrize(
    ("zone", "text", "hours"),
    [
        ("UTC", "CST", -6),
        ("Asia/Shanghai", "CST", 8),
        ("Asia/Kolkata", "IST", 5.5),
        ("Asia/Jerusalem", "IST", 2),
        ("UTC", "IST", 5.5),
        ("Australia/Sydney", "AEST", 10),
        ("Asia/Shanghai", "EST", -5),
        ("Asia/Shanghai", "UTC", 0),
    ],
)
def test_the_given_zone_decides_what_an_abbreviation_means(
    zone: str, text: str, hours: float
) -> None:
    found = times([f"2024-03-05 10:00:00 {text} x"], 0.0, zones=Zones(zone_named(zone)))
    assert found == [utc(2024, 3, 5, 10) - hours * 3600]


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "+25:00x", "\0"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(UnknownZone):
        zone_named(name)


@pytest.mark.parametrize("text", ["-12 degrees", "-1234 widgets", "+99 x", "INFO x"])
def test_what_follows_a_time_is_a_zone_only_if_it_looks_like_one(text: str) -> None:
    hours = 12 if text == "-12 degrees" else 0
    assert times([f"2024-03-05 10:00:00 {text}"], 0.0) == [utc(2024, 3, 5, 10 + hours)]


# -- formats of the user ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "line", "expected"),
    [
        ("%Y-%m-%d", "on 2024-03-05", utc(2024, 3, 5)),
        ("%Y-%m-%d %H:%M", "2024-03-04 24:00 x", utc(2024, 3, 5)),
        ("%d/%b/%y %I:%M %p", "x 5/Mar/24 10:00 AM", utc(2024, 3, 5, 10)),
        ("%Y-%m-%d %H:%M:%S.%f %z", "2024-03-05 11:00:00.5 +0100", utc(2024, 3, 5, 10) + 0.5),
        ("%A, %d. %B %Y %T %Z", "Tuesday, 5. March 2024 11:00:00 CET", utc(2024, 3, 5, 10)),
        ("%G-W%V", "2024-W10", utc(2024, 3, 4)),
        ("%Y.%j", "2024.065", utc(2024, 3, 5)),
        ("%Y", "of 2024", utc(2024, 1, 1)),
        ("[%s]", "x [1709632800] y", utc(2024, 3, 5, 10)),
        ("100%% %F %R", "100% 2024-03-05 10:00", utc(2024, 3, 5, 10)),
    ],
)
def test_a_format_as_strptime_has_it_is_read(template: str, line: str, expected: float) -> None:
    assert Dater(Setting(0.0), format_named(template)).date([line])[0] == [expected]


@examples(100)
@given(st.text(st.sampled_from("%YmdHMSfzZjGVuspa-_ .()[\\é"), max_size=12), st.text(max_size=20))
def test_any_template_is_a_format_or_refused(template: str, line: str) -> None:
    try:
        dater = Dater(Setting(0.0), format_named(template))
    except (UnknownField, re.error):
        return
    (found,), _ = dater.date([line])
    assert found is None or isinstance(found, float)


# -- contradictions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "2024-13-05 10:00:00 x",
        "2024-02-30 10:00:00 x",
        "2023-02-29 10:00:00 x",
        "2024-03-05 25:00:00 x",
        "2024-03-05 24:00:01 x",
        "2024-03-05 24:01:00 x",
        "2024-03-05 10:60:00 x",
        "2024-03-05 10:00:61 x",
        "2024-03-05 13:00:00 AM x",
        "0000-01-01 00:00:00 x",
    ],
)
def test_a_time_that_contradicts_itself_is_no_number(line: str) -> None:
    good = "2024-03-05 10:00:00 x"
    first, second, third = times([good, line, good], 0.0)
    assert (first, third) == (utc(2024, 3, 5, 10), utc(2024, 3, 5, 10))
    assert math.isnan(second)


def test_a_weekday_that_is_another_contradicts() -> None:
    good, bad = "Tue Mar  5 10:00:00 2024 x", "Wed Mar  5 10:00:00 2024 x"
    found = times([good, bad], 0.0)
    assert found[0] == utc(2024, 3, 5, 10)
    assert math.isnan(found[1])


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (f"{(1 << 62) + 10:016x}", 0.0),
        (f"{(1 << 62) + 1709632837:016x}", 1709632800.0),
        (f"{(1 << 62) + 1483228836:016x}", 1483228800.0),  # the leap second at the end of 2016
        (f"{(1 << 62) + 1483228837:016x}", 1483228800.0),
        (f"{(1 << 62) + 1483228835:016x}", 1483228799.0),
    ],
)
def test_a_label_of_tai_is_ahead_by_the_leap_seconds(label: str, expected: float) -> None:
    assert tai_seconds(label, None) == expected
    assert tai_seconds(label, "1dcd6500") == expected + 0.5
