"""The columns of a histogram."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore.web.calls.steps import columns, zone_of
from lmdbstore.web.refusals import Refusal
from tests.tools.properties import examples

BERLIN = zone_of("Europe/Berlin")


def local(seconds: float) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return moment.astimezone(BERLIN).strftime("%a %Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("days", "most", "name", "first", "second"),
    [
        (0.01, 100, "10 seconds", "Wed 2024-03-27 13:46:40", "Wed 2024-03-27 13:46:50"),
        (3, 100, "1 hour", "Wed 2024-03-27 13:00:00", "Wed 2024-03-27 14:00:00"),
        (30, 100, "12 hours", "Wed 2024-03-27 12:00:00", "Thu 2024-03-28 00:00:00"),
        (90, 100, "1 day", "Wed 2024-03-27 00:00:00", "Thu 2024-03-28 00:00:00"),
        (400, 100, "1 week", "Mon 2024-03-25 00:00:00", "Mon 2024-04-01 00:00:00"),
        (2000, 100, "1 month", "Fri 2024-03-01 00:00:00", "Mon 2024-04-01 00:00:00"),
        (8000, 100, "3 months", "Mon 2024-01-01 00:00:00", "Mon 2024-04-01 00:00:00"),
        (30_000, 100, "1 year", "Mon 2024-01-01 00:00:00", "Wed 2025-01-01 00:00:00"),
        (500_000, 100, "50 years", "Sat 2000-01-01 00:00:00", "Sat 2050-01-01 00:00:00"),
    ],
)
def test_columns_begin_at_round_times_of_the_zone(
    days: float, most: int, name: str, first: str, second: str
) -> None:
    found = columns(1_711_543_600.0, 1_711_543_600.0 + days * 86_400, most, BERLIN)
    assert found.step.name == name
    assert [local(start) for start in found.starts[:2]] == [first, second]


def test_days_have_the_length_that_the_clock_gives_them() -> None:
    found = columns(1_711_600_000.0, 1_712_200_000.0, 20, BERLIN)  # over 2024-03-31
    lengths = {b - a for a, b in pairwise(found.starts)}
    assert (found.step.name, lengths) == ("12 hours", {12 * 3600, 11 * 3600})


@examples(200)
@given(
    st.floats(-5.9e10, 2.4e11) | st.floats(-1e15, 1e15),
    st.floats(0, 1e4) | st.floats(0, 1e9) | st.floats(0, 1e12),
    st.integers(3, 500),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "+05:45"]),
)
def test_columns_cover_the_range_without_a_gap(
    since: float, span: float, most: int, zone: str
) -> None:
    until = since + span
    found = columns(since, until, most, zone_of(zone))
    assert 1 <= len(found.starts) <= most
    assert found.starts[0] <= since
    assert until < found.end
    edges = [*found.starts, found.end]
    assert all(a < b for a, b in pairwise(edges))
    numbers = [0] * len(found.starts)
    found.add(numbers, [(start, 1) for start in found.starts])
    assert numbers == [1] * len(found.starts)


def test_a_range_without_a_length_has_a_refusal() -> None:
    with pytest.raises(Refusal, match=r"since: -1\.7e\+308 .* shorter"):
        columns(-1.7e308, 1.7e308, 100, BERLIN)
