"""Histograms and facets: they agree with the list, also when they are counted in parts."""

from __future__ import annotations

import itertools
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event
from lmdbstore.web.calls import counting
from lmdbstore.web.limits import Limits
from tests.web.conftest import EVENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore import EventStore
    from tests.tools.asking import Asking

CONDITIONS: list[dict[str, Any]] = [
    {},
    {"since": 1010, "until": 1030.5},
    {"match": "red [3-5]$"},
    {"flag": "even", "since": 1001.5},
    {"any_flag": ["even", "fifth"], "source": "s1"},
    {"not_flag": "even", "until": 1040},
    {"where": '{"status":[">=",50]}'},
    {"match": "nothing"},
    {"since": 1100, "until": 1200},
    {"since": 1200, "until": 1100},
]


@pytest.fixture(params=["whole", "parts"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "parts":
        monkeypatch.setattr(counting, "FIRST", 3)
        monkeypatch.setattr(counting, "GROWTH", 1)


def total(facet: list[dict[str, Any]]) -> int:
    return sum(value["count"] for value in facet)


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("asked", CONDITIONS)
def test_list_histogram_and_facets_agree(asking: Asking, asked: dict[str, Any]) -> None:
    events = asking.get("search", **asked, limit=1000)["events"]
    facets = asking.get("facets", **asked)
    drawn = asking.get("histogram", **asked, buckets=20)
    flags = Counter(flag for event in events for flag in event["tags"])
    sources = Counter(event["source"] for event in events)
    for found, numbers in ((facets["flags"], flags), (facets["sources"], sources)):
        ranked = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
        assert found == [{"value": value, "count": number} for value, number in ranked]
    only_time = not set(asked) - {"since", "until"}
    numbers = drawn["all"] if only_time else drawn["matching"]
    assert (drawn["matching"] is None) == only_time
    assert sum(numbers) == len(events)
    edges = [*drawn["starts"], drawn["end"]]
    for number, low, high in zip(numbers, edges[:-1], edges[1:], strict=True):
        assert number == sum(low <= event["timestamp"] < high for event in events)
    low, high = asked.get("since", 0), asked.get("until", 9e9)
    assert sum(drawn["all"]) == sum(low <= event.timestamp <= high for event in EVENTS)
    assert facets["complete"] is drawn["complete"] is True
    assert facets["reached"] is drawn["reached"] is None


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("asked", [{}, {"match": "red"}, {"since": 1000, "until": 2000}])
def test_all_agree_at_a_position(asking: Asking, store: EventStore, asked: dict[str, Any]) -> None:
    """What was deleted since then is gone."""
    position = asking.get("stats")["position"]
    pinned = {**asked, "at": position}
    before = asking.get("search", **pinned, limit=1000)["events"]
    store.save_many(Event(timestamp=1000.0 + n, content="red", source="late") for n in range(50))
    store.delete_many(f"e{n}" for n in range(0, 100, 9))
    events = asking.get("search", **pinned, limit=1000)["events"]
    assert [event["id"] for event in events] == [
        event["id"] for event in before if event["id"] in store
    ]
    drawn, facets = asking.get("histogram", **pinned), asking.get("facets", **pinned)
    assert sum(drawn["matching"] or drawn["all"]) == total(facets["sources"]) == len(events)
    assert total(asking.get("facets", **asked)["sources"]) == len(events) + 50


def test_columns_are_of_the_range_that_is_asked_for(asking: Asking) -> None:
    drawn = asking.get("histogram")
    assert (drawn["since"], drawn["until"], drawn["step"]) == (1000.0, 1049.0, "500 milliseconds")
    assert len(drawn["all"]) == len(drawn["starts"]) == 99
    drawn = asking.get("histogram", since=0, until=4000, buckets=10)
    assert (drawn["since"], drawn["until"], drawn["seconds"]) == (0, 4000, 600)
    assert drawn["starts"] == [600.0 * n for n in range(7)]
    assert drawn["all"] == [0, 100, 0, 0, 0, 0, 0]
    drawn = asking.get("histogram", since=0, until=86_400, zone="Asia/Kathmandu", buckets=12)
    assert (drawn["step"], drawn["zone"]) == ("3 hours", "Asia/Kathmandu")
    assert drawn["starts"][0] == -5.5 * 3600 % -10_800


def test_a_range_without_events_has_columns_if_it_has_ends(
    asking: Asking, store: EventStore
) -> None:
    drawn = asking.get("histogram", since=5000, until=5010)
    assert drawn["all"] == [0] * len(drawn["starts"])
    assert drawn["starts"]
    for asked in ({"since": 5000}, {"until": 5}, {"since": 6000, "until": 5000}):
        drawn = asking.get("histogram", **asked, match="x")
        assert drawn["starts"] == drawn["all"] == drawn["matching"] == []
        assert drawn["end"] is drawn["since"] is None
    store.delete_many(event.id for event in EVENTS)
    assert asking.get("histogram")["starts"] == []
    assert asking.get("facets", since=1)["flags"] == asking.get("facets")["flags"] == []


@pytest.mark.parametrize("call", ["histogram", "facets"])
def test_counting_ends_at_its_limit_newest_first(
    store: EventStore,
    asking_with: Callable[[Limits], Asking],
    monkeypatch: pytest.MonkeyPatch,
    call: str,
) -> None:
    monkeypatch.setattr(counting, "FIRST", 10)
    monkeypatch.setattr(counting, "GROWTH", 1)
    clock = itertools.count()  # a second between two looks at it
    monkeypatch.setattr(counting, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    store.save_many(EVENTS)
    answer = asking_with(Limits(counting=9.0)).get(call, match="red")
    reached = answer["reached"]
    assert (answer["complete"], 1000 < reached < 1049) == (False, True)
    counted = store.count(ts_start=reached, match="red")
    found = sum(answer["matching"]) if call == "histogram" else total(answer["sources"])
    assert found == counted > 0
    none = asking_with(Limits(counting=0.0)).get(call, match="red")
    assert (none["complete"], none["reached"]) == (False, None)


def test_values_are_ranked_and_limited(asking: Asking) -> None:
    answer = asking.get("facets", limit=2)
    assert [one["value"] for one in answer["flags"]] == ["all", "even"]
    assert answer["sources"] == [{"value": "s0", "count": 34}, {"value": "s1", "count": 33}]


def test_events_of_one_moment_are_counted(store: EventStore, asking: Asking) -> None:
    """They cannot be divided by time."""
    store.save_many(Event(f"x{n}", "moment", 1.5e9) for n in range(500))
    drawn = asking.get("histogram", source="moment", since=1.5e9)
    assert (drawn["all"], drawn["matching"], drawn["step"]) == ([500], [500], "1 second")


def test_events_of_any_time_are_counted(store: EventStore, asking: Asking) -> None:
    store.save_many(Event(f"x{n}", "far", n * 1.7e308, [], "red") for n in (-1, 1))
    assert total(asking.get("facets", match="red")["sources"]) == 92
    assert asking.fails("histogram").error["field"] == "since"
    assert sum(asking.get("histogram", since=0, until=1e300)["all"]) == 100
