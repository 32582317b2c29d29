"""The contract of the order of commits: positions, what changed since, and following."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.errors import InvalidQuery, StoreClosed
from lmdbstore.testing.helpers import HANG, ids, in_threads, save_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.contract.api import EventStore
    from lmdbstore.contract.search import Changes

ANOTHER = "0:" + "5" * 32  # a position of another store


def _tags(n: int) -> list[str]:
    return ["even"] if n % 2 == 0 else ["odd"]


def _events(number: int) -> list[Event]:
    """Return events with falling timestamps."""
    return [Event(f"e{n}", f"s{n % 3}", float(-n), _tags(n), f"content {n}") for n in range(number)]


class FollowingContract:
    """What arrived since a position, and following."""

    # -- positions --------------------------------------------------------------------------------

    def test_changes_come_in_the_order_of_saving(self, store: EventStore) -> None:
        """Whatever their timestamps."""
        events = _events(5)
        save_all(store, events[:2])
        store.save_many(events[2:])
        assert list(store.changes("start")) == events

    def test_a_position_tells_what_was_saved_before_from_what_was_saved_since(
        self, store: EventStore
    ) -> None:
        events = _events(6)
        places = [store.position()]
        for event in events:
            store.save(event)
            places.append(store.position())
        assert len(set(places)) == len(places)
        for low, after in enumerate(places):
            assert list(store.changes(after)) == events[low:]
            for high, until in enumerate(places):
                assert list(store.changes(after, until)) == events[low:high]

    def test_the_position_of_an_iterator_is_after_the_last_event_given(
        self, store: EventStore
    ) -> None:
        """Also between the events of one batch."""
        events = _events(7)
        begin = store.position()
        store.save_many(events)
        found = store.changes("start")
        assert found.position == begin
        for n, event in enumerate(found, 1):
            assert list(store.changes(found.position)) == events[n:]
            assert event == events[n - 1]
        assert found.position == store.position()

    def test_a_position_is_a_short_string_that_stays_the_same(self, store: EventStore) -> None:
        position = store.position()
        assert type(position) is str
        assert 0 < len(position) < 64
        assert store.position() == position
        save_all(store, _events(2))
        assert store.position() != position
        assert len(list(store.changes(position))) == 2
        assert store.position() == store.position()

    def test_deletions_do_not_change_the_position_and_hide_what_is_deleted(
        self, store: EventStore
    ) -> None:
        events = save_all(store, _events(6))
        position = store.position()
        for n in (0, 2, 5):
            store.delete(f"e{n}")
        assert store.position() == position
        found = store.changes("start")
        assert list(found) == [events[n] for n in (1, 3, 4)]
        assert found.position == position
        save_all(store, [Event("new")])
        assert ids(store.changes(position)) == ["new"]

    def test_a_replaced_event_comes_again(self, store: EventStore) -> None:
        events = _events(3)
        store.save_many(events)
        position = store.position()
        again = events[1]._replace(content="again")
        store.save_many([again], on_duplicate="replace")
        assert list(store.changes(position)) == [again]
        assert list(store.changes("start")) == [events[0], events[2], again]

    def test_what_is_ignored_does_not_come(self, store: EventStore) -> None:
        save_all(store, _events(2))
        position = store.position()
        store.save_many([*_events(2), Event("new")], on_duplicate="ignore")
        assert ids(store.changes(position)) == ["new"]

    @pytest.mark.parametrize("filters", ["flags", "match", "source", "all"])
    def test_filters_are_those_of_a_search(self, store: EventStore, filters: str) -> None:
        every: dict[str, Any] = {"flags": ["even"], "match": r"\b[048]$", "source": "s1"}
        chosen = every if filters == "all" else {filters: every[filters]}
        events = _events(20)
        store.save_many(events)
        expected = {event.id for event in store.search(**chosen)}
        assert expected
        for found in (store.changes("start", **chosen), store.follow("start", **chosen, timeout=0)):
            assert list(found) == [event for event in events if event.id in expected]
            assert found.position == store.position()

    def test_the_position_moves_past_what_does_not_match(self, store: EventStore) -> None:
        """Also if nothing matches, and to the end if the last events do not."""
        store.save_many(_events(9))
        for found in (
            store.changes("start", flags=["absent"]),
            store.follow("start", ["absent"], timeout=0),
        ):
            assert list(found) == []
            assert found.position == store.position()
        before = store.position()
        store.save_many([Event("a", tags=["x"]), Event("b"), Event("c")])
        found = store.changes(before, flags=["x"])
        assert next(found).id == "a"
        assert ids(store.changes(found.position)) in ([], ["b", "c"])
        assert list(found) == []
        assert found.position == store.position()

    def test_an_empty_part_ends_where_it_begins(self, store: EventStore) -> None:
        first = store.position()
        save_all(store, _events(3))
        last = store.position()
        for found, position in (
            (store.changes(last), last),
            (store.changes(first, first), first),
            (store.changes(last, first), last),
        ):
            assert list(found) == []
            assert found.position == position

    def test_what_is_saved_after_the_call_is_not_among_the_changes(self, store: EventStore) -> None:
        save_all(store, [Event("a")])
        found = store.changes("start")
        position = store.position()
        save_all(store, [Event("b")])
        assert ids(found) == ["a"]
        assert found.position == position

    @pytest.mark.parametrize("wrong", [None, 7, b"start", "", "now", "1", "x:y", "1:", "-1:00"])
    def test_what_is_no_position_is_refused(self, store: EventStore, wrong: Any) -> None:
        with pytest.raises(InvalidQuery, match=r"^after: .*; "):
            store.changes(wrong)
        if wrong is not None:
            with pytest.raises(InvalidQuery, match=r"^after: .*; "):
                store.follow(wrong)
            with pytest.raises(InvalidQuery, match=r"^until: .*; "):
                store.changes("start", wrong)

    def test_a_position_of_another_store_is_refused(self, store: EventStore) -> None:
        for wrong in (ANOTHER, store.position().replace(":", ":00"), " " + store.position()):
            with pytest.raises(InvalidQuery, match="after: "):
                store.changes(wrong)
            with pytest.raises(InvalidQuery, match="after: "):
                store.follow(wrong)

    def test_a_position_after_the_last_event_is_refused(self, store: EventStore) -> None:
        save_all(store, [Event("a")])
        number, _, identity = store.position().partition(":")
        late = f"{int(number) + 1}:{identity}"
        for call in (store.changes, store.follow):
            with pytest.raises(InvalidQuery, match=f"after the last event.* '{store.position()}'"):
                call(late)

    def test_an_end_before_the_beginning_gives_nothing(self, store: EventStore) -> None:
        before = store.position()
        save_all(store, [Event("a")])
        found = store.changes(store.position(), before)
        assert list(found) == []
        assert found.position == store.position()

    def test_other_arguments_are_refused_as_those_of_a_search(self, store: EventStore) -> None:
        wrong: dict[str, Any] = {"flags": "x", "match": "(", "source": 7, "timeout": -1}
        for name, value in wrong.items():
            for call in (store.changes, store.follow):
                with pytest.raises(InvalidQuery, match=f"^{name}: "):
                    call("start", **{name: value})
        with pytest.raises(InvalidQuery, match="timeout"):
            store.position(timeout=-1)

    # -- following --------------------------------------------------------------------------------

    def test_a_follower_gives_what_is_there_and_what_comes(self, store: EventStore) -> None:
        events = _events(6)
        store.save_many(events[:3])
        with store.follow("start") as found:
            assert [next(found) for _ in range(3)] == events[:3]
            for event in events[3:]:
                store.save(event)
                assert next(found) == event
                assert found.position == store.position()

    def test_a_follower_without_a_position_begins_now(self, store: EventStore) -> None:
        save_all(store, [Event("a")])
        position = store.position()
        with store.follow() as found:
            assert found.position == position
            save_all(store, [Event("b")])
            assert next(found).id == "b"

    def test_a_follower_goes_on_after_a_position(self, store: EventStore) -> None:
        events = save_all(store, _events(6))
        found = store.follow("start")
        assert [next(found) for _ in range(4)] == events[:4]
        found.close()
        assert list(found) == []
        assert list(store.follow(found.position, timeout=0)) == events[4:]

    def test_a_follower_ends_when_nothing_came_for_its_time(self, store: EventStore) -> None:
        save_all(store, [Event("a")])
        for timeout in (0, 0.05):
            begin = time.monotonic()
            found = store.follow("start", timeout=timeout)
            assert ids(found)[0] == "a"
            assert time.monotonic() - begin >= timeout
            save_all(store, [Event()])
            assert list(found) == []  # an iterator that has ended stays so

    def test_the_time_of_a_follower_is_that_of_its_own_waiting(self, store: EventStore) -> None:
        """It does not count how long the caller takes; what is there comes."""
        save_all(store, [Event("a"), Event("b")])
        with store.follow("start", timeout=0.05) as found:
            next(found)
            time.sleep(0.1)
            assert next(found).id == "b"
            time.sleep(0.1)
            save_all(store, [Event("c")])
            assert next(found).id == "c"

    def test_events_that_do_not_match_do_not_prolong_a_wait(self, store: EventStore) -> None:
        found = store.follow(flags=["x"], timeout=0.1)
        done: list[int] = []

        def write() -> None:
            while not done:
                save_all(store, [Event()])

        def read() -> None:
            try:
                assert list(found) == []
            finally:
                done.append(1)

        in_threads(write, read)

    def test_a_waiting_follower_gives_what_others_save(self, store: EventStore) -> None:
        """In one order, once each, deletions or not; the position is always one to go on from."""
        writers, each = 3, 20
        found = store.follow()
        given: list[str] = []
        places: list[str] = []

        def write(writer: int) -> Callable[[], None]:
            def work() -> None:
                for n in range(each):
                    save_all(store, [Event(f"{writer}-{n}", timestamp=float(-n))])
                    if n % 5 == 0:
                        save_all(store, [Event(f"{writer}-gone")])
                        store.delete(f"{writer}-gone")

            return work

        def read() -> None:
            while len([name for name in given if "gone" not in name]) < writers * each:
                given.append(next(found).id)
                places.append(found.position)

        in_threads(read, *map(write, range(writers)))
        found.close()
        stay = [name for name in given if "gone" not in name]
        assert stay == ids(store.changes("start"))
        assert len(set(places)) == len(places)
        assert ids(store.changes(places[0])) == stay[1:] if given[0] == stay[0] else stay

    def test_the_position_moves_while_a_follower_waits_and_nothing_matches(
        self, store: EventStore
    ) -> None:
        found = store.follow(flags=["x"])
        before = found.position

        def wait() -> None:
            assert next(found).id == "last"

        def write() -> None:
            save_all(store, _events(3))
            position = store.position()
            _until(lambda: found.position == position)
            save_all(store, [Event("last", tags=["x"])])

        in_threads(wait, write)
        assert found.position == store.position() != before
        found.close()

    def test_closing_a_follower_ends_its_wait(self, store: EventStore) -> None:
        found = store.follow()
        waits = threading.Event()

        def wait() -> None:
            waits.set()
            assert list(found) == []

        def close() -> None:
            waits.wait(HANG)
            time.sleep(0.05)
            found.close()

        in_threads(wait, close)

    def test_closing_the_store_ends_a_wait(self, store: EventStore) -> None:
        found = store.follow()
        waits = threading.Event()

        def wait() -> None:
            waits.set()
            with pytest.raises(StoreClosed):
                next(found)

        def close() -> None:
            waits.wait(HANG)
            time.sleep(0.05)
            store.close()

        in_threads(wait, close)
        with pytest.raises(StoreClosed):
            next(found)

    def test_a_closed_store_has_no_changes(self, store: EventStore) -> None:
        save_all(store, [Event("a")])
        found, position = store.changes("start"), store.position()
        store.close()
        calls: list[Callable[[], object]] = [
            store.position,
            lambda: store.changes(position),
            lambda: store.follow(position),
            store.follow,
            lambda: next(found),
        ]
        for call in calls:
            with pytest.raises(StoreClosed):
                call()

    def test_threads_share_a_follower(self, store: EventStore) -> None:
        """Each event is given once."""
        found = store.follow(timeout=0.2)
        given: list[str] = []
        in_threads(
            lambda: save_all(store, _events(100)),
            *[lambda: given.extend(ids(found)) for _ in range(3)],
        )
        rest = ids(store.changes(found.position))
        assert sorted([*given, *rest]) == sorted(ids(_events(100)))

    def test_changes_say_where_they_are(self, store: EventStore) -> None:
        found: Changes = store.changes("start", source="s1")
        assert found.position in repr(found)
        assert list(found) == []
        assert repr(found).endswith(", ended>")


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + HANG
    while not done():
        assert time.monotonic() < end, "it hangs"
        time.sleep(0.001)
