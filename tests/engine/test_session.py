"""A session ends for everything that was made by its store, and lives as long as that does."""

from __future__ import annotations

import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore, StoreClosed
from lmdbstore.read import found
from lmdbstore.read.executor import Executor
from tests.tools.children import LONG

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmdb import Transaction

    from lmdbstore import Search
    from lmdbstore.disk.databases import Databases


@pytest.fixture
def filled(path: Path) -> LMDBEventStore:
    store = LMDBEventStore(path, durability="none")
    store.save_many(Event(f"e{n}", timestamp=float(n), content="x") for n in range(3000))
    return store


@pytest.mark.parametrize("of", ["store", "snapshot"])
@pytest.mark.parametrize("read", [list, lambda search: search])
def test_closing_ends_a_search_at_its_next_page(
    filled: LMDBEventStore, monkeypatch: pytest.MonkeyPatch, of: str, read: Callable[..., Any]
) -> None:
    """It does not wait until everything was searched, by `search` or by `count`."""
    view = filled if of == "store" else filled.snapshot()
    chunks, ended = 0, []
    reading, closing = threading.Event(), threading.Event()
    next_chunk = Executor._next_part

    def noted(executor: Executor, txn: Transaction[bytes], databases: Databases) -> Any:
        nonlocal chunks
        chunks += 1
        reading.set()
        assert closing.wait(LONG)
        return next_chunk(executor, txn, databases)

    def search() -> None:
        try:
            if read is list:
                list(view.search(match="y$"))
            else:
                view.count(match="y$")
        except StoreClosed as error:
            ended.append(error)

    monkeypatch.setattr(Executor, "_next_part", noted)
    monkeypatch.setattr(found, "MOST_RUNS", 1)
    end = view._end

    def noted_end(*arguments: Any) -> None:
        view._closed = False
        closing.set()
        end(*arguments)

    monkeypatch.setattr(view, "_end", noted_end)
    thread = threading.Thread(target=search)
    thread.start()
    assert reading.wait(LONG)
    view.close()
    thread.join()
    filled.close()
    assert len(ended) == 1
    assert chunks <= 2


def test_an_interrupt_as_a_store_is_closed_leaves_no_call_that_works(
    filled: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = filled.search()
    next(search)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(filled, "_end", interrupted)
        with pytest.raises(KeyboardInterrupt):
            filled.close()
    for call in (lambda: filled.get("e1"), lambda: filled.save(Event("x")), lambda: len(filled)):
        with pytest.raises(StoreClosed):
            call()
    filled.close()


def test_a_search_keeps_the_snapshot_and_the_store_that_it_is_of(
    path: Path, tmp_path: Path
) -> None:
    def began() -> Search:
        store = LMDBEventStore(path)
        store.save_many(Event(f"e{n}", timestamp=float(n)) for n in range(3000))
        search = store.snapshot().search()
        next(search)
        return search

    search = began()
    LMDBEventStore(tmp_path / "other").close()  # an opening closes stores that were dropped
    assert len(list(search)) == 2999
    del search
    LMDBEventStore(tmp_path / "other").close()


def test_closing_a_store_ends_a_search_of_its_forgotten_snapshot(
    filled: LMDBEventStore, path: Path
) -> None:
    with LMDBEventStore(path, durability="none"):
        search = filled.snapshot().search()
        next(search)
        filled.close()
        with pytest.raises(StoreClosed):
            list(search)


@pytest.mark.parametrize("work", ["verify", "backup", "compact"])
def test_closing_a_store_ends_the_work_on_the_whole_of_it(
    filled: LMDBEventStore, path: Path, tmp_path: Path, work: str
) -> None:
    """Also where another store of the process has the folder open."""
    arguments = [tmp_path / "copy"] if work == "backup" else []
    with LMDBEventStore(path, durability="none") as other:
        with pytest.raises(StoreClosed):
            getattr(filled, work)(*arguments, progress=lambda *_: filled.close())
        assert len(other) == 3000
    assert not (tmp_path / "copy").exists()


class Tagged:
    tag = ""

    def __init_subclass__(cls, *, tag: str = "", **named: Any) -> None:
        super().__init_subclass__(**named)
        cls.tag = tag


class Mine(LMDBEventStore, Tagged, tag="t"):
    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "extra": 5}


def test_a_subclass_may_take_keywords_and_add_to_what_is_pickled(path: Path) -> None:
    with Mine(path) as store:
        store.save(Event("a"))
        with pickle.loads(pickle.dumps(store)) as copy:
            assert (copy.extra, Mine.tag, copy.get("a").id) == (5, "t", "a")


def test_a_store_whose_constructor_fails_can_be_shown() -> None:
    store = LMDBEventStore.__new__(LMDBEventStore)
    assert repr(store) == "<LMDBEventStore None>"
