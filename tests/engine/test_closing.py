"""Closing a store beside threads of its process that are at work, with a limit and without."""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore, OpenBusy, StoreBusy, StoreClosed, WriteBusy
from lmdbstore.threads.forking import process_lock
from lmdbstore.threads.run_locked import run_locked
from tests.tools.children import in_child
from tests.tools.held_writer import LONG, NEW, HeldWriter, threads, waiting
from tests.tools.stopped import THEIRS, stopped
from tests.tools.waits import LIMIT, busy, named, with_one_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OF_A_THREAD = "another thread of this process"


@pytest.fixture
def filled(path: Path) -> Path:
    return with_one_event(path)


@contextmanager
def beside(hold: Callable[[Callable[[], None]], object]) -> Iterator[None]:
    """Let a thread call `hold` with a function that returns at the end of the block."""
    held, go = threading.Event(), threading.Event()

    def stay() -> None:
        held.set()
        assert go.wait(LONG)

    with threads() as pool:
        holder = pool.submit(hold, stay)
        assert held.wait(LONG)
        try:
            yield
        finally:
            go.set()
            holder.result(LONG)


def refuses_every_call(store: LMDBEventStore) -> None:
    for call in (store.stats, partial(store.get, "old"), partial(store.save, NEW), store.snapshot):
        with pytest.raises(StoreClosed):
            call()


# -- beside a thread that waits for another process -----------------------------------------------


def test_a_store_that_cannot_be_closed_names_the_process_that_its_thread_waits_for(
    filled: Path,
) -> None:
    """The write that is under way is carried out, and reported to its thread."""
    store = LMDBEventStore(filled)
    with threads() as pool, stopped(filled, "write") as other:
        write = pool.submit(store.save, NEW)
        assert waiting(write)
        close = partial(store.close, timeout=LIMIT)
        busy(StoreBusy, close, OF_A_THREAD, named(other.pid), "close it again")
        refuses_every_call(store)
        busy(StoreBusy, partial(store.close, timeout=0), named(other.pid), limit=0)
        assert waiting(write)
        other.go()
        write.result(LONG)
        store.close(timeout=LONG)
        store.close(timeout=0)
    with LMDBEventStore(filled) as again:
        assert {event.id for event in again.search()} == {"old", "new", THEIRS}


def test_the_end_of_a_with_block_has_the_limit_of_the_store(filled: Path) -> None:
    """It raises the error, and the store can be closed later; so can one whose block failed."""
    with threads() as pool, stopped(filled, "write") as other:
        store = LMDBEventStore(filled, timeout=LIMIT, consistency="snapshot")

        def block() -> None:
            with store:
                raise ZeroDivisionError

        write = pool.submit(store.save, NEW, timeout=None)
        assert waiting(write)
        busy(StoreBusy, block, named(other.pid))
        with pytest.raises(StoreBusy) as caught:
            block()
        assert isinstance(caught.value.__context__, ZeroDivisionError)
        refuses_every_call(store)
        other.go()
        write.result(LONG)
        store.close()


@pytest.mark.parametrize("limit", [None, LONG])
def test_a_close_that_waits_holds_up_no_opening_and_no_fork(
    filled: Path, tmp_path: Path, limit: float | None
) -> None:
    store = LMDBEventStore(filled)
    with threads() as pool, stopped(filled, "write") as other:
        write = pool.submit(store.save, NEW)
        assert waiting(write)
        close = pool.submit(store.close, timeout=limit)
        assert waiting(close)
        with LMDBEventStore(tmp_path / "new", timeout=0) as new:
            new.save(NEW)
            in_child(lambda: new.save(Event("of the child")))
            assert len(new) == 2
        with LMDBEventStore(filled, consistency="snapshot", timeout=0) as reader:
            assert "old" in reader
            assert waiting(write)
            busy(WriteBusy, partial(reader.save, Event("too"), timeout=0), limit=0)
            other.go()
            write.result(LONG)
            close.result(LONG)
            assert len(reader) == 3
    refuses_every_call(store)


def test_a_store_that_was_dropped_unclosed_is_closed_by_the_next_opening(filled: Path) -> None:
    store = LMDBEventStore(filled)
    with beside(store._session._environment.gate.run):
        busy(StoreBusy, partial(store.close, timeout=LIMIT))
    environment = store._session._environment
    del store
    gc.collect()  # tracebacks of the errors
    with LMDBEventStore(filled) as again:
        assert environment.gate.closed
        assert len(again) == 1


# -- beside a thread that does not end ------------------------------------------------------------


def test_a_store_with_an_endless_operation_is_closed_when_that_has_ended(filled: Path) -> None:
    """What is inside LMDB, such as a flush of a hung disk; in the meantime others may open it."""
    store = LMDBEventStore(filled)
    gate = store._session._environment.gate
    with beside(gate.run):
        busy(StoreBusy, partial(store.close, timeout=LIMIT), OF_A_THREAD)
        busy(StoreBusy, partial(store.close, timeout=0), limit=0)
        refuses_every_call(store)
        other = LMDBEventStore(filled, timeout=0)
        assert other._session._environment.gate is gate
        other.save(NEW)
        store.close(timeout=0)  # it is not the last one
        other.save(Event("next"))
        with pytest.raises(StoreBusy):
            other.close(timeout=0)
    assert not gate.closed
    other.close(timeout=0)
    assert gate.closed


def test_a_store_beside_a_write_that_does_not_end(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LMDBEventStore(filled)
    with threads() as pool:
        held = HeldWriter(monkeypatch)
        write = pool.submit(store.save, NEW)
        assert held.reached.wait(LONG)
        busy(StoreBusy, partial(store.close, timeout=LIMIT), OF_A_THREAD)
        held.go.set()
        write.result(LONG)
        store.close(timeout=LONG)


def test_a_store_whose_snapshot_is_read_by_another_thread(filled: Path) -> None:
    store = LMDBEventStore(filled)
    view = store.snapshot()
    with beside(lambda stay: view._held.read(lambda *_: stay())):
        busy(StoreBusy, partial(store.close, timeout=LIMIT), "snapshot", "another thread")
        refuses_every_call(store)
    store.close(timeout=LONG)
    with pytest.raises(StoreClosed):
        view.get("old")


def test_a_store_that_another_thread_verifies_or_copies(filled: Path) -> None:
    """They hold a transaction, too."""
    store = LMDBEventStore(filled)
    held = store._session.hold()
    with beside(lambda stay: held.read(lambda *_: stay())):
        busy(StoreBusy, partial(store.close, timeout=LIMIT), "snapshot", "another thread")
    store.close(timeout=LONG)


def test_a_store_whose_search_is_read_by_another_thread(filled: Path) -> None:
    store = LMDBEventStore(filled)
    search = store.search()
    with beside(search._opening.run):
        busy(StoreBusy, partial(store.close, timeout=LIMIT), "search", "another thread")
        refuses_every_call(store)
    store.close(timeout=LONG)
    with pytest.raises(StoreClosed):
        next(search)


def test_a_store_beside_a_thread_that_opens_or_compacts_another(filled: Path) -> None:
    store = LMDBEventStore(filled)
    with beside(partial(run_locked, process_lock())):
        busy(StoreBusy, partial(store.close, timeout=LIMIT), OF_A_THREAD)
    store.close(timeout=LONG)


def test_an_opening_that_has_to_close_a_lost_store_first_waits_until_its_limit(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose descriptors someone else has closed, while a thread is still at work in it."""
    store = LMDBEventStore(filled)
    environment = store._session._environment
    with beside(environment.gate.run):
        monkeypatch.setattr(type(environment.barrier), "is_lost", True)
        monkeypatch.setattr(environment, "_forget_lost", lambda: False)
        busy(OpenBusy, partial(LMDBEventStore, filled, timeout=LIMIT), OF_A_THREAD)
        monkeypatch.undo()
    store.close()
