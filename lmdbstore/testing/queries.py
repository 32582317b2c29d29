"""The contract of the arguments of search, count and explain, and of their refusals."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.contract.left_out import LeftOut
from lmdbstore.errors import EventReadException, InvalidQuery

from .helpers import LONE, assert_empty, ids, save_all

if TYPE_CHECKING:
    from lmdbstore.contract.api import EventStore, EventView
    from lmdbstore.contract.types import Damaged, Order

EVENTS = [
    Event("1", "door", 2.0, ["a"], "opened by force"),
    Event("2", "roof", 1.0, ["a", "b"], "closed"),
    Event("3", "door", 2.0, ["b", "a"], "closed"),
    Event("4", "door", -1.0, ["b"], "opened"),
    Event("5", "", 3.0, [], ""),
    Event("6", "roof", 2.0, ["a", "b", "ab"], "it is open\nor opened"),
    Event("7", "door", 2.0, ["ab"], "opened"),
    Event("8", "door", 0.0, ["a", "b"], "OPENED"),
]

CHOICES: dict[str, list[Any]] = {
    "ts_start": [None, 0.0, 2.0],
    "ts_end": [None, 2.0, 1.5],
    "flags": [None, ["a"], ["b", "a"], ["a", "absent"]],
    "match": [None, "open", "^opened$"],
    "order": ["asc", "desc"],
    "source": [None, "door", ""],
    "limit": [None, 0, 2],
    "after": [None, EVENTS[2], EVENTS[3]],
}

INVALID = {
    "ts_start-nan": ("ts_start", math.nan),
    "ts_start-text": ("ts_start", "1"),
    "ts_start-huge-integer": ("ts_start", 10**400),
    "ts_start-list": ("ts_start", [1.0]),
    "ts_end-nan": ("ts_end", math.nan),
    "ts_end-text": ("ts_end", "tomorrow"),
    "ts_end-bytes": ("ts_end", b"1"),
    "flags-string": ("flags", "door"),
    "flags-empty-string": ("flags", ""),
    "flags-bytes": ("flags", b"door"),
    "flags-number": ("flags", 7),
    "flags-with-a-number": ("flags", ["door", 7]),
    "flags-with-none": ("flags", ["door", None]),
    "flags-with-bytes": ("flags", [b"door"]),
    "flags-with-a-surrogate": ("flags", [LONE]),
    "match-number": ("match", 7),
    "match-bytes": ("match", b"door"),
    "match-compiled": ("match", re.compile("door")),
    "match-open-group": ("match", "("),
    "match-open-class": ("match", "[a"),
    "match-nothing-to-repeat": ("match", "*"),
    "match-surrogate": ("match", LONE),
    "order-none": ("order", None),
    "order-unknown": ("order", "up"),
    "order-capitals": ("order", "ASC"),
    "order-boolean": ("order", True),
    "order-list": ("order", ["asc"]),
    "source-number": ("source", 7),
    "source-bytes": ("source", b"door"),
    "source-surrogate": ("source", LONE),
    "damaged-none": ("damaged", None),
    "damaged-unknown": ("damaged", "ignore"),
    "damaged-boolean": ("damaged", True),
    "limit-negative": ("limit", -1),
    "limit-boolean": ("limit", True),
    "limit-float": ("limit", 1.0),
    "limit-text": ("limit", "1"),
    "after-number": ("after", 7),
    "after-bytes": ("after", b"1@1.0"),
    "after-empty": ("after", ""),
    "after-rubbish": ("after", "rubbish"),
    "after-an-id": ("after", "1"),
    "after-surrogate": ("after", LONE),
}
INVALID_LIMITS = {
    "timeout-negative": ("timeout", -0.5),
    "timeout-nan": ("timeout", math.nan),
    "timeout-boolean": ("timeout", True),
    "timeout-text": ("timeout", "1"),
    "timeout-list": ("timeout", [1.0]),
}


def expected(  # noqa: PLR0913  the parameters of the contract
    *,
    ts_start: float | None,
    ts_end: float | None,
    flags: list[str] | None,
    match: str | None,
    order: Order,
    source: str | None,
    limit: int | None,
    after: Event | None,
) -> list[Event]:
    """Return what a search of `EVENTS` must find, by the simplest code."""
    found = sorted(EVENTS, key=lambda event: event.timestamp)  # stable: the order of saving stays
    if order == "desc":
        found.reverse()
    if after is not None:
        found = found[found.index(after) + 1 :]
    if ts_start is not None:
        found = [event for event in found if event.timestamp >= ts_start]
    if ts_end is not None:
        found = [event for event in found if event.timestamp <= ts_end]
    if flags is not None:
        found = [event for event in found if set(flags) <= set(event.tags)]
    if match is not None:
        found = [event for event in found if re.search(match, event.content)]
    if source is not None:
        found = [event for event in found if event.source == source]
    return found if limit is None else found[:limit]


class QueryContract:
    """What a search finds, and which arguments it refuses."""

    @pytest.mark.parametrize("order", CHOICES["order"])
    @pytest.mark.parametrize("match", CHOICES["match"])
    def test_every_combination_of_arguments(
        self, store: EventStore, match: str | None, order: Order
    ) -> None:
        """A search finds the events that meet every condition, in order; count agrees."""
        save_all(store, EVENTS)
        names = [name for name in CHOICES if name not in ("match", "order")]
        for values in product(*(CHOICES[name] for name in names)):
            arguments = {"match": match, "order": order} | dict(zip(names, values, strict=True))
            wanted = expected(**arguments)
            assert ids(store.search(**arguments)) == ids(wanted), arguments
            assert store.count(**arguments) == len(wanted), arguments

    def test_arguments_by_position(self, store: EventStore) -> None:
        """Their order is that of Theia's API; arguments that it lacks are keyword-only."""
        save_all(store, EVENTS)
        arguments: tuple[float, float, list[str], str, Order] = (0.0, 2.0, ["a"], "open", "desc")
        assert ids(store.search(*arguments)) == ["6", "1"]
        assert store.count(*arguments) == 2
        assert store.explain(*arguments)
        for method in (store.search, store.count, store.explain):
            call: Any = method
            with pytest.raises(TypeError):
                call(*arguments, "door")

    def test_every_event_is_found_without_arguments(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        assert ids(store.search()) == ["4", "8", "2", "1", "3", "6", "7", "5"]
        assert ids(store.search(order="desc")) == ["5", "7", "6", "3", "1", "2", "8", "4"]
        assert len(store) == store.count() == len(EVENTS)

    def test_a_start_of_0_is_a_bound(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        assert "4" not in ids(store.search(0))
        assert ids(store.search(ts_end=0)) == ["4", "8"]
        assert ids(store.search(0, 0)) == ["8"]
        assert ids(store.search(-0.0, -0.0)) == ["8"]

    def test_bounds_below_0(self, store: EventStore) -> None:
        times = [-5e9, -2.0, -1.5, -1.0, -1e-9, 1.0]
        save_all(store, [Event(str(time), timestamp=time) for time in times])
        assert ids(store.search(-2.0, -1.0)) == ["-2.0", "-1.5", "-1.0"]
        assert ids(store.search(-2.0, -1.0, order="desc")) == ["-1.0", "-1.5", "-2.0"]
        assert ids(store.search(ts_end=-1.6)) == [str(-5e9), "-2.0"]

    def test_infinite_bounds_are_no_bounds(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        save_all(store, [Event("max", timestamp=1.7976931348623157e308)])
        assert store.count(-math.inf, math.inf) == len(EVENTS) + 1
        assert store.count(math.inf) == 0
        assert store.count(ts_end=-math.inf) == 0
        assert store.count(math.inf, math.inf) == 0

    def test_a_reversed_range_holds_nothing(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        for order in ("asc", "desc"):
            assert list(store.search(2.0, 1.0, order=order)) == []
            assert list(store.search(math.inf, -math.inf, order=order)) == []

    def test_bounds_may_be_any_real_number(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        bounds: list[Any] = [2, Decimal(2), Fraction(2)]
        for bound in bounds:
            assert store.count(bound, bound) == 4

    def test_flags_may_be_any_collection_of_strings(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        for flags in (["a", "b"], ("b", "a"), {"a", "b"}, iter(["a", "b", "a"])):
            assert ids(store.search(flags=flags)) == ["8", "2", "3", "6"]

    def test_no_flags_are_no_condition(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        assert store.count(flags=[]) == len(EVENTS)

    def test_a_flag_that_no_event_has(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        for flag in ("", "A", "abc", "x" * 1000):
            assert list(store.search(flags=[flag])) == []
            assert list(store.search(flags=["a", flag])) == []

    def test_a_pattern_is_found_anywhere_in_the_content(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        assert ids(store.search(match="losed")) == ["2", "3"]
        assert ids(store.search(match="^losed")) == []
        assert ids(store.search(match="by|it")) == ["1", "6"]
        assert ids(store.search(match="^$")) == ["5"]
        assert store.count(match="") == len(EVENTS)

    def test_a_pattern_is_not_found_in_other_fields(self, store: EventStore) -> None:
        save_all(store, [Event("id", "source", 7.5, ["tag"], "content")])
        for elsewhere in ("id", "source", "7.5", "tag", "\\[", '"'):
            assert store.count(match=elsewhere) == 0
        assert store.count(match="^content$") == 1

    def test_a_pattern_sees_one_content_at_a_time(self, store: EventStore) -> None:
        """The contents of neighbours in the timeline are not joined."""
        contents = {"1": "one", "2": "two", "3": ""}
        save_all(store, [Event(id_, "s", 1.0, [], text) for id_, text in contents.items()])
        assert store.count(match="onetwo") == 0
        assert store.count(match=r"one\ntwo") == 0
        assert store.count(match=r"one\s") == 0
        assert ids(store.search(match="^two$")) == ["2"]
        assert ids(store.search(match="^$")) == ["3"]
        assert ids(store.search(match="[^x]$")) == ["1", "2"]

    def test_a_limit_larger_than_the_result(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        assert store.count(limit=100) == len(EVENTS)
        assert store.count(limit=10**30) == len(EVENTS)

    def test_a_limit_of_0(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        with pytest.raises(StopIteration):
            next(store.search(limit=0))
        assert store.count(limit=0) == 0

    @pytest.mark.parametrize(
        ("name", "value"),
        [*INVALID.values(), *INVALID_LIMITS.values()],
        ids=[*INVALID, *INVALID_LIMITS],
    )
    def test_a_bad_argument_is_refused_at_the_call(
        self, store: EventStore, name: str, value: Any
    ) -> None:
        """Not at the first `next`; the message names the argument; empty stores refuse it too."""
        assert_refused(store, {name: value})
        save_all(store, EVENTS)
        assert_refused(store, {name: value})
        with store.snapshot() as view:
            assert_refused(view, {name: value})

    def test_a_bad_argument_is_refused_even_if_nothing_can_match(self, store: EventStore) -> None:
        nothing: list[dict[str, Any]] = [{"limit": 0}, {"ts_start": 2.0, "ts_end": 1.0}]
        for arguments in nothing:
            assert_refused(store, {**arguments, "match": "("})
            assert_refused(store, {**arguments, "after": "rubbish"})
        assert_empty(store)

    @pytest.mark.parametrize("damaged", ["raise", "skip"])
    def test_nothing_is_left_out_of_a_store_without_damage(
        self, store: EventStore, damaged: Damaged
    ) -> None:
        save_all(store, EVENTS)
        for match in CHOICES["match"]:
            search = store.search(match=match, damaged=damaged, limit=3)
            found = list(search) + list(store.search(match=match, after=search.token))
            assert found == list(store.search(match=match))
            assert not search.left_out
            count = store.count(match=match, damaged=damaged)
            assert (count, count.left_out) == (len(found), LeftOut(0, 0, 0))
        assert store.explain(damaged=damaged).strip()

    def test_explain_describes_any_search(self, store: EventStore) -> None:
        assert store.explain().strip()
        save_all(store, EVENTS)
        for name, values in CHOICES.items():
            for value in values:
                argument: dict[str, Any] = {name: value}
                assert store.explain(**argument).strip()

    def test_explain_of_odd_flags_and_times(self, store: EventStore) -> None:
        """Any text and any time can be explained, and the explanation can be printed."""
        save_all(store, EVENTS)
        text = store.explain(-1e300, 1e300, ["\0\n\U0010ffff", "x" * 1000], "\n", source="\0")
        assert text.encode("utf-8")


def assert_refused(view: EventView, arguments: dict[str, Any]) -> None:
    """Check that search, count and explain refuse the last of the arguments by its name."""
    *_, name = arguments
    for ask in (view.search, view.count, view.explain):
        with pytest.raises(InvalidQuery, match=name) as info:
            ask(**arguments)
        assert isinstance(info.value, EventReadException)
        assert isinstance(info.value, ValueError)
        str(info.value).encode("utf-8")
