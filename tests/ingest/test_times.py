"""The times of log lines and of arguments: tables of formats, and properties of any text."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore.cli.times import TimeError, instant
from lmdbstore.ingest.times import LogClock, log_time
from tests.tools.properties import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.surroundings

ZONE = "XXX-02:00"  # two hours before UTC, without summer time: noon there is 10:00 UTC
LATEST = datetime(2024, 2, 10, tzinfo=UTC).timestamp()


@pytest.fixture(autouse=True)
def local_zone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", ZONE)
        time.tzset()
        yield
    time.tzset()


def utc(*fields: int, fraction: float = 0.0) -> float:
    return datetime(*fields, tzinfo=UTC).timestamp() + fraction  # type: ignore[arg-type,misc]


LINES = [
    ("2025-06-24 14:36:25 startup archives unpack", utc(2025, 6, 24, 12, 36, 25)),
    ("2025-06-24T14:36:25Z x", utc(2025, 6, 24, 14, 36, 25)),
    ("2025-06-24T14:36:25.5+02:00 x", utc(2025, 6, 24, 12, 36, 25, fraction=0.5)),
    ("2025-06-24T14:36:25+0200", utc(2025, 6, 24, 12, 36, 25)),
    ("2025-06-24T14:36:25-05 x", utc(2025, 6, 24, 19, 36, 25)),
    ("2025-06-24T14:36Z", utc(2025, 6, 24, 14, 36)),
    ("20250624T143625Z x", utc(2025, 6, 24, 14, 36, 25)),
    ("2025-06-24 14:36:25 +0530 x", utc(2025, 6, 24, 9, 6, 25)),
    ("2025-06-24 14:36:25.250 UTC [7] LOG: x", utc(2025, 6, 24, 14, 36, 25, fraction=0.25)),
    ("2025-06-24 14:36:25 -12 degrees", utc(2025, 6, 24, 12, 36, 25)),
    ("2025-06-24 14:36:25 -1234 widgets", utc(2025, 6, 24, 12, 36, 25)),
    ("2025-06-24 14:36:25, and so on", utc(2025, 6, 24, 12, 36, 25)),
    ("2023-01-02 03:04:05,500 INFO x", utc(2023, 1, 2, 1, 4, 5, fraction=0.5)),
    ("[2023-01-02 03:04:05] x", utc(2023, 1, 2, 1, 4, 5)),
    ("INFO 2023-01-02 03:04:05 x", utc(2023, 1, 2, 1, 4, 5)),
    ('{"time":"2023-01-02T03:04:05Z","m":1}', utc(2023, 1, 2, 3, 4, 5)),
    ("2016-12-31T23:59:60Z leap", utc(2017, 1, 1)),
    ("1969-12-31T23:59:59.25Z", -0.75),
    ("Nov  3 07:05:09 host x", utc(2023, 11, 3, 5, 5, 9)),
    ("Nov 13 07:05:09 host 2020", utc(2023, 11, 13, 5, 5, 9)),
    ("Feb 10 01:00:00 host x", utc(2024, 2, 9, 23)),
    ("Feb 11 03:00:00 host x", utc(2023, 2, 11, 1)),
    ("Feb 29 12:00:00 host x", utc(2020, 2, 29, 10)),
    ("Nov  3 2001 07:05:09 x", utc(2001, 11, 3, 5, 5, 9)),
    ("<34>Oct 11 22:14:15 mymachine su: x", utc(2023, 10, 11, 20, 14, 15)),
    ("<34>1 2003-10-11T22:14:15.500Z host su", utc(2003, 10, 11, 22, 14, 15, fraction=0.5)),
    ('::1 - me [10/Oct/2000:13:55:36 -0700] "GET /"', utc(2000, 10, 10, 20, 55, 36)),
    ('::1 - - [10/Oct/2000:13:55:36 -0700] "/2001-01-01 00:00:00"', utc(2000, 10, 10, 20, 55, 36)),
    ("2023/01/02 03:04:05 [error] 7#7: x", utc(2023, 1, 2, 1, 4, 5)),
    ("[Wed Oct 11 14:32:52.500 2000] [error]", utc(2000, 10, 11, 12, 32, 52, fraction=0.5)),
    ("1699999999 x", 1699999999.0),
    ("1699999999.123 x", 1699999999.123),
    ("[1699999999.123] x", 1699999999.123),
    ("999999999", 999999999.0),
]  # fmt: skip
NONE = [
    "",
    "no time",
    "2023-13-02 03:04:05 month",
    "2023-02-30 03:04:05 day",
    "2023-01-02 25:04:05 hour",
    "2023-01-02 a date alone",
    "0000-01-01 00:00:00 year",
    "12345678 short",
    "12345678901 long",
    "1699999999x",
    "1699999999.1.2",
    "0171234567 a telephone",
    "took 1699999999 ns",
    "    deadline 2020-01-01 00:00:00",
    "x" * 60 + " 2020-01-01 00:00:00",
    "x" * 250 + "[10/Oct/2000:13:55:36 -0700]",
    "/backup/2023-01-01 03:04:05",
    "Nov 31 07:05:09 host",
    "[10/Foo/2000:13:55:36 -0700]",
    "٢٠٢٣-01-02 03:04:05",
]


@pytest.mark.parametrize(("line", "seconds"), LINES)
def test_the_time_of_a_line_is_found(line: str, seconds: float) -> None:
    assert log_time(line, LATEST) == seconds


@pytest.mark.parametrize("line", NONE)
def test_a_line_without_a_time_has_none(line: str) -> None:
    assert log_time(line, LATEST) is None


def test_february_29_is_a_day_of_leap_years_only() -> None:
    assert log_time("Feb 29 12:00:00 x", utc(1903, 1, 1)) == utc(1896, 2, 29, 10)


pieces = st.sampled_from([*[line for line, _ in LINES], *NONE, " ", "[", "<1>"])
texts = st.text(max_size=80) | st.lists(pieces | st.text(max_size=5), max_size=3).map("".join)


@examples(50)
@given(st.lists(texts, max_size=8), st.floats())
def test_the_cache_of_formats_does_not_change_the_time_of_any_text(
    lines: list[str], latest: float
) -> None:
    clock = LogClock(latest)
    for line in lines:
        assert clock.read(line) == log_time(line, latest)


NOW = utc(2025, 6, 24, 12)


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("now", NOW, NOW),
        ("-1h", NOW - 3600, NOW - 3600),
        ("-1h30m", NOW - 5400, NOW - 5400),
        ("-7d", NOW - 7 * 86400, NOW - 7 * 86400),
        ("+2w", NOW + 14 * 86400, NOW + 14 * 86400),
        ("-0.5s", NOW - 0.5, NOW - 0.5),
        ("0", 0.0, 0.0),
        ("1750775785.5", 1750775785.5, 1750775785.5),
        ("-1.5", -1.5, -1.5),
        ("2025-06-24T14:36:25Z", utc(2025, 6, 24, 14, 36, 25), utc(2025, 6, 24, 14, 36, 25)),
        ("2025-06-24 14:36", utc(2025, 6, 24, 12, 36), utc(2025, 6, 24, 12, 36)),
    ],
)
def test_arguments_of_every_format_are_read(text: str, since: float, until: float) -> None:
    assert instant(text, now=NOW) == since
    assert instant(text, now=NOW, end=True) == until


def test_a_date_alone_is_a_whole_day() -> None:
    first, last = instant("2025-06-24", now=NOW), instant("2025-06-24", now=NOW, end=True)
    assert first == utc(2025, 6, 23, 22)
    assert utc(2025, 6, 24, 22) - 1e-6 < last < utc(2025, 6, 24, 22)


@pytest.mark.parametrize(
    "text",
    ["", "x", "1h", "2025", "20250624", "1750775785000", "2025-13-01", "2025-02-30T00:00", "nan",
     "inf", "1e9", "-h", "14:36", "9" * 400],
)  # fmt: skip
def test_the_refusal_of_an_argument_shows_valid_times(text: str) -> None:
    with pytest.raises(TimeError, match=r"2025-06-24T14:36:25.*-1h"):
        instant(text, now=NOW)


def test_the_last_day_has_no_next_one() -> None:
    with pytest.raises(TimeError):
        instant("9999-12-31", now=NOW, end=True)


@given(st.text(max_size=30) | st.from_regex(r"[-+0-9.:TZsmhdw ]{0,30}", fullmatch=True))
def test_any_argument_is_a_time_or_a_time_error(text: str) -> None:
    try:
        assert isinstance(instant(text, now=NOW), float)
    except TimeError as error:
        assert "is not a time" in str(error)  # noqa: PT017  either outcome is right
