"""The contract of the order of events, of tokens and `after`, and of the search as an iterator."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.contract.search import Search
from lmdbstore.errors import EventNotFound

from .helpers import ids, save_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore.contract.api import EventStore, EventView
    from lmdbstore.contract.types import Order

ORDERS = pytest.mark.parametrize("order", ["asc", "desc"])

# In the order of saving: five events at 2.0, one before them and one after them in time. Every
# second event has a flag.
TIMES = [("e", 2.0), ("b", 2.0), ("z", 3.0), ("d", 2.0), ("y", 1.0), ("a", 2.0), ("c", 2.0)]
EVENTS = [
    Event(id_, "s", time, ["f"] * (number % 2), f"text {id_}")
    for number, (id_, time) in enumerate(TIMES)
]
MOST_PAGES = len(EVENTS) + 2  # a store that repeats events would give pages without end
IN_ORDER: dict[Order, list[str]] = {"asc": list("yebdacz"), "desc": list("zcadbey")}


def pages_by_token(view: EventView, order: Order, limit: int) -> Iterator[list[Event]]:
    """Read all events in pages, each after the token of the page before."""
    token: str | None = None
    for _ in range(MOST_PAGES):
        search = view.search(order=order, limit=limit, after=token)
        page = list(search)
        if not page:
            return
        yield page
        token = search.token


def pages_by_event(view: EventView, order: Order, limit: int) -> Iterator[list[Event]]:
    """Read all events in pages, each after the last event of the page before."""
    page: list[Event] = []
    for _ in range(MOST_PAGES):
        page = list(view.search(order=order, limit=limit, after=page[-1] if page else None))
        if not page:
            return
        yield page


class PagingContract:
    """The order of events, continuing a search, and iteration."""

    def test_equal_timestamps_come_in_the_order_of_saving(self, store: EventStore) -> None:
        """In "desc", the order is exactly reversed."""
        save_all(store, EVENTS)
        assert ids(store.search()) == IN_ORDER["asc"]
        assert ids(store.search(order="desc")) == IN_ORDER["desc"]

    def test_order_holds_for_events_found_by_flag_and_pattern(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        flagged = {id_ for number, (id_, _) in enumerate(TIMES) if number % 2}
        for order, names in IN_ORDER.items():
            wanted = [name for name in names if name in flagged]
            assert ids(store.search(flags=["f"], order=order)) == wanted
            assert ids(store.search(match="text [a-d]", order=order)) == [
                name for name in names if name <= "d"
            ]

    def test_an_event_saved_again_comes_after_equal_timestamps(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        store.delete("e")
        store.save(EVENTS[0])
        assert ids(store.search()) == list("ybdacez")

    def test_an_event_saved_late_is_found_in_time_order(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        store.save(Event("late", timestamp=1.5))
        assert ids(store.search(limit=2)) == ["y", "late"]

    @ORDERS
    @pytest.mark.parametrize("limit", range(1, len(EVENTS) + 2))
    @pytest.mark.parametrize("pages", [pages_by_token, pages_by_event])
    def test_paging_loses_and_repeats_nothing(
        self, store: EventStore, pages: Any, limit: int, order: Order
    ) -> None:
        save_all(store, EVENTS)
        found = list(pages(store, order, limit))
        names = IN_ORDER[order]
        assert [ids(page) for page in found] == [
            names[place : place + limit] for place in range(0, len(names), limit)
        ]

    @ORDERS
    def test_after_each_event(self, store: EventStore, order: Order) -> None:
        """`after` takes the event, another event with the same id, or the token of the search."""
        save_all(store, EVENTS)
        names = IN_ORDER[order]
        search = store.search(order=order)
        for place, event in enumerate(search, 1):
            alone = Event(event.id, "other", 9.0)
            for after in (event, alone, search.token):
                assert ids(store.search(order=order, after=after)) == names[place:]
                assert store.count(order=order, after=after) == len(names) - place

    @ORDERS
    def test_after_in_the_other_order(self, store: EventStore, order: Order) -> None:
        """A token is a position, from which a search may read in either order."""
        save_all(store, EVENTS)
        search = store.search(order=order)
        other: Order = "desc" if order == "asc" else "asc"
        read: list[str] = []
        for event in search:
            assert ids(store.search(order=other, after=search.token)) == read[::-1]
            read.append(event.id)

    def test_after_with_conditions(self, store: EventStore) -> None:
        """The event or token of `after` need not meet the other conditions."""
        save_all(store, EVENTS)
        search = store.search(limit=1)
        list(search)
        assert ids(store.search(2.0, 2.0, after=search.token)) == list("ebdac")
        assert ids(store.search(2.0, 2.0, after=EVENTS[3])) == list("ac")
        assert ids(store.search(2.0, 2.0, ["f"], after=EVENTS[0])) == list("bda")
        assert ids(store.search(2.0, 2.0, after=EVENTS[2])) == []
        assert ids(store.search(2.0, 2.0, after=EVENTS[2], order="desc")) == list("cadbe")

    @ORDERS
    def test_a_token_outlives_its_event(self, store: EventStore, order: Order) -> None:
        save_all(store, EVENTS)
        names = IN_ORDER[order]
        search = store.search(order=order)
        for place, event in enumerate(search, 1):
            store.delete(event.id)
            assert ids(store.search(order=order, after=search.token)) == names[place:]

    def test_a_token_finds_events_saved_after_it(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        search = store.search()
        list(search)
        save_all(store, [Event("same", timestamp=3.0), Event("later", timestamp=4.0)])
        assert ids(store.search(after=search.token)) == ["same", "later"]

    def test_after_an_unknown_event(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        for ask in (store.search, store.count, store.explain):
            with pytest.raises(EventNotFound, match="absent"):
                ask(after=Event("absent", "s", 2.0))
        store.delete("e")
        with pytest.raises(EventNotFound):
            store.search(after=EVENTS[0])

    @ORDERS
    def test_the_token_follows_each_event(self, store: EventStore, order: Order) -> None:
        """It is None before the first event, new for each event, and stays after the last."""
        save_all(store, EVENTS)
        search = store.search(order=order)
        seen: list[str | None] = [search.token]
        assert seen == [None]
        for event in search:
            assert search.token not in seen
            assert next(store.search(order=order, after=seen[-1])) == event
            seen.append(search.token)
        assert isinstance(seen[-1], str)
        assert search.token == seen[-1]
        with pytest.raises(StopIteration):
            next(search)
        assert search.token == seen[-1]

    def test_the_token_before_the_first_event_is_the_one_given(self, store: EventStore) -> None:
        """So it is if nothing is found: a client that follows a store keeps its position."""
        save_all(store, EVENTS)
        search = store.search()
        next(search)
        token = search.token
        assert store.search(after=token).token == token
        for arguments in ({"flags": ["absent"]}, {"limit": 0}, {"ts_end": -9.0}):
            conditions: dict[str, Any] = arguments
            search = store.search(after=token, **conditions)
            assert list(search) == []
            assert search.token == token

    def test_the_token_of_a_search_that_finds_nothing(self, store: EventStore) -> None:
        search = store.search()
        assert list(search) == []
        assert search.token is None

    def test_the_first_token_of_a_search_after_an_event(self, store: EventStore) -> None:
        """It is the position of that event."""
        save_all(store, EVENTS)
        search = store.search(after=EVENTS[0])
        assert ids(store.search(after=search.token)) == ids(search) == list("bdacz")

    def test_a_broken_loop_is_continued(self, store: EventStore) -> None:
        """`next` and another loop continue it; the token is that of the last event given."""
        save_all(store, EVENTS)
        search = store.search()
        for event in search:
            if event.id == "b":
                break
        assert ids(store.search(after=search.token)) == list("dacz")
        assert next(search).id == "d"
        assert ids(store.search(after=search.token)) == list("acz")
        for event in search:
            assert event.id == "a"
            assert ids(store.search(after=search.token)) == list("cz")
            break
        assert ids(search) == list("cz")
        assert list(search) == []

    def test_a_search_is_an_iterator(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        search = store.search()
        assert isinstance(search, Search)
        assert next(search).id == "y"
        assert ids(itertools.islice(search, 2)) == ["e", "b"]
        assert ids(search) == list("dacz")
        for _ in range(2):
            with pytest.raises(StopIteration):
                next(search)

    def test_searches_do_not_disturb_each_other(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        one, two = store.search(), store.search(order="desc")
        mixed = [(first.id, second.id) for first, second in zip(one, two, strict=True)]
        assert mixed == list(zip(IN_ORDER["asc"], IN_ORDER["desc"], strict=True))

    @pytest.mark.parametrize("given", [0, 1, 3, len(EVENTS)])
    def test_a_closed_search_gives_nothing(self, store: EventStore, given: int) -> None:
        """Closing it again does nothing; the token does not change."""
        save_all(store, EVENTS)
        search = store.search()
        for _ in range(given):
            next(search)
        token = search.token
        for _ in range(2):
            search.close()
            with pytest.raises(StopIteration):
                next(search)
            assert list(search) == []
            assert search.token == token

    def test_a_search_closed_inside_its_loop(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        search = store.search()
        read = []
        for event in search:
            read.append(event.id)
            if len(read) == 2:
                search.close()
        assert read == ["y", "e"]

    def test_a_search_is_a_context_manager(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        with store.search() as search:
            assert next(search).id == "y"
        with pytest.raises(StopIteration):
            next(search)

    def test_a_search_longer_than_a_page(self, store: EventStore) -> None:
        """Thousands of events with many equal times, in both orders, also from the middle."""
        number = 5_000
        store.save_many(
            Event(str(n), timestamp=n // 1_700, tags=["odd"] * (n % 2)) for n in range(number)
        )
        names = [str(n) for n in range(number)]
        assert ids(store.search()) == names
        assert ids(store.search(order="desc")) == names[::-1]
        assert ids(store.search(flags=["odd"], order="desc")) == names[::-2]
        search = store.search(limit=3_210)
        assert ids(search) == names[:3_210]
        assert ids(store.search(after=search.token)) == names[3_210:]
        assert ids(store.search(after=search.token, order="desc")) == names[:3_209][::-1]

    def test_what_is_saved_later_is_not_found(self, store: EventStore) -> None:
        """Whether saved before the first event is read or between two events; in both orders."""
        save_all(store, EVENTS)
        searches = {order: store.search(order=order) for order in IN_ORDER}
        flagged = store.search(flags=["f"], order="desc")
        save_all(store, [Event(f"new{n}", "s", float(n), ["f"]) for n in range(5)])
        assert next(searches["asc"]).id == "y"
        save_all(store, [Event(f"newer{n}", "s", float(n), ["f"]) for n in range(5)])
        assert ["y", *ids(searches["asc"])] == IN_ORDER["asc"]
        assert ids(searches["desc"]) == IN_ORDER["desc"]
        assert ids(flagged) == list("adb")

    def test_what_is_saved_later_is_not_found_on_a_later_page(self, store: EventStore) -> None:
        store.save_many(Event(str(n), timestamp=float(n)) for n in range(3_000))
        search = store.search()
        next(search)
        store.save_many(Event(f"new{n}", timestamp=float(n)) for n in range(2_000, 5_000))
        assert ids(search) == [str(n) for n in range(1, 3_000)]

    def test_deletes_while_a_search_is_read(self, store: EventStore) -> None:
        """Deleted events may or may not be found; all others are found once and in order."""
        store.save_many(Event(str(n), timestamp=float(n // 100)) for n in range(3_000))
        search = store.search()
        read = [next(search).id]
        for n in range(1, 3_000, 10):
            store.delete(str(n))
        read += ids(search)
        assert [name for name in read if int(name) % 10 != 1] == [
            str(n) for n in range(3_000) if n % 10 != 1
        ]
        assert read == sorted(set(read), key=int)
