"""The contract of snapshots, and of closed stores, snapshots and searches."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.errors import EventNotFound, EventReadException, EventWriteException, StoreClosed

from .helpers import ids, in_threads, save_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdbstore.contract.api import EventStore

EVENTS = [Event(str(n), "s", float(n), ["a", str(n)], f"text {n}") for n in range(5)]

# Every call of a view, and every other call of a store.
READS: dict[str, Callable[[Any], object]] = {
    "get": lambda view: view.get("1"),
    "get-default": lambda view: view.get("1", None),
    "contains": lambda view: "1" in view,
    "search": lambda view: view.search(),
    "search-nothing": lambda view: view.search(limit=0),
    "search-after": lambda view: view.search(after=EVENTS[0]),
    "count": lambda view: view.count(),
    "explain": lambda view: view.explain(),
    "around": lambda view: view.around("1"),
    "flags": lambda view: view.flags(),
    "histogram": lambda view: view.histogram("day"),
    "facets": lambda view: view.facets(),
    "facets-of-some": lambda view: view.facets(flags=["a"]),
    "sources": lambda view: view.sources(),
    "len": len,
}
WRITES: dict[str, Callable[[Any], object]] = {
    "save": lambda store: store.save(Event("new")),
    "save_many": lambda store: store.save_many([Event("new")]),
    "save_many-nothing": lambda store: store.save_many([]),
    "save-ignored": lambda store: store.save(Event("1"), on_duplicate="ignore"),
    "save-replacing": lambda store: store.save(Event("1"), on_duplicate="replace"),
    "delete": lambda store: store.delete("1"),
    "delete_many": lambda store: store.delete_many(["1"]),
    "delete_many-nothing": lambda store: store.delete_many([]),
    "snapshot": lambda store: store.snapshot().__enter__(),
}


class ClosingContract:
    """Snapshots, and closing a store."""

    def test_a_snapshot_shows_what_the_store_held(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        with store.snapshot() as view:
            assert list(view.search()) == EVENTS
            assert view.get("1") == EVENTS[1]
            assert view.flags() == store.flags()
            assert len(view) == view.count() == 5
            assert bool(view) is True
            assert view.explain().strip()

    def test_later_writes_do_not_show_in_a_snapshot(self, store: EventStore) -> None:
        """Not in get, search, count, len, `in` or flags; an id used again shows its old event."""
        save_all(store, EVENTS)
        before = store.flags()
        with store.snapshot() as view:
            store.delete("1")
            store.delete("2")
            store.save(Event("new", "s", 1.0, ["a", "new"]))
            store.save(Event("2", "other", 9.0, ["other"]))
            assert list(view.search()) == EVENTS
            assert list(view.search(order="desc")) == EVENTS[::-1]
            assert view.get("1") == EVENTS[1]
            assert view.get("2") == EVENTS[2]
            assert view.get("new", None) is None
            with pytest.raises(EventNotFound):
                view.get("new")
            assert "1" in view
            assert "new" not in view
            assert len(view) == view.count() == 5
            assert view.count(flags=["a"]) == 5
            assert view.count(flags=["new"]) == 0
            assert view.flags() == before
            assert ids(view.search(after=EVENTS[2])) == ["3", "4"]
        assert sorted(ids(store.search())) == ["0", "2", "3", "4", "new"]

    def test_a_snapshot_of_many_pages(self, store: EventStore) -> None:
        store.save_many(Event(str(n), timestamp=float(n), tags=["f"]) for n in range(3_000))
        with store.snapshot() as view:
            searches = [view.search(), view.search(flags=["f"])]
            read = [[next(search).id] for search in searches]
            for n in range(0, 3_000, 20):
                store.delete(str(n))
            store.save_many(Event(f"new{n}", timestamp=float(n)) for n in range(500))
            for search, names in zip(searches, read, strict=True):
                assert names + ids(search) == [str(n) for n in range(3_000)]
            assert len(view) == 3_000

    def test_snapshots_of_different_states_side_by_side(self, store: EventStore) -> None:
        with store.snapshot() as none:
            store.save(EVENTS[0])
            with store.snapshot() as one:
                store.save(EVENTS[1])
                with store.snapshot() as two:
                    assert [len(view) for view in (none, one, two)] == [0, 1, 2]
            assert len(none) == 0
            store.delete("0")
            assert len(none) == 0
        assert len(store) == 1

    def test_a_snapshot_in_other_threads(self, store: EventStore) -> None:
        save_all(store, EVENTS)

        def read() -> None:
            for _ in range(20):
                assert list(view.search()) == EVENTS
                assert view.get("3") == EVENTS[3]
                assert len(view) == 5

        def write() -> None:
            for n in range(20):
                store.save(Event(f"new{n}"))

        with store.snapshot() as view:
            in_threads(read, read, write)

    @pytest.mark.parametrize("call", READS.values(), ids=READS.keys())
    def test_a_closed_snapshot_refuses_every_call(
        self, store: EventStore, call: Callable[[Any], object]
    ) -> None:
        """Every call raises StoreClosed; the store still works."""
        save_all(store, EVENTS)
        with store.snapshot() as view:
            pass
        with pytest.raises(StoreClosed):
            call(view)
        call(store)

    def test_a_search_of_a_snapshot_ends_with_it(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        with store.snapshot() as view:
            begun, fresh = view.search(), view.search()
            next(begun)
        for search in (begun, fresh):
            with pytest.raises(StoreClosed):
                next(search)

    def test_a_snapshot_ends_with_an_exception_too(self, store: EventStore) -> None:
        def fail() -> None:
            with store.snapshot() as view:
                views.append(view)
                raise ZeroDivisionError

        views: list[Any] = []
        with pytest.raises(ZeroDivisionError):
            fail()
        with pytest.raises(StoreClosed):
            len(views[0])
        store.save(EVENTS[0])

    def test_a_snapshot_ends_with_its_store(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        with store.snapshot() as view:
            search = view.search()
            next(search)
            store.close()
            with pytest.raises(StoreClosed):
                view.get("1")
            with pytest.raises(StoreClosed):
                next(search)

    @pytest.mark.parametrize(
        "call", [*READS.values(), *WRITES.values()], ids=[*READS.keys(), *WRITES.keys()]
    )
    def test_every_call_of_a_closed_store_is_refused(
        self, store: EventStore, call: Callable[[Any], object]
    ) -> None:
        """Each call raises StoreClosed, which is both a read and a write exception."""
        save_all(store, EVENTS)
        store.close()
        for _ in range(2):
            with pytest.raises(StoreClosed) as info:
                call(store)
            assert isinstance(info.value, EventReadException)
            assert isinstance(info.value, EventWriteException)

    def test_closing_again_does_nothing(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        store.close()
        store.close()
        with pytest.raises(StoreClosed):
            store.count()
        assert bool(store) is True

    def test_the_store_is_a_context_manager(self, store: EventStore) -> None:
        with store as entered:
            assert entered is store
            store.save(EVENTS[0])
        with pytest.raises(StoreClosed):
            store.get("0")

    def test_a_store_closes_when_its_block_fails(self, store: EventStore) -> None:
        with pytest.raises(ZeroDivisionError), store:
            raise ZeroDivisionError
        with pytest.raises(StoreClosed):
            store.count()

    @pytest.mark.parametrize("given", [0, 1, 4])
    def test_a_half_read_search_ends_with_store_closed(self, store: EventStore, given: int) -> None:
        """This holds even if its next events were already read; the token does not change."""
        save_all(store, EVENTS)
        search = store.search()
        for _ in range(given):
            next(search)
        token = search.token
        store.close()
        for _ in range(2):
            with pytest.raises(StoreClosed):
                next(search)
            with pytest.raises(StoreClosed):
                list(search)
        assert search.token == token

    def test_a_loop_over_a_search_ends_with_store_closed(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        read = []

        def loop() -> None:
            for event in store.search():
                read.append(event.id)
                store.close()

        with pytest.raises(StoreClosed):
            loop()
        assert read == ["0"]

    def test_a_search_read_to_its_end_stays_at_its_end(self, store: EventStore) -> None:
        """So does a closed search: after the store is closed, both still raise StopIteration."""
        save_all(store, EVENTS)
        ended, closed = store.search(), store.search()
        assert len(list(ended)) == 5
        next(closed)
        closed.close()
        store.close()
        for search in (ended, closed):
            with pytest.raises(StopIteration):
                next(search)
            assert list(search) == []

    def test_a_search_closed_after_its_store(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        with store.search() as search:
            next(search)
            store.close()
        with pytest.raises(StopIteration):
            next(search)

    def test_closing_while_threads_read_and_write(self, store: EventStore) -> None:
        """Each call of these threads does its work or raises StoreClosed."""
        store.save_many(EVENTS)

        def repeat(work: Callable[[int], object]) -> None:
            for n in itertools.count():
                work(n)

        def until_closed(work: Callable[[int], object]) -> None:
            with pytest.raises(StoreClosed):
                repeat(work)

        def close() -> None:
            for _ in range(20):
                store.count()
            store.close()

        in_threads(
            lambda: until_closed(lambda n: store.save(Event(f"new{n}"))),
            lambda: until_closed(lambda _: store.get("1")),
            lambda: until_closed(lambda _: ids(store.search())),
            close,
        )

    def test_a_generator_that_closes_the_store(self, store: EventStore) -> None:
        """The `save_many` that reads the generator raises StoreClosed."""

        def closing() -> Iterator[Event]:
            yield EVENTS[0]
            store.close()

        with pytest.raises(StoreClosed):
            store.save_many(closing())
