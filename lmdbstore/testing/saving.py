"""The contract of save, save_many, get, delete, `in`, len and flags."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.errors import (
    DuplicateEvent,
    EventNotFound,
    EventReadException,
    InvalidEvent,
    InvalidQuery,
    StoreClosed,
)

from .helpers import LONE, assert_empty, ids, like

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdbstore.contract.api import EventStore

FIRST = Event("first", "door", 1.5, ["x", "y"], "opened")


class SavingContract:
    """Saving, getting and deleting."""

    def test_a_new_store_is_empty_and_true(self, store: EventStore) -> None:
        assert_empty(store)
        assert bool(store) is True

    def test_get_and_search_return_a_saved_event_unchanged(self, store: EventStore) -> None:
        store.save(FIRST)
        assert store.get("first") == FIRST
        assert type(store.get("first")) is Event
        assert list(store.search()) == [FIRST]
        assert [type(event) for event in store.search()] == [Event]
        assert len(store) == 1
        assert store.flags() == {"x": 1, "y": 1}

    def test_an_event_of_defaults_is_saved(self, store: EventStore) -> None:
        event = Event()
        store.save(event)
        assert store.get(event.id) == event

    def test_get_of_an_unknown_id(self, store: EventStore) -> None:
        """It raises EventNotFound, a read exception; its message names the id."""
        store.save(FIRST)
        with pytest.raises(EventNotFound, match="absent") as info:
            store.get("absent")
        assert isinstance(info.value, EventReadException)

    def test_get_with_a_default(self, store: EventStore) -> None:
        """The default, which may be None, is returned only for an unknown id."""
        store.save(FIRST)
        marker = object()
        assert store.get("absent", marker) is marker
        assert store.get("absent", None) is None
        assert store.get("absent", default=None) is None
        assert store.get("first", None) == FIRST

    @pytest.mark.parametrize("timeout", [None, 0, 0.0, 7, 1e-9, 1e300, 10**400, math.inf])
    def test_every_call_takes_a_time_limit(self, store: EventStore, timeout: float | None) -> None:
        """Where no one else uses the store, no call has to wait."""
        store.save(FIRST, timeout=timeout)
        assert store.save_many([Event("second")], timeout=timeout) == 1
        store.delete("second", timeout=timeout)
        assert store.get("first", timeout=timeout) == FIRST
        assert store.get("absent", None, timeout=timeout) is None
        assert list(store.search(timeout=timeout)) == [FIRST]
        assert list(store.search(after=FIRST, timeout=timeout)) == []
        assert store.count(timeout=timeout) == 1
        assert store.explain(timeout=timeout)
        assert store.flags(timeout=timeout) == {"x": 1, "y": 1}
        with store.snapshot(timeout=timeout) as view:
            assert view.get("first", timeout=timeout) == FIRST
        for _ in range(2):
            store.close(timeout=timeout)
        with pytest.raises(StoreClosed):
            store.get("first", timeout=timeout)

    @pytest.mark.parametrize("timeout", [-1, -1e-9, math.nan, True, "1", b"1", [1.0]])
    def test_what_is_no_time_limit_is_refused(self, store: EventStore, timeout: Any) -> None:
        """Before anything is read or written; the message names the argument."""

        def unread() -> Iterator[Event]:
            pytest.fail("the events were read")
            yield FIRST

        calls: list[Callable[[], object]] = [
            lambda: store.save(Event("second"), timeout=timeout),
            lambda: store.save_many(unread(), timeout=timeout),
            lambda: store.delete("first", timeout=timeout),
            lambda: store.get("first", timeout=timeout),
            lambda: store.flags(timeout=timeout),
            lambda: store.snapshot(timeout=timeout).__enter__(),
            lambda: store.close(timeout=timeout),
        ]
        store.save(FIRST)
        for call in calls:
            with pytest.raises(InvalidQuery, match="timeout"):
                call()
        assert list(store.search()) == [FIRST]

    @pytest.mark.parametrize("absent", ["", LONE, "firs", "first\0"])
    def test_an_id_that_no_event_can_have_or_has_is_not_found(
        self, store: EventStore, absent: str
    ) -> None:
        store.save(FIRST)
        assert store.get(absent, None) is None
        assert absent not in store
        with pytest.raises(EventNotFound):
            store.get(absent)
        with pytest.raises(EventNotFound):
            store.delete(absent)
        assert list(store.search()) == [FIRST]

    @pytest.mark.parametrize("wrong", [7, None, b"first", ["first"], FIRST])
    def test_an_id_that_is_not_a_string_is_refused(self, store: EventStore, wrong: Any) -> None:
        store.save(FIRST)
        for ask in (store.get, store.delete, store.__contains__, lambda x: store.get(x, None)):
            with pytest.raises(InvalidQuery) as info:
                ask(wrong)
            assert isinstance(info.value, ValueError)
        assert list(store.search()) == [FIRST]

    def test_contains_is_true_for_stored_ids_only(self, store: EventStore) -> None:
        store.save(FIRST)
        assert "first" in store
        assert "second" not in store

    def test_delete_leaves_no_trace(self, store: EventStore) -> None:
        store.save(FIRST)
        store.delete("first")
        assert_empty(store)
        assert "first" not in store
        assert store.count(flags=["x"]) == 0
        assert store.count(1.5, 1.5) == 0

    def test_delete_of_an_unknown_id(self, store: EventStore) -> None:
        store.save(FIRST)
        with pytest.raises(EventNotFound, match="absent"):
            store.delete("absent")
        assert list(store.search()) == [FIRST]

    def test_delete_removes_one_event(self, store: EventStore) -> None:
        """Events with the same flags and timestamp stay."""
        others = [FIRST._replace(id="before"), FIRST._replace(id="after")]
        store.save_many([others[0], FIRST, others[1]])
        store.delete("first")
        assert list(store.search(flags=["x"])) == others
        assert list(store.search()) == others
        assert store.flags() == {"x": 2, "y": 2}

    def test_a_deleted_id_is_free_again(self, store: EventStore) -> None:
        store.save(FIRST)
        store.delete("first")
        again = Event("first", "roof", -2.0, ["z"], "closed")
        store.save(again)
        assert list(store.search()) == [again]
        assert store.flags() == {"z": 1}

    def test_a_duplicate_leaves_the_stored_event_untouched(self, store: EventStore) -> None:
        store.save(FIRST)
        for other in (FIRST, Event("first", "roof", 9.0, ["z"], "closed")):
            with pytest.raises(DuplicateEvent, match="first"):
                store.save(other)
        assert list(store.search()) == [FIRST]
        assert store.get("first") == FIRST
        assert store.flags() == {"x": 1, "y": 1}

    def test_flags_counts_the_events_of_each_flag(self, store: EventStore) -> None:
        store.save_many(
            [Event("1", tags=["a", "b"]), Event("2", tags=["b"]), Event("3", tags=["b", ""])]
        )
        assert store.flags() == {"a": 1, "b": 3, "": 1}
        store.delete("1")
        assert store.flags() == {"b": 2, "": 1}

    def test_a_returned_event_is_the_callers_own(self, store: EventStore) -> None:
        """Changes to its tags, or to the tags of the saved event, do not change the store."""
        mine = Event("first", "door", 1.5, ["x", "y"], "opened")
        store.save(mine)
        mine.tags.append("mine")
        store.get("first").tags.append("got")
        next(store.search()).tags.append("found")
        with store.snapshot() as view:
            view.get("first").tags.append("viewed")
        assert store.get("first").tags == ["x", "y"]
        assert next(store.search()).tags == ["x", "y"]

    def test_saving_changes_nothing_of_the_event(self, store: EventStore) -> None:
        tags = ["x", "x"]
        event = like(timestamp="7", tags=tags)
        store.save(event)
        assert event == like(timestamp="7", tags=["x", "x"])
        assert event.tags is tags

    def test_save_returns_nothing_and_save_many_the_number_of_events(
        self, store: EventStore
    ) -> None:
        save: Any = store.save
        assert save(FIRST) is None
        assert store.save_many([]) == 0
        assert store.save_many(Event(str(n)) for n in range(5)) == 5
        assert len(store) == 6

    def test_save_many_keeps_the_order_given(self, store: EventStore) -> None:
        names = ["c", "a", "d", "b"]
        store.save_many([Event(name, timestamp=1.0) for name in names])
        assert ids(store.search()) == names

    @pytest.mark.parametrize("wrong", ["dup-inside", "dup-stored"])
    def test_save_many_with_a_duplicate_writes_nothing(self, store: EventStore, wrong: str) -> None:
        """The id may be in the store, or twice among the events; the message names it."""
        store.save(Event("dup-stored", "s", 1.0))
        before = list(store.search())
        batch = ["dup-inside", "n1", "n2", wrong, "n3"]
        with pytest.raises(DuplicateEvent, match=wrong):
            store.save_many(Event(name, "s", 2.0, ["new"]) for name in batch)
        assert list(store.search()) == before
        assert len(store) == 1
        assert store.flags() == {}
        assert "n1" not in store

    @pytest.mark.parametrize(
        "bad", [like(timestamp="soon"), like(tags=[LONE]), like(id=""), object()]
    )
    def test_save_many_with_an_invalid_event_writes_nothing(
        self, store: EventStore, bad: Any
    ) -> None:
        with pytest.raises(InvalidEvent):
            store.save_many(iter([Event("n1", tags=["new"]), bad, Event("n2")]))
        assert_empty(store)
        store.save(Event("n1"))  # the id was not taken

    def test_save_many_with_a_failing_generator_writes_nothing(self, store: EventStore) -> None:
        """The caller gets the exception of the generator, unchanged."""

        def failing() -> Iterator[Event]:
            yield Event("n1")
            raise ZeroDivisionError("of the generator")

        with pytest.raises(ZeroDivisionError, match="of the generator"):
            store.save_many(failing())
        assert_empty(store)

    def test_a_generator_given_to_save_many_may_use_its_objects_again(
        self, store: EventStore
    ) -> None:
        """Each event is stored as it was when the generator gave it."""
        tags: list[str] = []
        made = SimpleNamespace(id="", source="s", timestamp=1.0, tags=tags, content="")

        def changing() -> Iterator[Event]:
            for number in range(6):
                tags[:] = [f"t{number}"]
                made.id = f"e{number}"
                shared = Event(made.id, "s", 1.0)._replace(tags=tags)
                yield shared if number % 2 else cast("Event", made)

        assert store.save_many(changing()) == 6
        assert [(event.id, event.tags) for event in store.search()] == [
            (f"e{number}", [f"t{number}"]) for number in range(6)
        ]

    def test_a_generator_given_to_save_many_may_use_the_store(self, store: EventStore) -> None:
        """It may read, search, save and delete; each of its writes is independent."""
        store.save_many([Event("old1", timestamp=1.0), Event("old2", timestamp=2.0)])

        def copies() -> Iterator[Event]:
            for event in store.search():
                store.save(Event(f"log-{event.id}", timestamp=0.0))
                store.delete(event.id)
                assert event.id not in store
                yield store.get(f"log-{event.id}")._replace(id=f"new-{event.id}", timestamp=3.0)

        assert store.save_many(copies()) == 2
        assert ids(store.search()) == ["log-old1", "log-old2", "new-old1", "new-old2"]
