"""Buckets of time: without gaps, in any zone, and beside the readings of the local clock."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import InvalidQuery
from lmdbstore.contract.counting import buckets as buckets_of
from lmdbstore.contract.counting.buckets import Tally, checked_buckets
from tests.tools.properties import examples

# Zones, and a moment at which the clock of each was set: by half an hour, at midnight, across
# midnight, at 00:01, by a whole day, and by an odd number of seconds.
SET = {
    "Europe/Berlin": ["2025-03-30T01:00Z", "2025-10-26T01:00Z"],
    "Australia/Lord_Howe": ["2025-04-05T15:00Z", "2025-10-04T15:30Z"],
    "America/Sao_Paulo": ["2018-11-04T03:00Z", "2018-02-18T02:00Z"],
    "America/Toronto": ["1919-03-31T04:30Z"],
    "America/St_Johns": ["2007-11-04T02:31Z", "2009-11-01T02:31Z"],
    "Pacific/Apia": ["2011-12-30T10:00Z"],
    "Africa/Monrovia": ["1972-01-07T00:44:30Z"],
    "America/Havana": ["2024-03-10T05:00Z", "2024-11-03T05:00Z"],
}
KINDS = ["hour", "day", "month"]
DAY = 86_400
LENGTHS = {"hour": (60, 3600), "day": (20 * 3600, 49 * 3600), "month": (27 * DAY, 33 * DAY)}
MOMENTS = [
    (datetime.fromisoformat(text).timestamp(), zone)
    for zone, texts in SET.items()
    for text in texts
]
ZONES = [*SET, "UTC", "Asia/Kathmandu", "Africa/Casablanca"]
TIMES = st.one_of(
    st.builds(
        lambda moment, more: (moment[0] + more, moment[1]),
        st.sampled_from(MOMENTS),
        st.floats(-7200, 7200) | st.floats(-2.0 * DAY, 2.0 * DAY) | st.sampled_from([-1, -0.5, 0]),
    ),
    st.tuples(st.floats(-2e9, 5e9), st.sampled_from(ZONES)),
)


def shown(seconds: float, zone: str) -> datetime:
    """Return what the local clock shows."""
    return datetime.fromtimestamp(math.floor(seconds), UTC).astimezone(ZoneInfo(zone))


@examples(300)
@given(TIMES, st.sampled_from(KINDS))
def test_local_buckets_follow_each_other(moment: tuple[float, str], kind: str) -> None:
    seconds, zone = moment
    buckets = checked_buckets(kind, zone)
    start, end = buckets.around(seconds)
    assert start <= seconds < end
    for inside in (start, (start + end) / 2, math.nextafter(end, -math.inf)):
        assert buckets.around(inside) == (start, end)
    assert buckets.around(end)[0] == end
    assert buckets.around(math.nextafter(start, -math.inf))[1] == start
    low, high = LENGTHS[kind]
    assert low <= end - start <= high


@pytest.mark.parametrize("kind", KINDS)
def test_every_time_beside_a_change_of_a_clock_is_in_one_bucket(kind: str) -> None:
    for moment, zone in MOMENTS:
        buckets = checked_buckets(kind, zone)
        ends = []
        for seconds in range(int(moment) - 5400, int(moment) + 5400, 30):
            start, end = buckets.around(seconds)
            assert start <= seconds < end, (zone, seconds)
            ends += [start, end]
        starts = ends[::2]
        assert starts == sorted(starts), zone


@examples(300)
@given(TIMES, st.sampled_from(KINDS))
def test_a_local_bucket_begins_where_the_clock_comes_to_it(
    moment: tuple[float, str], kind: str
) -> None:
    seconds, zone = moment
    start, _ = checked_buckets(kind, zone).around(seconds)
    before, after = shown(start - 1, zone), shown(start, zone)
    fields = {"hour": 4, "day": 3, "month": 2}[kind]
    moved = before.timetuple()[:fields] != after.timetuple()[:fields]
    assert moved or (kind == "hour" and before.utcoffset() != after.utcoffset())
    unchanged = before.utcoffset() == after.utcoffset()
    if unchanged:
        assert (after.minute, after.second) == (0, 0)
        assert kind == "hour" or after.hour == 0


@examples(300)
@given(
    st.floats(-1e12, 1e12) | st.integers(-100, 100).map(lambda n: n * 0.1),
    st.floats(1e-3, 1e9) | st.sampled_from([0.1, 1 / 3, 60, 3600]),
)
def test_buckets_of_a_length_follow_each_other(seconds: float, length: float) -> None:
    buckets = checked_buckets(length, "UTC")
    start, end = buckets.around(seconds)
    assert start <= seconds < end
    assert buckets.around(start) == (start, end)
    assert buckets.around(end)[0] == end
    assert buckets.around(math.nextafter(start, -math.inf))[1] == start
    assert end - start == pytest.approx(length, rel=0.2)


@pytest.mark.parametrize(
    ("length", "seconds"), [(1, 1e300), (5e-324, 1.0), (1e-3, -1e15), (1e308, -1.7e308)]
)
def test_a_length_that_floats_do_not_tell_apart_is_refused(length: float, seconds: float) -> None:
    with pytest.raises(InvalidQuery, match="no such bucket"):
        checked_buckets(length, "UTC").around(seconds)


def test_years_that_no_calendar_has_are_refused() -> None:
    first, last = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
    for kind in ("hour", "day"):
        for known in (first, last):
            seconds = (known - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
            assert checked_buckets(kind, "UTC").around(seconds)[0] == seconds
    for kind in KINDS:
        for seconds in (1e12, -1e11, 1e300):
            with pytest.raises(InvalidQuery, match="give longer buckets"):
                checked_buckets(kind, "UTC").around(seconds)


def test_too_many_buckets_are_refused_while_they_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not only at the end: their number bounds the memory."""
    monkeypatch.setattr(buckets_of, "MOST_BUCKETS", 3)
    tally = Tally(checked_buckets(1, "UTC"))
    tally.add([0.0, 1.0, 2.0])
    assert len(tally.pairs()) == 3
    with pytest.raises(InvalidQuery, match="over 3 buckets"):
        tally.add([3.0])


def test_events_within_one_bucket_are_counted_at_once() -> None:
    tally = Tally(checked_buckets(10, "UTC"))
    assert tally.add_within(3.0, math.nextafter(10.0, 0), 5)
    assert not tally.add_within(3.0, 10.0, 5)
    assert tally.pairs() == [(0.0, 5)]
    calendar: Any = Tally(checked_buckets("day", "UTC"))
    assert not calendar.add_within(1e300, 1e301, 5)
