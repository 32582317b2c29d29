"""The contract of `save_many` about ids that are there: `on_duplicate`, and the result."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.contract.types import SaveResult
from lmdbstore.errors import DuplicateEvent, InvalidEvent, InvalidQuery

from .helpers import assert_empty, ids, in_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore.contract.api import EventStore

Passing = Literal["ignore", "replace"]
PASSING: list[Passing] = ["ignore", "replace"]


def made(event_id: str, content: str, timestamp: float = 1.0) -> Event:
    """Return an event whose flag and source are of its content."""
    return Event(event_id, f"of {content}", timestamp, [content, "all"], content)


def contents(store: EventStore) -> dict[str, str]:
    """Return the content of each event by its id, in the order of the store."""
    return {event.id: event.content for event in store.search()}


def numbers(result: SaveResult) -> tuple[int, int, int]:
    """Return the numbers of a result: saved, ignored, replaced."""
    assert type(result) is SaveResult
    assert result == result.saved
    return result.saved, result.ignored, result.replaced


class DuplicateContract:
    """What `save_many` does about ids that are there."""

    def test_the_result_of_save_many_is_a_number(self, store: EventStore) -> None:
        result = store.save_many([made("a", "1"), made("b", "1")])
        assert numbers(result) == (2, 0, 0)
        assert result == 2
        assert result + 1 == 3
        assert f"{result} {result!s} {result:03}" == "2 2 002"
        result = store.save_many([made("a", "2"), made("c", "2")], on_duplicate="ignore")
        assert repr(result) == "SaveResult(saved=1, ignored=1, replaced=0)"
        assert numbers(copy.deepcopy(result)) == (1, 1, 0)

    def test_raise_is_what_is_done_by_default(self, store: EventStore) -> None:
        store.save_many([made("a", "1")], on_duplicate="raise")
        for batch in (["b", "a"], ["b", "b"]):
            for named in ({"on_duplicate": "raise"}, {}):
                save_many: Any = store.save_many
                with pytest.raises(DuplicateEvent, match=batch[-1]):
                    save_many([made(name, "2") for name in batch], **named)
        assert contents(store) == {"a": "1"}

    def test_ignored_events_change_nothing(self, store: EventStore) -> None:
        store.save_many([made("a", "1"), made("b", "1")])
        batch = [made("b", "2", 0.0), made("c", "2"), made("a", "2", 9.0)]
        assert numbers(store.save_many(batch, on_duplicate="ignore")) == (1, 2, 0)
        assert list(store.search()) == [made("a", "1"), made("b", "1"), made("c", "2")]
        assert store.flags() == {"1": 2, "2": 1, "all": 3}

    def test_a_replaced_event_leaves_no_trace(self, store: EventStore) -> None:
        store.save_many([made("a", "1"), made("b", "1"), made("c", "1")])
        batch = [made("b", "2", 7.0), made("d", "2", 0.0)]
        assert numbers(store.save_many(batch, on_duplicate="replace")) == (1, 0, 1)
        assert list(store.search()) == [batch[1], made("a", "1"), made("c", "1"), batch[0]]
        assert store.get("b") == batch[0]
        assert store.flags() == {"1": 2, "2": 2, "all": 4}
        assert store.count(flags=["1"], source="of 1", ts_end=1.0) == store.count(match="1") == 2
        assert len(store) == store.count(flags=["all"]) == 4
        store.delete("b")
        assert contents(store) == {"d": "2", "a": "1", "c": "1"}

    def test_an_equal_event_is_replaced_too(self, store: EventStore) -> None:
        """It is the last of its time then."""
        store.save_many([made("a", "1"), made("b", "1")])
        assert numbers(store.save_many([made("a", "1")], on_duplicate="replace")) == (0, 0, 1)
        assert ids(store.search()) == ["b", "a"]
        assert ids(store.search(order="desc")) == ["a", "b"]

    @pytest.mark.parametrize("stored", [False, True])
    def test_of_duplicates_in_a_batch_the_first_is_kept_or_the_last(
        self, store: EventStore, *, stored: bool
    ) -> None:
        names = "abacbad"
        batch = [made(name, f"{place}") for place, name in enumerate(names)]
        with_ids = {"a": "0", "b": "1", "c": "3", "d": "6"}
        if stored:
            store.save(made("a", "stored"))
            with_ids["a"] = "stored"
        assert numbers(store.save_many(iter(batch), on_duplicate="ignore")) == (
            (3, 4, 0) if stored else (4, 3, 0)
        )
        assert contents(store) == with_ids
        for name in "abcd"[stored:]:
            store.delete(name)
        assert numbers(store.save_many(iter(batch), on_duplicate="replace")) == (
            (3, 0, 4) if stored else (4, 0, 3)
        )
        assert list(contents(store).items()) == [("c", "3"), ("b", "4"), ("a", "5"), ("d", "6")]
        assert store.flags() == {"3": 1, "4": 1, "5": 1, "6": 1, "all": 4}

    @pytest.mark.parametrize("mode", PASSING)
    def test_saved_again_a_batch_saves_nothing(self, store: EventStore, mode: Passing) -> None:
        batch = [made(f"{number}", "x", float(number % 3)) for number in range(50)]
        before = numbers(store.save_many(batch, on_duplicate=mode))
        assert before == (50, 0, 0)
        events = list(store.search())
        again = store.save_many(batch, on_duplicate=mode)
        assert numbers(again) == ((0, 50, 0) if mode == "ignore" else (0, 0, 50))
        assert list(store.search()) == events
        assert store.flags() == {"x": 50, "all": 50}

    @pytest.mark.parametrize("mode", PASSING)
    def test_the_checkpoint_is_saved_whatever_the_events_are(
        self, store: EventStore, mode: Passing
    ) -> None:
        batch = [made("a", "1")]
        for text, some in (("1", batch), ("2", batch), ("3", [])):
            store.save_many(some, on_duplicate=mode, checkpoint=("log", text))
            assert store.checkpoint("log") == text
        assert numbers(store.save_many([], on_duplicate=mode)) == (0, 0, 0)
        assert contents(store) == {"a": "1"}

    @pytest.mark.parametrize("mode", PASSING)
    def test_a_wrong_event_undoes_all_of_it(self, store: EventStore, mode: Passing) -> None:
        """A duplicate is checked like the others, also if it is ignored."""
        store.save(made("a", "1"))
        for wrong in (made("", "2"), made("a", "2")._replace(content="\ud800")):
            with pytest.raises(InvalidEvent):
                store.save_many(
                    [made("a", "2"), made("b", "2"), wrong],
                    on_duplicate=mode,
                    checkpoint=("log", "1"),
                )
        assert contents(store) == {"a": "1"}
        assert store.checkpoint("log") is None

    @pytest.mark.parametrize("mode", PASSING)
    def test_a_generator_may_delete_what_it_gives(self, store: EventStore, mode: Passing) -> None:
        """It is read to its end before anything is written."""
        store.save_many([made("a", "1"), made("b", "1")])

        def moved() -> Iterator[Event]:
            for event in store.search():
                if event.id == "a":
                    store.delete("a")
                yield made(event.id, "2")

        assert store.save_many(moved(), on_duplicate=mode) == 1
        assert contents(store) == (
            {"b": "1", "a": "2"} if mode == "ignore" else {"a": "2", "b": "2"}
        )

    @pytest.mark.parametrize("wrong", ["", "Raise", "skip", None, True, b"raise", ["raise"]])
    def test_another_on_duplicate_is_refused(self, store: EventStore, wrong: Any) -> None:
        """Before an event is read; the message names the argument and the remedy."""

        def unread() -> Iterator[Event]:
            pytest.fail("the events were read")
            yield Event()

        with pytest.raises(InvalidQuery, match=r"^on_duplicate: .*; pass 'raise', 'ignore' or"):
            store.save_many(unread(), on_duplicate=wrong, checkpoint=("log", "1"))
        assert_empty(store)
        assert store.checkpoint("log") is None

    def test_a_snapshot_keeps_what_is_replaced(self, store: EventStore) -> None:
        store.save_many([made("a", "1"), made("b", "1")])
        with store.snapshot() as view:
            store.save_many([made("a", "2"), made("b", "2")], on_duplicate="replace")
            assert [event.content for event in view.search()] == ["1", "1"]
            assert view.get("a") == made("a", "1")
        assert store.get("a") == made("a", "2")

    def test_a_search_that_began_before_finds_no_new_event(self, store: EventStore) -> None:
        """Events that were replaced may be found, if they were read before."""
        old = [made(f"{number:03}", "old", float(number)) for number in range(600)]
        store.save_many(old)
        search = store.search()
        first = next(search)
        store.save_many([event._replace(content="new") for event in old], on_duplicate="replace")
        assert first == old[0]
        rest = list(search)
        assert rest == old[1 : len(rest) + 1]
        assert {event.content for event in store.search()} == {"new"}

    def test_no_reader_sees_both_or_none_of_two_events(self, store: EventStore) -> None:
        store.save(made("a", "0"))
        done: list[int] = []

        def write() -> None:
            for number in range(1, 40):
                event = made("a", f"{number}", float(number % 3))
                assert store.save_many([event], on_duplicate="replace").replaced == 1
            done.append(1)

        def read() -> None:
            while not done:
                assert store.get("a").id == "a"
                assert len(store) == store.count(flags=["all"]) == 1
                with store.snapshot() as view:
                    (event,) = view.search()
                    assert event == view.get("a")

        in_threads(write, read)
        assert contents(store) == {"a": "39"}

    def test_threads_that_save_the_same_events_save_each_once(self, store: EventStore) -> None:
        batches = [[made(f"{n}", "x") for n in range(at, at + 20)] for at in range(0, 60, 10)]
        results: list[SaveResult] = []

        def save() -> None:
            results.extend(store.save_many(batch, on_duplicate="ignore") for batch in batches)

        in_threads(*[save] * 4)
        assert sum(results) == len(store) == 70
        assert sum(result.ignored for result in results) == 4 * 6 * 20 - 70
