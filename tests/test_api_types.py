"""The public API as a typed client uses it: mypy checks this file, and pytest runs it.

`assert_type` fails the type check when a method's type changes; an unused `type: ignore` fails it
when a wrong call is accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type
from uuid import UUID

import pytest

import lmdbstore
from lmdbstore import (
    Changes,
    Count,
    Cursor,
    CursorInfo,
    Event,
    EventNotFound,
    EventReadException,
    EventStore,
    EventStoreException,
    EventView,
    EventWriteException,
    InvalidEvent,
    InvalidOption,
    InvalidQuery,
    Lag,
    LeftOut,
    LMDBEventStore,
    MemoryEventStore,
    SaveResult,
    Search,
    StoreClosed,
    StoreStatistics,
    open_store,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def events() -> Iterator[Event]:
    yield Event()
    yield Event("a", "door", 1, ("x",), None)
    yield Event(id="b", source="door", timestamp=1.5, tags=["x", "y"], content="opened")


def use_event(event: Event) -> None:
    assert_type(event.id, str)
    assert_type(event.source, str)
    assert_type(event.timestamp, float)
    assert_type(event.tags, list[str])
    assert_type(event.content, str)
    id_, _, timestamp, tags, content = event
    assert_type((id_, timestamp, tags, content), tuple[str, float, list[str], str])
    assert_type(event._replace(content="closed"), Event)


def use_view(view: EventView) -> None:
    assert_type(view.get("a"), Event)
    assert_type(view.get("a", None), Event | None)
    assert_type(view.get("nobody", default=7), Event | int)
    assert_type(view.get(UUID(int=7), None), Event | None)
    assert_type(view.flags(), dict[str, int])
    assert_type(len(view), int)
    assert_type("a" in view, bool)
    assert_type(bool(view), bool)


def use_search(view: EventView) -> None:
    search = view.search(0, 2.5, {"x"}, "open", "desc", source="door", limit=7, after=None)
    assert_type(search, Search)
    assert_type(search.token, str | None)
    assert_type(next(search), Event)
    assert_type(list(search), list[Event])
    with view.search(flags=("x", "y"), after=search.token) as again:
        assert_type(again, Search)
        for event in again:
            assert_type(event, Event)
    assert_type(view.search(after=view.get("a")), Search)
    assert_type(view.count(ts_end=2.5, match="open"), Count)
    assert_type(view.search(damaged="skip").left_out, LeftOut)
    assert_type(view.count(damaged="skip").left_out.events, int)
    assert_type(view.explain(flags=["x"]), str)
    search.close()


def use_feed(store: EventStore) -> None:
    position = store.position()
    assert_type(position, str)
    changes = store.changes(position, None, ["x"], "open", source="door", timeout=5)
    assert_type(changes, Changes)
    assert_type(changes.position, str)
    with store.follow("start", {"x"}, source="door", timeout=0) as found:
        assert_type(found, Changes)
        assert_type(list(found), list[Event])


def use_cursors(store: EventStore) -> None:
    with store.cursor("a", None, ["x"], source="door", hold=True, timeout=0) as cursor:
        assert_type(cursor, Cursor)
        assert_type(list(cursor), list[Event])
        assert_type(cursor.lag, Lag)
        assert_type(cursor.lag.events, int)
        cursor.ack()
    assert_type(store.cursors(), dict[str, CursorInfo])
    store.delete_cursor("a")


def use_store(store: EventStore) -> None:
    assert_type(store.save_many(events()), SaveResult)
    saved = store.save_many([Event()], on_duplicate="ignore", checkpoint=("log", "1"))
    assert_type(saved.saved + saved.ignored + saved.replaced, int)
    store.save(Event("c"))
    use_event(store.get("b"))
    use_view(store)
    use_search(store)
    use_feed(store)
    use_cursors(store)
    with store.snapshot() as view:
        assert_type(view, EventView)
        use_view(view)
        use_search(view)
    store.delete("c")
    store.delete(UUID(store.get(next(store.search(order="desc")).id).id))
    with store as entered:
        assert_type(entered, EventStore)


def test_a_typed_client_can_use_any_store(path: Path) -> None:
    use_store(MemoryEventStore())
    use_store(LMDBEventStore(path, create=True, readonly=False, durability="none"))


def test_a_typed_client_can_use_our_stores(path: Path) -> None:
    """The stores have the types of the contract, not wider ones."""
    with LMDBEventStore(str(path), consistency="snapshot", map_size=None, max_readers=10) as store:
        assert_type(store, LMDBEventStore)
        assert_type(store.stats(), StoreStatistics)
        store.save(Event("a"))
        assert_type(store.get("a"), Event)
        assert_type(store.get("b", None), Event | None)
        assert_type(store.search(), Search)
        with store.snapshot() as view:
            assert_type(view.get("a"), Event)
    memory = MemoryEventStore()
    memory.save(Event("a"))
    assert_type(memory.get("a"), Event)
    assert_type(memory.get("b", None), Event | None)
    with memory.snapshot() as memory_view:
        assert_type(memory_view.get("a"), Event)


def test_a_typed_client_can_use_a_store_by_its_address(path: Path) -> None:
    with open_store(f"lmdb:{path}", timeout=None, durability="none", map_size=1 << 30) as store:
        assert_type(store, EventStore)
    with pytest.raises(InvalidOption):
        open_store(f"lmdb:{path}", consistency="none")  # type: ignore[arg-type]
    with pytest.raises(InvalidOption):
        open_store(path)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        open_store(f"lmdb:{path}", size=7)  # type: ignore[call-arg]


def test_exceptions_are_caught_by_what_the_caller_can_do() -> None:
    kinds: list[tuple[type[Exception], type[Exception]]] = [
        (InvalidEvent, EventWriteException),
        (InvalidEvent, ValueError),
        (InvalidQuery, EventReadException),
        (InvalidQuery, ValueError),
        (EventNotFound, EventReadException),
        (StoreClosed, EventReadException),
        (StoreClosed, EventWriteException),
        (EventReadException, EventStoreException),
        (EventWriteException, EventStoreException),
    ]
    for kind, base in kinds:
        assert issubclass(kind, base)


def test_wrong_calls_fail_the_type_check_and_at_run_time() -> None:
    with MemoryEventStore() as store:
        with pytest.raises(InvalidEvent):
            store.save("a")  # type: ignore[arg-type]
        with pytest.raises(InvalidQuery):
            store.get(7)  # type: ignore[call-overload]
        with pytest.raises(InvalidQuery):
            store.search("yesterday")  # type: ignore[arg-type]
        with pytest.raises(InvalidQuery):
            store.search(limit="7")  # type: ignore[arg-type]
        with pytest.raises(InvalidQuery):
            store.save_many([], on_duplicate="skip")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            store.search(None, None, None, None, "asc", "door")  # type: ignore[call-arg]


def test_a_view_cannot_write() -> None:
    with MemoryEventStore() as store, store.snapshot() as view:
        for name in ("save", "save_many", "delete"):
            assert not hasattr(view, name)


def test_a_store_must_define_the_abstract_methods() -> None:
    class Incomplete(EventStore):
        def save_many(self, events: Iterable[Event], **_: Any) -> SaveResult:
            return SaveResult(len(list(events)))

    incomplete: Any = Incomplete
    with pytest.raises(TypeError, match="abstract"):
        incomplete()


def test_every_public_name_exists() -> None:
    assert sorted(lmdbstore.__all__) == lmdbstore.__all__
    for name in lmdbstore.__all__:
        assert getattr(lmdbstore, name).__doc__
