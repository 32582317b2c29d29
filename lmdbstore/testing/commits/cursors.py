"""The contract of named cursors: each event at least once, over any number of workers."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.errors import CursorLost, InvalidQuery, StoreClosed
from lmdbstore.testing.helpers import HANG, LONE, ids, in_threads, save_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.contract.api import EventStore


def _events(number: int) -> list[Event]:
    """Return events with falling timestamps."""
    return [
        Event(f"e{n}", f"s{n % 3}", float(-n), ["even"] if n % 2 == 0 else [], f"content {n}")
        for n in range(number)
    ]


class CursorContract:
    """Named cursors."""

    def test_a_cursor_goes_on_after_what_was_acknowledged(self, store: EventStore) -> None:
        events = _events(10)
        store.save_many(events)
        with store.cursor("a", timeout=0) as cursor:
            assert [next(cursor) for _ in range(4)] == events[:4]
            cursor.ack()
            assert [next(cursor) for _ in range(3)] == events[4:7]
        with store.cursor("a", timeout=0) as cursor:
            assert list(cursor) == events[4:]
            cursor.ack()
            assert cursor.position == store.position()
        with store.cursor("a", timeout=0) as cursor:
            assert list(cursor) == []

    def test_what_was_not_acknowledged_comes_again(self, store: EventStore) -> None:
        events = save_all(store, _events(5))
        for _ in range(3):
            with store.cursor("a", timeout=0) as cursor:
                assert list(cursor) == events
                assert cursor.lag.events == 5

    def test_a_cursor_that_is_dropped_gives_back_what_it_had(self, store: EventStore) -> None:
        events = save_all(store, _events(5))
        cursor = store.cursor("a", timeout=0)
        assert next(cursor) == events[0]
        del cursor
        assert list(store.cursor("a", timeout=0)) == events

    def test_cursors_do_not_know_of_each_other(self, store: EventStore) -> None:
        events = save_all(store, _events(3))
        for name in ("a", "b", "ü" * 300):
            with store.cursor(name, timeout=0) as cursor:
                assert cursor.name == name
                assert list(cursor) == events
                cursor.ack()
        assert list(store.cursors()) == ["a", "b", "ü" * 300]

    @pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
    def test_the_size_of_a_batch_changes_nothing_for_one_worker(
        self, store: EventStore, batch: int
    ) -> None:
        events = _events(20)
        store.save_many(events)
        with store.cursor("a", batch=batch, timeout=0) as cursor:
            for n, event in enumerate(cursor):
                assert event == events[n]
                if n % 3 == 0:
                    cursor.ack()
                    assert cursor.lag.events == 19 - n
            cursor.ack()
            assert cursor.lag == (0, 0.0)

    @pytest.mark.parametrize("after", ["start", "now", "position"])
    def test_a_new_cursor_begins_where_it_is_told_to(self, store: EventStore, after: str) -> None:
        events = save_all(store, _events(2))
        place = store.position()
        events += save_all(store, [Event("x"), Event("y")])
        begin = {"start": "start", "now": None, "position": place}[after]
        low = {"start": 0, "now": 4, "position": 2}[after]
        store.cursor("a", begin, timeout=0).close()
        events += save_all(store, [Event("z")])
        with store.cursor("a", "start", timeout=0) as cursor:  # it is there already
            assert list(cursor) == events[low:]

    def test_a_cursor_has_its_own_conditions(self, store: EventStore) -> None:
        events = _events(20)
        store.save_many(events)
        chosen: dict[str, Any] = {"flags": ["even"], "match": r"\b[0-9]$", "source": "s1"}
        expected = {event.id for event in store.search(**chosen)}
        with store.cursor("a", **chosen, timeout=0) as cursor:
            assert ids(cursor) == [event.id for event in events if event.id in expected]
        with store.cursor("a", timeout=0) as cursor:
            assert set(ids(cursor)) == expected
            cursor.ack()
        info = store.cursors()["a"]
        assert (info.flags, info.match, info.source) == (("even",), r"\b[0-9]$", "s1")
        assert info.lag == (0, 0.0)
        for name, other in (("flags", ["odd"]), ("match", "x"), ("source", "s2")):
            with pytest.raises(InvalidQuery, match=f"^{name}: "):
                store.cursor("a", **chosen | {name: other})

    def test_what_does_not_match_is_passed(self, store: EventStore) -> None:
        store.save_many(_events(3000))
        with store.cursor("a", flags=["absent"], timeout=0) as cursor:
            assert list(cursor) == []
            assert cursor.position == store.position()

    def test_several_workers_get_each_event_once(self, store: EventStore) -> None:
        """While others save."""
        number, workers = 120, 3
        given: list[str] = []

        def work() -> None:
            with store.cursor("a", batch=5, timeout=0.3) as cursor:
                for event in cursor:
                    given.append(event.id)
                    cursor.ack()

        in_threads(lambda: save_all(store, _events(number)), *[work] * workers)
        with store.cursor("a", timeout=0) as cursor:
            given += ids(cursor)
        assert sorted(given) == sorted(ids(_events(number)))

    def test_a_worker_that_is_slower_than_its_lease_loses_its_events(
        self, store: EventStore
    ) -> None:
        events = save_all(store, _events(4))
        slow = store.cursor("a", lease=0.05, timeout=0)
        assert next(slow) == events[0]
        with store.cursor("a", lease=60, timeout=HANG) as other:
            assert [next(other) for _ in range(4)] == events
            with pytest.raises(CursorLost, match="lease"):
                slow.ack()
            assert store.cursors()["a"].lag.events == 4
            other.ack()
        assert store.cursors()["a"].lag.events == 0
        slow.close()

    def test_a_late_acknowledgement_counts_if_no_one_has_the_events(
        self, store: EventStore
    ) -> None:
        save_all(store, _events(4))
        with store.cursor("a", lease=0.01, timeout=0) as slow:
            next(slow)
            time.sleep(0.03)
            slow.ack()
            assert slow.lag.events == 3

    def test_a_worker_takes_no_more_than_its_batch(self, store: EventStore) -> None:
        events = save_all(store, _events(6))
        with store.cursor("a", batch=2, timeout=0) as one, store.cursor("a", timeout=0) as two:
            assert next(one) == events[0]
            assert list(two) == events[2:]
            assert store.cursors()["a"].workers == 2
            two.ack()
            assert store.cursors()["a"].lag.events == 2
            assert list(one) == events[1:2]
            one.ack()
        assert store.cursors()["a"].position == store.position()

    def test_deleted_events_do_not_come(self, store: EventStore) -> None:
        save_all(store, _events(6))
        with store.cursor("a", batch=2, timeout=0) as cursor:
            next(cursor)
            for n in range(2, 6):
                store.delete(f"e{n}")
            assert ids(cursor) == ["e1"]
            cursor.ack()
            assert cursor.lag.events == 0

    def test_the_lag_is_how_much_is_left_and_how_old_it_is(self, store: EventStore) -> None:
        now = time.time()
        store.save_many(Event(str(n), timestamp=now - 100 + n) for n in range(5))
        with store.cursor("a", timeout=0) as cursor:
            assert cursor.lag.events == 5
            assert 100 <= cursor.lag.seconds < 100 + HANG
            next(cursor)
            next(cursor)
            cursor.ack()
            assert cursor.lag.events == store.cursors()["a"].lag.events == 3
            assert 98 <= cursor.lag.seconds < 98 + HANG

    def test_a_waiting_worker_gets_what_comes(self, store: EventStore) -> None:
        with store.cursor("a") as cursor:
            given: list[str] = []
            in_threads(
                lambda: given.extend(next(cursor).id for _ in range(3)),
                lambda: save_all(store, _events(3)),
            )
            assert given == ["e0", "e1", "e2"]

    def test_a_waiting_worker_gets_what_another_one_gives_back(self, store: EventStore) -> None:
        save_all(store, _events(3))
        other = store.cursor("a", timeout=0)
        assert len(list(other)) == 3
        with store.cursor("a", timeout=HANG) as cursor:
            in_threads(lambda: next(cursor), other.close)

    @pytest.mark.parametrize("what", ["cursor", "store"])
    def test_closing_ends_a_wait(self, store: EventStore, what: str) -> None:
        cursor = store.cursor("a")
        waits = threading.Event()

        def wait() -> None:
            waits.set()
            if what == "store":
                with pytest.raises(StoreClosed):
                    next(cursor)
            else:
                assert list(cursor) == []

        def close() -> None:
            waits.wait(HANG)
            time.sleep(0.05)
            (cursor if what == "cursor" else store).close()

        in_threads(wait, close)
        with pytest.raises(StoreClosed):
            cursor.ack()

    def test_a_deleted_cursor_is_gone(self, store: EventStore) -> None:
        events = save_all(store, _events(3))
        with store.cursor("a", timeout=0) as cursor:
            next(cursor)
            store.delete_cursor("a")
            assert store.cursors() == {}
            with pytest.raises(CursorLost, match="deleted"):
                cursor.ack()
        with pytest.raises(InvalidQuery, match="no cursor 'a'"):
            store.delete_cursor("a")
        with store.cursor("a", timeout=0) as cursor:
            assert list(cursor) == events

    def test_holding_is_noted(self, store: EventStore) -> None:
        for hold, noted in ((None, False), (True, True), (None, True), (False, False)):
            store.cursor("a", hold=hold, timeout=0).close()
            assert store.cursors()["a"].hold is noted

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *[("name", value) for value in ("", 7, None, LONE)],
            *[("after", value) for value in ("now", 7, "0:" + "5" * 32)],
            *[("flags", value) for value in ("x", 7)],
            ("match", "("),
            ("source", 7),
            *[("hold", value) for value in (1, 1.5, "yes")],
            *[("lease", value) for value in (0, -1, True, "1", None, 10**400)],
            *[("lease", float(value)) for value in ("inf", "nan")],
            *[("batch", value) for value in (0, -1, 1.5, True, None)],
            *[("timeout", value) for value in (-1, "1", True)],
        ],
    )
    def test_what_cannot_be_used_is_refused(self, store: EventStore, name: str, value: Any) -> None:
        arguments: dict[str, Any] = {"name": "a", name: value}
        with pytest.raises(InvalidQuery, match=f"^{name}: "):
            store.cursor(**arguments)
        assert store.cursors() == {}

    def test_a_closed_store_has_no_cursors(self, store: EventStore) -> None:
        save_all(store, _events(3))
        cursor = store.cursor("a", timeout=0)
        next(cursor)
        store.close()
        calls: list[Callable[[], object]] = [
            cursor.ack,
            lambda: cursor.lag,
            lambda: cursor.position,
            lambda: list(cursor),
            lambda: store.cursor("a"),
            store.cursors,
            lambda: store.delete_cursor("a"),
        ]
        for call in calls:
            with pytest.raises(StoreClosed):
                call()
        cursor.close()

    def test_a_snapshot_and_a_search_do_not_show_cursors(self, store: EventStore) -> None:
        save_all(store, _events(3))
        store.cursor("a", timeout=0).close()
        assert store.checkpoints() == {}
        assert len(store) == 3
        assert repr(store.cursor("a", timeout=0)) == "<Cursor 'a'>"
