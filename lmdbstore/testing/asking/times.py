"""The contract of times: numbers of seconds, and datetimes that have a zone."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.errors import InvalidEvent, InvalidQuery
from lmdbstore.testing.helpers import assert_empty, ids, like

if TYPE_CHECKING:
    from lmdbstore.contract.api import EventStore

BERLIN = timezone(timedelta(hours=2))
NOON = datetime(2025, 6, 24, 12, 0, 0, 250_000, UTC)
SECONDS = 1_750_766_400.25  # the same


class NoZone(tzinfo):
    """A zone without an offset: a datetime with it is naive."""

    def utcoffset(self, _: datetime | None) -> Any:
        return None

    def dst(self, _: datetime | None) -> None:
        return None

    def tzname(self, _: datetime | None) -> str:
        return "none"


class FailingZone(NoZone):
    """A zone that cannot say what it is."""

    def utcoffset(self, _: datetime | None) -> NoReturn:
        raise RuntimeError


NO_TIMES: dict[str, Any] = {
    "naive": NOON.replace(tzinfo=None),
    "without-an-offset": NOON.replace(tzinfo=NoZone()),
    "with-a-failing-zone": NOON.replace(tzinfo=FailingZone()),
    "date": date(2025, 6, 24),
    "time": NOON.timetz(),
    "duration": timedelta(seconds=1),
}


class TimesContract:
    """Times of events and of searches."""

    def test_an_aware_datetime_is_a_time(self, store: EventStore) -> None:
        """An event has it as a number, before it is saved and after."""
        event = Event(id="a", timestamp=NOON)
        assert event.timestamp == SECONDS
        assert type(event.timestamp) is float
        other: Any = NOON.astimezone(BERLIN) + timedelta(hours=1)
        store.save_many([event, Event(id="b")._replace(timestamp=other)])
        store.save(like(id="c", timestamp=NOON - timedelta(hours=1)))
        assert store.get("a") == event
        assert [found.timestamp for found in store.search()] == [
            SECONDS - 3600,
            SECONDS,
            SECONDS + 3600,
        ]

    def test_an_event_gives_its_time_as_a_datetime(self, store: EventStore) -> None:
        store.save(Event(id="a", timestamp=NOON.astimezone(BERLIN)))
        found = store.get("a").datetime
        assert found == NOON
        assert found.utcoffset() == timedelta(0)
        for seconds in (0.0, -1.5, -62_135_596_800.0, 253_402_300_799.0):
            event = Event(timestamp=seconds)
            assert Event(timestamp=event.datetime).timestamp == seconds

    def test_any_finite_number_stays_what_it_is(self, store: EventStore) -> None:
        """Milliseconds too; but a datetime has no such year."""
        for number, seconds in enumerate((1_750_766_400_250.0, 1e300, -1e300)):
            store.save(Event(id=f"{number}", timestamp=seconds))
            event = store.get(f"{number}")
            assert event.timestamp == seconds
            with pytest.raises(InvalidEvent, match=r"^timestamp: .*; give seconds since 1970"):
                _ = event.datetime

    def test_a_search_takes_datetimes(self, store: EventStore) -> None:
        """Both ends are inclusive, in any zone."""
        hour = timedelta(hours=1)
        store.save_many(Event(id=f"{n}", timestamp=NOON + n * hour) for n in range(5))
        first, last = (NOON + hour).astimezone(BERLIN), NOON + 3 * hour
        with store.snapshot() as view:
            for one in (store, view):
                assert ids(one.search(first, last)) == ["1", "2", "3"]
                assert ids(one.search(ts_start=last, order="desc")) == ["4", "3"]
                assert one.count(ts_end=first) == 2
                assert one.explain(ts_start=first) == one.explain(ts_start=first.timestamp())
        assert store.count(ts_start=NOON + timedelta(microseconds=1)) == 4
        assert store.count(ts_start=datetime.max.replace(tzinfo=BERLIN)) == 0
        assert store.count(ts_start=datetime.min.replace(tzinfo=BERLIN)) == 5

    @pytest.mark.parametrize("wrong", NO_TIMES.values(), ids=NO_TIMES.keys())
    def test_what_is_no_time_is_refused(self, store: EventStore, wrong: Any) -> None:
        """A naive datetime would be another time in each zone; the message has the remedy."""
        remedy = "aware datetime"
        event = Event(id="a", timestamp=wrong)
        for one in (event, like(timestamp=wrong), Event()._replace(timestamp=wrong)):
            with pytest.raises(InvalidEvent, match=rf"^timestamp: .*{remedy}"):
                store.save(one)
            with pytest.raises(InvalidEvent, match=rf"^timestamp: .*{remedy}"):
                store.save_many([Event(), one])
        for name in ("ts_start", "ts_end"):
            for ask in (store.search, store.count, store.explain):
                asked: Any = ask
                with pytest.raises(InvalidQuery, match=rf"^{name}: .*{remedy}"):
                    asked(**{name: wrong})
        assert_empty(store)

    def test_a_naive_datetime_is_refused_with_both_remedies(self, store: EventStore) -> None:
        naive = NO_TIMES["naive"]
        says = r"it has no time zone; pass an aware .*astimezone\(\).*replace\(tzinfo=timezone.utc"
        with pytest.raises(InvalidEvent, match=says):
            store.save(Event(timestamp=naive))
        with pytest.raises(InvalidQuery, match=says):
            store.search(ts_start=naive)

    def test_a_subclass_of_datetime_cannot_lie(self, store: EventStore) -> None:
        class Lying(datetime):
            def timestamp(self) -> float:
                return math.nan

            def utcoffset(self) -> None:
                return None

        moment = Lying(2025, 6, 24, 12, 0, 0, 250_000, UTC)
        store.save(Event(id="a", timestamp=moment))
        assert store.get("a").timestamp == SECONDS
        assert store.count(moment, moment) == 1
