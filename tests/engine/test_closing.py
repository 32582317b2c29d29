"""Closing a store beside threads of its process that are at work, with a limit and without."""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore, OpenBusy, StoreBusy, StoreClosed, WriteBusy
from lmdbstore.engine import registry
from lmdbstore.threads.forking import process_lock
from lmdbstore.threads.run_locked import run_locked
from tests.tools.children import in_child
from tests.tools.held_writer import LONG, NEW, HeldWriter, threads, waiting
from tests.tools.stopped import THEIRS, stopped
from tests.tools.waits import LIMIT, busy, named, with_one_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmdb import Transaction

    from lmdbstore.contract.commits.paged import Page
    from lmdbstore.disk.databases import Databases
    from lmdbstore.engine.environment import Environment
    from lmdbstore.engine.snapshot import Snapshot
    from lmdbstore.threads.deadline import Deadline

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
    """The last store of the process waits for it, and another one does not."""
    store = LMDBEventStore(filled)
    view = store.snapshot()
    with LMDBEventStore(filled) as other, beside(partial(read_until, view)):
        store.close(timeout=0)
        with pytest.raises(StoreClosed):
            view.get("old")
        assert other.stats().readers == 1
        busy(StoreBusy, partial(other.close, timeout=LIMIT), OF_A_THREAD)
        refuses_every_call(other)


def read_until(view: Snapshot, stay: Callable[[], None]) -> None:
    """Read a snapshot until `stay` returns; it may have been closed before that."""
    view._held.read(lambda *_: stay())


def test_a_snapshot_that_another_thread_reads_is_closed_without_waiting(filled: Path) -> None:
    """That thread ends the transaction as it leaves, and reads the state to the end."""
    with LMDBEventStore(filled) as store:
        view, found = store.snapshot(), list[bool]()

        def read(stay: Callable[[], None]) -> None:
            def work(txn: Transaction[bytes], databases: Databases) -> None:
                stay()
                found.append(txn.stat(databases.live)["entries"] == 1)

            view._held.read(work)

        with beside(read), LMDBEventStore(filled, timeout=0) as other:
            within_a_moment(view.close)
            view.close()
            with pytest.raises(StoreClosed):
                view.get("old")
            other.delete("old")
            assert store.stats().readers == 1
        assert found == [True]
        assert store.stats().readers == 0
        store.compact()


def within_a_moment(call: Callable[[], object]) -> None:
    """Make a call in a thread, and fail if it waits for this one."""
    with threads() as pool:
        pool.submit(call).result(LONG)


@pytest.mark.parametrize("gate", ["barred", "open"])
def test_a_snapshot_is_closed_beside_a_thread_that_keeps_all_out(filled: Path, gate: str) -> None:
    """As one does that forks, or adopts a larger map."""
    with LMDBEventStore(filled) as store:
        view, own = store.snapshot(), store._session._environment.gate
        with beside(own.keep_out if gate == "barred" else own.run):
            view.close()
        assert store.stats().readers == 0


@pytest.mark.parametrize("whole_store", [False, True])
def test_a_search_that_another_thread_reads_is_closed_without_waiting(
    filled: Path, *, whole_store: bool
) -> None:
    """That thread drops the page that it has read; the place of the search is unchanged."""
    with LMDBEventStore(filled) as own, LMDBEventStore(filled) as store:
        own.save_many(Event(f"e{n}", timestamp=2.0 + n) for n in range(500))
        search = store.search()
        assert next(search).id == "old"
        list(search._page.rest)
        token, next_page = search.token, search._next_page
        assert next_page is not None

        def read(stay: Callable[[], None]) -> None:
            def held() -> Page[Any, Any] | None:
                page = next_page()
                stay()
                return page

            search._next_page = held
            with pytest.raises(StoreClosed) if whole_store else nullcontext():
                assert list(search) == []

        with beside(read):
            if whole_store:
                store.close(timeout=0)
            else:
                search.close()
            assert search.token == token
        with pytest.raises(StoreClosed if whole_store else StopIteration):
            next(search)


def test_a_store_beside_a_thread_that_opens_or_compacts_another(filled: Path) -> None:
    store = LMDBEventStore(filled)
    with beside(partial(run_locked, process_lock())):
        busy(StoreBusy, partial(store.close, timeout=LIMIT), OF_A_THREAD)
    store.close(timeout=LONG)


def test_a_close_that_waited_until_another_thread_had_closed_the_store_does_nothing(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call that reaches its limit finds no files open that it could name."""
    store, go = LMDBEventStore(filled), threading.Event()
    refusal = registry._closing_busy

    with threads() as pool:

        def late(environment: Environment, deadline: Deadline) -> StoreBusy:
            go.set()
            pool.submit(store.close).result(LONG)
            return refusal(environment, deadline)

        monkeypatch.setattr(registry, "_closing_busy", late)
        inside = threading.Event()

        def stay() -> None:
            inside.set()
            assert go.wait(LONG)

        held = pool.submit(store._session._environment.gate.run, stay)
        assert inside.wait(LONG)
        store.close(timeout=0)
        held.result(LONG)
    store.close(timeout=0)


def test_a_call_that_began_before_the_store_was_closed_says_that_it_is_closed(path: Path) -> None:
    """And not that the program has closed its descriptors."""
    store = LMDBEventStore(path)
    environment = store._session._environment
    store.close()
    with pytest.raises(StoreClosed, match="the store is closed; open it again"):
        environment.flush()


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
