"""The contract of a store and of a search that several threads use."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.errors import DuplicateEvent, EventNotFound

from .helpers import assert_empty, ids, in_threads

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmdbstore.contract.api import EventStore

THREADS = 8
EACH = 30  # events saved by each thread


class SharingContract:
    """One store, used by many threads."""

    def test_a_search_may_be_read_in_another_thread(self, store: EventStore) -> None:
        store.save_many(Event(str(n), timestamp=float(n)) for n in range(1_000))
        search = store.search()
        read = [next(search).id]
        in_threads(lambda: read.extend(ids(search)))
        assert read == [str(n) for n in range(1_000)]

    def test_a_search_may_be_begun_in_another_thread(self, store: EventStore) -> None:
        store.save_many(Event(str(n), timestamp=float(n)) for n in range(1_000))
        searches = []
        in_threads(lambda: searches.append(store.search(limit=999)))
        assert ids(searches[0]) == [str(n) for n in range(999)]

    def test_one_search_read_by_four_threads_gives_each_event_once(self, store: EventStore) -> None:
        """This holds for `next` and for loops; each thread gets its events in order."""
        store.save_many(Event(str(n), timestamp=float(n)) for n in range(4_000))
        search = store.search()
        shares: list[list[int]] = [[], [], [], []]

        def by_loop(share: list[int]) -> None:
            for event in search:
                share.append(int(event.id))  # noqa: PERF401  an error keeps those before it

        def by_next(share: list[int]) -> None:
            while event := next(search, None):
                share.append(int(event.id))

        in_threads(
            *(partial(by_loop, share) for share in shares[:2]),
            *(partial(by_next, share) for share in shares[2:]),
        )
        assert sorted(n for share in shares for n in share) == list(range(4_000))
        for share in shares:
            assert share == sorted(share)

    def test_threads_that_save_delete_and_read_at_once(self, store: EventStore) -> None:
        """Each thread sees its own writes at once; at the end, all undeleted events are there."""

        def work(name: str) -> None:
            for n in range(EACH):
                event = Event(f"{name}-{n}", name, float(n % 3), [name, "all"], f"text {n}")
                store.save(event)
                assert store.get(event.id) == event
                if n % 2:
                    store.delete(event.id)
                    assert event.id not in store
                assert store.count(flags=[name]) == n // 2 + 1
                assert all("all" in found.tags for found in store.search(match="^text", limit=5))

        names = [f"thread{n}" for n in range(THREADS)]
        in_threads(*(partial(work, name) for name in names))
        kept = [f"{name}-{n}" for name in names for n in range(0, EACH, 2)]
        assert sorted(ids(store.search())) == sorted(kept)
        assert len(store) == len(kept)
        assert store.flags() == {**dict.fromkeys(names, EACH // 2), "all": len(kept)}

    def test_threads_that_save_batches_at_once(self, store: EventStore) -> None:
        """A batch is seen whole or not at all; its events stay together and in order."""

        def work(name: str) -> None:
            for batch in range(5):
                store.save_many(Event(f"{name}-{batch}-{n}", timestamp=1.0) for n in range(7))
                assert_whole(ids(store.search()))

        def assert_whole(found: list[str]) -> None:
            for place in range(0, len(found), 7):
                name = found[place][:-2]
                assert found[place : place + 7] == [f"{name}-{n}" for n in range(7)]

        in_threads(*(partial(work, f"thread{n}") for n in range(THREADS)))
        assert len(store) == THREADS * 5 * 7
        assert_whole(ids(store.search()))

    def test_one_of_many_threads_saves_an_id_and_one_deletes_it(self, store: EventStore) -> None:
        """The others get DuplicateEvent or EventNotFound; the one saved event is stored."""
        saved: list[str] = []
        deleted: list[str] = []

        def save(name: str) -> None:
            try:
                store.save(Event("one", content=name))
            except DuplicateEvent:
                return
            saved.append(name)

        def delete(name: str) -> None:
            try:
                store.delete("one")
            except EventNotFound:
                return
            deleted.append(name)

        names = [str(n) for n in range(THREADS)]
        for _ in range(5):
            in_threads(*(partial(save, name) for name in names))
            assert [store.get("one").content] == saved
            in_threads(*(partial(delete, name) for name in names))
            assert len(deleted) == 1
            assert_empty(store)
            saved.clear()
            deleted.clear()

    def test_a_refused_write_fails_only_in_its_own_thread(self, store: EventStore) -> None:
        store.save(Event("taken"))

        def good(name: str) -> None:
            for n in range(EACH):
                store.save(Event(f"{name}-{n}"))

        def bad(events: Iterable[Event]) -> None:
            for event in events:
                with pytest.raises(DuplicateEvent):
                    store.save(event)

        in_threads(
            *(partial(good, f"good{n}") for n in range(4)),
            *(partial(bad, [Event("taken")] * EACH) for _ in range(4)),
        )
        assert len(store) == 4 * EACH + 1
