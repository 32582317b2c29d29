"""The contract of histogram, facets and sources: what they count, and what they refuse."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore.contract.counting.facets import Facet
from lmdbstore.contract.event import Event
from lmdbstore.errors import EventReadException, InvalidQuery
from lmdbstore.testing.helpers import LONE, save_all
from lmdbstore.testing.queries import CHOICES, EVENTS, INVALID, INVALID_LIMITS

from .times import FailingZone, NoZone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmdbstore.contract.api import EventStore, EventView

CONDITIONS = [name for name in CHOICES if name not in {"order", "limit", "after"}]
REFUSED = {
    key: value
    for key, value in {**INVALID, **INVALID_LIMITS}.items()
    if value[0] in {*CONDITIONS, "timeout"}
}
BUCKETS: dict[str, dict[str, Any]] = {
    "bucket-zero": {"bucket": 0},
    "bucket-negative": {"bucket": -1.0},
    "bucket-nan": {"bucket": math.nan},
    "bucket-infinite": {"bucket": math.inf},
    "bucket-boolean": {"bucket": True},
    "bucket-word": {"bucket": "week"},
    "bucket-number-as-text": {"bucket": "60"},
    "bucket-bytes": {"bucket": b"day"},
    "bucket-none": {"bucket": None},
    "tz-unknown": {"bucket": "day", "tz": "Mars/Base"},
    "tz-empty": {"bucket": "day", "tz": ""},
    "tz-none": {"bucket": "day", "tz": None},
    "tz-number": {"bucket": 60, "tz": 2},
    "tz-path": {"bucket": "day", "tz": "../Europe/Berlin"},
    "tz-surrogate": {"bucket": "day", "tz": LONE},
    "tz-offset-of-a-day": {"bucket": "day", "tz": "+24:00"},
    "tz-that-fails": {"bucket": "day", "tz": FailingZone()},
    "tz-without-an-offset": {"bucket": "day", "tz": NoZone()},
}
FACETS: dict[str, dict[str, Any]] = {
    "of-text": {"of": "flags"},
    "of-unknown": {"of": ["flags", "content"]},
    "of-number": {"of": 7},
    "of-with-a-number": {"of": ["flags", 7]},
    "of-none": {"of": None},
    "limit-negative": {"limit": -1},
    "limit-text": {"limit": "10"},
    "limit-boolean": {"limit": True},
}
MIDNIGHT = datetime(2025, 3, 1, tzinfo=UTC).timestamp()


def at(*times: float) -> list[Event]:
    """Return an event at each time, in seconds."""
    return [Event(timestamp=time) for time in times]


def seconds(text: str) -> float:
    """Return a time in ISO 8601 as seconds."""
    return datetime.fromisoformat(text).timestamp()


def expected(events: Iterable[Event], bucket: float) -> list[tuple[float, int]]:
    """Return a histogram, by the simplest code."""
    numbers = Counter(math.floor(event.timestamp / bucket) for event in events)
    if not numbers:
        return []
    return [(n * bucket, numbers[n]) for n in range(min(numbers), max(numbers) + 1)]


def ranked(values: Iterable[str], limit: int | None = 10) -> Facet:
    """Return a facet, by the simplest code."""
    numbers = Counter(values)
    order = sorted(numbers, key=lambda value: (-numbers[value], value))
    shown = order[:limit]
    return Facet({value: numbers[value] for value in shown}, len(order) - len(shown))


class CountingContract:
    """How many events there are by time, and by what they carry."""

    @pytest.mark.parametrize("match", CHOICES["match"])
    def test_every_combination_of_conditions(self, store: EventStore, match: str | None) -> None:
        """What is counted is what a search finds."""
        save_all(store, EVENTS)
        names = [name for name in CONDITIONS if name != "match"]
        for values in product(*(CHOICES[name] for name in names)):
            conditions = {"match": match} | dict(zip(names, values, strict=True))
            found = list(store.search(**conditions))
            for bucket in (0.5, 1, 2.5):
                assert store.histogram(bucket, **conditions) == expected(found, bucket)
            flags = ranked(flag for event in found for flag in event.tags)
            sources = ranked(event.source for event in found)
            facets = store.facets(**conditions)
            assert facets == {"flags": flags, "source": sources}, conditions
            assert list(facets["flags"].values) == list(flags.values)

    def test_an_empty_store_has_no_buckets_and_no_values(self, store: EventStore) -> None:
        for bucket in (1.5, "hour", "day", "month"):
            assert store.histogram(bucket) == []
        assert store.facets() == {"flags": Facet({}, 0), "source": Facet({}, 0)}
        assert store.sources() == {}

    def test_a_start_belongs_to_its_bucket_and_an_end_to_the_next(self, store: EventStore) -> None:
        save_all(store, at(10.0, math.nextafter(20.0, 0), 20.0, -0.5, 0.0))
        assert store.histogram(10) == [(-10.0, 1), (0.0, 1), (10.0, 2), (20.0, 1)]
        assert store.histogram(1e9) == [(-1e9, 1), (0.0, 4)]
        assert [number for _, number in store.histogram(0.1)][:6] == [1, 0, 0, 0, 0, 1]

    def test_buckets_without_events_are_there(self, store: EventStore) -> None:
        save_all(store, at(0.0, 35.0, 36.0))
        assert store.histogram(10) == [(0.0, 1), (10.0, 0), (20.0, 0), (30.0, 2)]
        assert store.histogram(10, ts_start=1) == [(30.0, 2)]

    def test_hours_days_and_months_of_utc(self, store: EventStore) -> None:
        save_all(store, at(MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 3600.5))
        assert store.histogram("hour") == [
            (MIDNIGHT - 3600, 1),
            (MIDNIGHT, 1),
            (MIDNIGHT + 3600, 1),
        ]
        assert store.histogram("day") == [(MIDNIGHT - 86_400, 1), (MIDNIGHT, 2)]
        assert store.histogram("month") == [(MIDNIGHT - 28 * 86_400, 1), (MIDNIGHT, 2)]
        assert store.histogram("day", "+01:00") == [(MIDNIGHT - 3600, 3)]
        zone = timezone(timedelta(hours=-5))
        assert store.histogram("day", zone) == [(MIDNIGHT - 19 * 3600, 3)]

    def test_days_of_23_and_25_hours(self, store: EventStore) -> None:
        spring, autumn = seconds("2025-03-30T00:00+01:00"), seconds("2025-10-26T00:00+02:00")
        for begin, hours in ((spring, 23), (autumn, 25)):
            last = begin + hours * 3600 - 1
            store.save_many(at(begin - 1, begin, last, last + 1))
            found = store.histogram("day", "Europe/Berlin", ts_start=begin - 1, ts_end=last + 1)
            assert found == [(begin - 86_400, 1), (begin, 2), (last + 1, 1)]

    def test_hours_where_the_clock_is_set(self, store: EventStore) -> None:
        """One is missing in spring; in autumn two have the same name."""
        for begin, number in (("2025-03-30T00:00+01:00", 5), ("2025-10-26T00:00+02:00", 5)):
            first = seconds(begin)
            starts = [first + n * 3600 for n in range(number)]
            store.save_many(at(*(start + 1800 for start in starts)))
            end = starts[-1] + 3600
            found = store.histogram("hour", "Europe/Berlin", ts_start=first, ts_end=end)
            assert found == [(start, 1) for start in starts]

    def test_a_day_that_a_zone_left_out_has_no_bucket(self, store: EventStore) -> None:
        save_all(store, at(seconds("2011-12-29T12:00-10:00"), seconds("2011-12-31T12:00+14:00")))
        starts = [seconds("2011-12-29T00:00-10:00"), seconds("2011-12-31T00:00+14:00")]
        assert store.histogram("day", "Pacific/Apia") == [(start, 1) for start in starts]

    def test_too_many_buckets_are_refused_with_the_remedy(self, store: EventStore) -> None:
        save_all(store, at(0.0, 99_999.0))
        assert len(store.histogram(1)) == 100_000
        save_all(store, at(100_000.0))
        for asked in (1, 0.5, 1e-9):
            with pytest.raises(InvalidQuery, match=r"^bucket: .* longer buckets.* ts_start"):
                store.histogram(asked)
        assert len(store.histogram(1, ts_start=1)) == 2
        assert len(store.histogram("hour")) == 28

    def test_times_without_a_bucket_are_refused_with_the_remedy(self, store: EventStore) -> None:
        """No calendar has these, or no number tells the bucket from the next one."""
        save_all(store, at(1e15, 1e300))
        for bucket in (0.1, "hour", "day", "month"):
            with pytest.raises(
                InvalidQuery, match=r"^bucket: .*1000000000000000\.0; give .*ts_end"
            ):
                store.histogram(bucket)
        assert store.histogram(1e299)[-1][1] == 1
        assert store.histogram("day", ts_end=1e14) == []

    def test_values_are_ranked_by_number_and_then_by_text(self, store: EventStore) -> None:
        tags = [["c"], ["c", "b"], ["b"], ["a"], ["é"], []]
        save_all(store, [Event(source="s", tags=some) for some in tags])
        facet = store.facets(["flags"])["flags"]
        assert (list(facet.values.items()), facet.others) == (
            [("b", 2), ("c", 2), ("a", 1), ("é", 1)],
            0,
        )
        for limit in range(6):
            facet = store.facets(["flags"], limit)["flags"]
            assert (len(facet.values), facet.others) == (min(limit, 4), max(4 - limit, 0))
        assert store.facets(limit=None)["flags"].others == 0
        assert list(store.facets(["source"])) == ["source"]
        assert store.facets([]) == {}
        assert list(store.facets(iter(["source", "flags", "source"]))) == ["source", "flags"]

    def test_sources_of_any_text(self, store: EventStore) -> None:
        texts = ["door", "", "x" * 600, "x" * 601, "\0\n𝄞"]
        save_all(store, [Event(source=text, tags=["door"]) for text in [*texts, "door"]])
        assert store.sources() == dict.fromkeys(texts, 1) | {"door": 2}
        assert list(store.sources()) == sorted(texts)
        assert set(store.facets(ts_start=0)["source"].values) == set(texts)

    def test_deleted_events_are_not_counted(self, store: EventStore) -> None:
        save_all(store, [Event(str(n), f"s{n % 3}", float(n), [f"f{n % 2}"]) for n in range(9)])
        for n in (0, 3, 6, 8):
            store.delete(str(n))
        assert store.histogram(3) == [(0.0, 2), (3.0, 2), (6.0, 1)]
        assert store.sources() == {"s1": 3, "s2": 2}
        assert store.facets()["flags"] == Facet({"f1": 3, "f0": 2}, 0)

    def test_a_snapshot_counts_what_the_store_held(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        view: EventView
        with store.snapshot() as view:
            before = view.histogram(1), view.facets(), view.sources(), view.facets(flags=["a"])
            store.delete("1")
            store.save(Event("new", "new", 2.0, ["a", "new"]))
            after = view.histogram(1), view.facets(), view.sources(), view.facets(flags=["a"])
            assert after == before
            assert store.sources()["new"] == 1

    @pytest.mark.parametrize(("name", "value"), [*REFUSED.values()], ids=[*REFUSED])
    def test_a_bad_condition_is_refused(self, store: EventStore, name: str, value: Any) -> None:
        save_all(store, EVENTS)
        condition = {name: value}
        with store.snapshot() as view:
            for one in (store, view):
                assert_refused(name, lambda one=one: one.histogram(1, **condition))
                assert_refused(name, lambda one=one: one.facets(**condition))

    @pytest.mark.parametrize("arguments", BUCKETS.values(), ids=BUCKETS)
    def test_a_bad_bucket_is_refused(self, store: EventStore, arguments: dict[str, Any]) -> None:
        *_, name = arguments
        assert_refused(name, lambda: store.histogram(**arguments))

    @pytest.mark.parametrize("arguments", FACETS.values(), ids=FACETS)
    def test_a_bad_field_is_refused(self, store: EventStore, arguments: dict[str, Any]) -> None:
        *_, name = arguments
        assert_refused(name, lambda: store.facets(**arguments))


def assert_refused(name: str, call: Any) -> None:
    """Check that a call is refused by the name of an argument."""
    with pytest.raises(InvalidQuery, match=name) as info:
        call()
    assert isinstance(info.value, EventReadException)
    str(info.value).encode("utf-8")
