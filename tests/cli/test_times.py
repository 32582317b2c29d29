"""The times of arguments: what is accepted, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore.cli.times import TimeError, instant
from tests.tools.properties import examples
from tests.tools.zone import local_zone as zone_of_tests

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.surroundings

ZONE = "XXX-02:00"  # two hours before UTC, without summer time: noon there is 10:00 UTC


@pytest.fixture(autouse=True)
def local_zone() -> Iterator[None]:
    with zone_of_tests(ZONE):
        yield


def utc(*fields: int) -> float:
    return datetime(*fields, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]


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
        ("1h", NOW - 3600, NOW - 3600),
        ("0", 0.0, 0.0),
        ("1750775785500", 1750775785.5, 1750775785.5),
        ("1750775785500000", 1750775785.5, 1750775785.5),
        ("2025-03-05 10:00 UTC", utc(2025, 3, 5, 10), utc(2025, 3, 5, 10)),
        ("2025-03-05 10:00:00 CET", utc(2025, 3, 5, 9), utc(2025, 3, 5, 9)),
        ("05/Mar/2025:10:00:00 +0000", utc(2025, 3, 5, 10), utc(2025, 3, 5, 10)),
        ("Mar  5 10:00:00", utc(2025, 3, 5, 8), utc(2025, 3, 5, 8)),
        ("Aug  5 10:00:00", utc(2024, 8, 5, 8), utc(2024, 8, 5, 8)),
        ("@400000006858f9a500000000", 1750661504.0, 1750661504.0),
        ("1750775785.5", 1750775785.5, 1750775785.5),
        ("-1.5", -1.5, -1.5),
        ("2025-06-24T14:36:25Z", utc(2025, 6, 24, 14, 36, 25), utc(2025, 6, 24, 14, 36, 25)),
        ("14:00", utc(2025, 6, 24, 12), utc(2025, 6, 24, 12)),
        ("14:01", utc(2025, 6, 23, 12, 1), utc(2025, 6, 23, 12, 1)),
        ("11:59:30 UTC", utc(2025, 6, 24, 11, 59, 30), utc(2025, 6, 24, 11, 59, 30)),
        ("2025-06-24 14:36 Europe/Berlin", utc(2025, 6, 24, 12, 36), utc(2025, 6, 24, 12, 36)),
        ("2025-06-24T14:36:25 +05:30", utc(2025, 6, 24, 9, 6, 25), utc(2025, 6, 24, 9, 6, 25)),
        ("2025-06-24 14:36", utc(2025, 6, 24, 12, 36), utc(2025, 6, 24, 12, 36)),
    ],
)
def test_arguments_of_every_format_are_read(text: str, since: float, until: float) -> None:
    assert instant(text, now=NOW) == since
    assert instant(text, now=NOW, end=True) == until


def test_yesterday_and_today_are_whole_days() -> None:
    assert instant("Yesterday", now=NOW) == utc(2025, 6, 22, 22)
    assert instant("today", now=NOW) == utc(2025, 6, 23, 22)
    assert utc(2025, 6, 23, 22) - 1e-6 < instant("yesterday", now=NOW, end=True)
    assert instant("yesterday", now=NOW, end=True) < utc(2025, 6, 23, 22)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Tuesday", utc(2025, 6, 23, 22)),
        ("wed", utc(2025, 6, 17, 22)),
        ("monday UTC", utc(2025, 6, 23)),
        ("yesterday UTC", utc(2025, 6, 23)),
        ("2025-03-30 Europe/Berlin", utc(2025, 3, 29, 23)),
    ],
)
def test_a_weekday_is_the_latest_that_has_begun(text: str, first: float) -> None:
    """NOW is a Tuesday; on 30 March, a day in Berlin had 23 hours."""
    hours = 23 if "Berlin" in text else 24
    assert instant(text, now=NOW) == first
    assert first + hours * 3600 - 1e-6 < instant(text, now=NOW, end=True) < first + hours * 3600


def test_a_date_alone_is_a_whole_day() -> None:
    first, last = instant("2025-06-24", now=NOW), instant("2025-06-24", now=NOW, end=True)
    assert first == utc(2025, 6, 23, 22)
    assert utc(2025, 6, 24, 22) - 1e-6 < last < utc(2025, 6, 24, 22)


@pytest.mark.parametrize(
    "text",
    ["", "x", "2025", "20250624",
     "03/05/2025 10:00:00", "2025-02-30 10:00:00", "2025-13-01", "2025-02-30T00:00", "nan",
     "inf", "1e9", "-h", "24:36", "fri day", "2025-06-24 Europe/Nowhere", "9" * 400],
)  # fmt: skip
def test_the_refusal_of_an_argument_shows_valid_times(text: str) -> None:
    with pytest.raises(TimeError, match=r"2025-06-24T14:36:25.*-1h"):
        instant(text, now=NOW)


def test_the_last_day_has_no_next_one() -> None:
    with pytest.raises(TimeError):
        instant("9999-12-31", now=NOW, end=True)


@examples(100)
@given(st.text(max_size=30) | st.from_regex(r"[-+0-9.:TZsmhdw ]{0,30}", fullmatch=True))
def test_any_argument_is_a_time_or_a_time_error(text: str) -> None:
    try:
        assert isinstance(instant(text, now=NOW), float)
    except TimeError as error:
        assert "is not a time" in str(error)  # noqa: PT017  either outcome is right
