"""The contract of changing what is there: one event saved over another, and many deleted."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.errors import DuplicateEvent, InvalidEvent, InvalidQuery

from .helpers import assert_empty, ids, in_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore.contract.api import EventStore

FIRST = Event(id="a", source="door", timestamp=1.0, tags=["x"], content="first")
OTHER = Event(id="a", source="roof", timestamp=0.5, tags=["y"], content="other")
NEXT = Event(id="b", source="door", timestamp=2.0, tags=["x"], content="next")


class ChangingContract:
    """What `save` does about an id that is there, and `delete_many`."""

    # -- save

    def test_an_event_is_ignored_or_replaces_the_one_with_its_id(self, store: EventStore) -> None:
        store.save(FIRST)
        store.save(NEXT, on_duplicate="ignore")
        store.save(OTHER, on_duplicate="ignore")
        assert list(store.search()) == [FIRST, NEXT]
        store.save(OTHER, on_duplicate="replace")
        assert list(store.search()) == [OTHER, NEXT]
        store.save(Event(id="c"), on_duplicate="replace")
        assert "c" in store
        with pytest.raises(DuplicateEvent):
            store.save(FIRST, on_duplicate="raise")
        assert store.get("a") == OTHER

    def test_an_event_that_is_saved_over_leaves_no_trace(self, store: EventStore) -> None:
        store.save_many([FIRST, NEXT])
        store.save(OTHER, on_duplicate="replace")
        assert store.get("a") == OTHER
        assert store.flags() == {"x": 1, "y": 1}
        assert store.count(source="roof") == store.count(source="door") == 1
        assert store.count(match="first") == 0
        store.delete("a")
        assert list(store.search()) == [NEXT]

    def test_an_equal_event_is_saved_over_too(self, store: EventStore) -> None:
        """It is the last of its time then."""
        store.save_many([FIRST, FIRST._replace(id="b")])
        store.save(FIRST, on_duplicate="replace")
        assert ids(store.search()) == ["b", "a"]

    @pytest.mark.parametrize("mode", ["ignore", "replace"])
    def test_an_invalid_event_is_refused_in_every_mode(self, store: EventStore, mode: Any) -> None:
        store.save(FIRST)
        with pytest.raises(InvalidEvent):
            store.save(FIRST._replace(content="\ud800"), on_duplicate=mode)
        assert list(store.search()) == [FIRST]

    @pytest.mark.parametrize("wrong", ["", "Raise", None, True, b"raise"])
    def test_an_unknown_mode_is_refused(self, store: EventStore, wrong: Any) -> None:
        with pytest.raises(InvalidQuery, match=r"^on_duplicate: .*; pass 'raise', 'ignore' or"):
            store.save(FIRST, on_duplicate=wrong)
        assert_empty(store)

    def test_threads_that_save_one_event_save_it_once(self, store: EventStore) -> None:
        def save() -> None:
            for n in range(20):
                store.save(Event(id=f"{n}", timestamp=1.0, tags=["x"]), on_duplicate="ignore")

        in_threads(*[save] * 4)
        assert store.flags() == {"x": 20}
        assert len(store) == 20

    def test_threads_that_replace_one_event_leave_one(self, store: EventStore) -> None:
        """And no reader sees both or none."""
        store.save(FIRST)
        done: list[int] = []

        def save(source: str) -> None:
            for n in range(20):
                event = FIRST._replace(source=source, timestamp=float(n % 3))
                store.save(event, on_duplicate="replace")
            done.append(1)

        def read() -> None:
            while len(done) < 3:
                with store.snapshot() as view:
                    (event,) = view.search()
                    assert event == view.get("a")

        in_threads(*(partial(save, name) for name in "xyz"), read)
        assert store.flags() == {"x": 1}
        assert len(store) == 1

    # -- delete_many

    def test_many_events_are_deleted(self, store: EventStore) -> None:
        events = [Event(id=f"{n}", timestamp=n % 7, tags=["all", f"{n % 3}"]) for n in range(100)]
        store.save_many(events)
        gone = [f"{n}" for n in range(0, 100, 3)]
        assert store.delete_many(gone) == 34
        assert sorted(ids(store.search())) == sorted({event.id for event in events} - {*gone})
        assert store.flags() == {"1": 33, "2": 33, "all": 66}
        assert store.delete_many(event.id for event in events) == 66
        assert_empty(store)

    def test_ids_of_no_event_are_passed_over(self, store: EventStore) -> None:
        """The number tells; an id that is given twice counts once."""
        uuid = UUID(int=7)
        store.save_many([FIRST, NEXT, Event(id=str(uuid))])
        assert store.delete_many(["absent", "a", "a", ""]) == 1
        assert store.delete_many({uuid}) == 1
        assert store.delete_many(["a", str(uuid)]) == 0
        assert store.delete_many([]) == 0
        assert list(store.search()) == [NEXT]

    @pytest.mark.parametrize(
        "wrong",
        ["a", b"a", FIRST, 7, None, ["a", 7], ["a", None], [FIRST], ["a", b"b"]],
        ids=repr,
    )
    def test_what_are_no_ids_deletes_nothing(self, store: EventStore, wrong: Any) -> None:
        store.save_many([FIRST, NEXT])
        with pytest.raises(InvalidQuery, match="id"):
            store.delete_many(wrong)
        assert len(store) == 2

    def test_a_generator_of_ids_may_use_the_store(self, store: EventStore) -> None:
        """It is read to its end before anything is deleted; if it fails, nothing is."""
        store.save_many([FIRST, NEXT])

        def found() -> Iterator[str]:
            for event in store.search():
                store.save(Event(id=f"{event.id}-deleted"))
                yield event.id

        def failing() -> Iterator[str]:
            yield "a-deleted"
            raise ZeroDivisionError

        assert store.delete_many(found()) == 2
        with pytest.raises(ZeroDivisionError):
            store.delete_many(failing())
        assert sorted(ids(store.search())) == ["a-deleted", "b-deleted"]

    def test_no_reader_sees_a_part_of_the_deletion(self, store: EventStore) -> None:
        names = [f"{n}" for n in range(50)]
        done: list[int] = []

        def write() -> None:
            for _ in range(10):
                store.save_many(Event(id=name, tags=["all"]) for name in names)
                assert store.delete_many(names) == 50
            done.append(1)

        def read() -> None:
            while not done:
                assert store.count(flags=["all"]) in (0, 50)
                with store.snapshot() as view:
                    assert len(view) == len(list(view.search())) in (0, 50)

        in_threads(write, read)

    def test_a_snapshot_keeps_what_was_deleted(self, store: EventStore) -> None:
        store.save_many([FIRST, NEXT])
        with store.snapshot() as view:
            assert store.delete_many(["a", "b"]) == 2
            assert list(view.search()) == [FIRST, NEXT]
        assert_empty(store)
