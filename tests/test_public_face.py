"""What a person sees of the package in an editor or a REPL."""

from __future__ import annotations

import inspect
import pydoc
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import lmdbstore
from lmdbstore import Count, Event, LMDBEventStore, MemoryEventStore, StoreClosed
from lmdbstore.engine.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmdbstore import EventStore

CLASSES = [LMDBEventStore, MemoryEventStore, Snapshot]
SEEN = ["get", "search", "count", "explain", "flags"]  # of a store, and of a snapshot


@pytest.fixture(params=["memory", "lmdb"])
def filled(request: pytest.FixtureRequest, path: Path) -> Iterator[EventStore]:
    with MemoryEventStore() if request.param == "memory" else LMDBEventStore(path) as store:
        store.save(Event("a", timestamp=1.0, tags=["f"], content="x"))
        yield store


def test_dir_shows_the_public_names_alone() -> None:
    assert dir(lmdbstore) == sorted([*lmdbstore.__all__, "__version__"])


@pytest.mark.parametrize("kind", CLASSES)
def test_every_public_method_has_the_whole_docstring(kind: type) -> None:
    """Where the class is, not where the method was inherited from."""
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_"):
            assert method.__doc__, name
            assert "See `Event" not in method.__doc__, name
            assert method.__qualname__ == f"{kind.__name__}.{name}"
            assert method.__module__ == kind.__module__
    for name in ("get", "search"):
        assert "Raises:\n" in pydoc.render_doc(getattr(kind, name)), name
    assert "inclusive" in pydoc.render_doc(vars(kind)["search"])


def test_help_on_a_store_shows_the_arguments_of_a_search(filled: EventStore) -> None:
    text = pydoc.plain(pydoc.render_doc(filled.search))
    for word in ("ts_start", "flags", "match", "order", "limit", "after", "InvalidQuery"):
        assert word in text


@pytest.mark.parametrize("name", SEEN)
def test_a_wrong_keyword_blames_the_method_that_was_called(filled: EventStore, name: str) -> None:
    with filled.snapshot() as view:
        for one in (filled, view):
            method: Any = getattr(one, name)
            arguments = ["a"] if name == "get" else []
            with pytest.raises(TypeError, match=rf"^{type(one).__name__}\.{name}\(\) got an unex"):
                method(*arguments, wrong=1)


def test_a_subclass_of_a_user_keeps_its_own_methods() -> None:
    class Counting(MemoryEventStore):
        def count(self, *_: Any, **__: Any) -> Count:
            return Count(7)

    with Counting() as store:
        assert len(store) == store.count() == 7


def test_a_search_says_what_is_searched_and_where_it_is(filled: EventStore) -> None:
    assert repr(filled.search()) == "<Search for all events>"
    search = filled.search(0, 2.5, ["f"], "x+", "desc", source="", limit=3)
    conditions = "ts_start=0.0, ts_end=2.5, flags=['f'], match='x+', order='desc', source='', limit"
    assert repr(search) == f"<Search for events with {conditions}=3>"
    token = (next(search), search.token)[1]
    assert repr(search) == f"<Search for events with {conditions}=3, at {token!r}>"
    assert list(search) == []
    assert repr(search) == f"<Search for events with {conditions}=3, at {token!r}, ended>"
    assert repr(filled.search(match="y" * 99)).count("y") < 60


def test_a_snapshot_says_that_it_is_one_and_of_what(path: Path) -> None:
    with LMDBEventStore(path) as store:
        view = store.snapshot()
        assert repr(view) == f"<a snapshot of {str(path)!r}>"
        with view:
            pass
        assert repr(view) == f"<a snapshot of {str(path)!r}, closed>"
    with MemoryEventStore() as memory, memory.snapshot() as frozen:
        assert repr(frozen) == "<a snapshot of a MemoryEventStore>"
        assert repr(memory) == "<MemoryEventStore>"


def test_statistics_say_what_each_figure_is(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("a", timestamp=1.5))
        shown = repr(store.stats())
    assert shown.startswith("StoreStatistics(events=1, oldest=1.5, newest=1.5, flags=0, ")
    assert "file_bytes=" in shown


def test_a_closed_store_says_so_in_the_same_words_to_every_call(path: Path) -> None:
    store = LMDBEventStore(path)
    store.save(Event("a"))
    search, view = store.search(), store.snapshot()
    store.close()
    said = set()
    calls: list[Callable[[], object]] = [store.search, store.stats, store.flags]
    calls += [partial(store.get, "a"), partial(next, search)]
    for call in calls:
        with pytest.raises(StoreClosed) as caught:
            call()
        said.add(str(caught.value))
    assert said == {f"the store {str(path)!r} is closed; open it again"}
    with pytest.raises(StoreClosed, match=r"the snapshot of .* is closed; take a new one"):
        view.get("a")
