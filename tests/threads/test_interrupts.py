"""Interrupts: an exception may come after any call, and a signal handler may call the store."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    EventStoreException,
    LMDBEventStore,
    MemoryEventStore,
    StoreClosed,
    repair,
    verify,
)
from lmdbstore.disk.folder import StoreFolder
from lmdbstore.processes.barrier import write_lock
from lmdbstore.read import executor as pager
from lmdbstore.threads.forking import process_lock
from lmdbstore.threads.gate import Gate
from lmdbstore.write.transaction import WriteTransaction
from tests.tools.children import in_child
from tests.tools.interrupts import Interrupted, struck_by

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUNDS = 400
LONG = 60  # seconds; ends a hang, decides nothing

pytestmark = pytest.mark.filterwarnings(
    # Where an interrupt strikes in a weak reference's callback, Python reports and drops it.
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


def save_and_delete(store: LMDBEventStore) -> None:
    event = Event(tags=["f"])
    store.save(event)
    store.delete(event.id)


def in_a_snapshot(store: LMDBEventStore) -> None:
    with store.snapshot() as view:
        view.get("e5")


def save_many(store: LMDBEventStore) -> None:
    store.save_many([Event(), Event()])


def save_within(store: LMDBEventStore) -> None:
    store.save(Event(), timeout=LONG)


CALLS: dict[str, Callable[[LMDBEventStore], object]] = {
    "get": lambda store: store.get("e5"),
    "search": lambda store: list(store.search(limit=5)),
    "count": lambda store: store.count(match="c1"),
    "snapshot": in_a_snapshot,
    "save, delete": save_and_delete,
    "save_many": save_many,
    "save with a limit": save_within,
}


def open_and_close(store: LMDBEventStore) -> None:
    LMDBEventStore(store._path, durability="none").close()


def fork(_: LMDBEventStore) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


MORE_CALLS: dict[str, Callable[[LMDBEventStore], object]] = {
    "open, close": open_and_close,
    "compact": lambda store: store.compact(),
    "fork": fork,
}


def locks_of(store: LMDBEventStore) -> dict[str, threading.RLock]:
    environment = store._session._environment
    return {
        "process": process_lock(),
        "opening": store._opening._lock,
        "gate, mutex": environment.gate._mutex,
        "gate, barring": environment.gate._barring,
        "leading": environment.writer._leading,
        "waiting": environment.barrier._waiting,
        "notes": environment.notes._choosing._lock,
    }


def strike_often(path: Path, call: Callable[[LMDBEventStore], object], rounds: int) -> None:
    """Interrupt a call at many moments; after each, nothing is held that others wait for.

    That is: the gate, a lock, the byte that makes readers wait, or a queued write.
    """

    def interrupt() -> None:
        raise Interrupted

    with (
        LMDBEventStore(path, durability="none") as store,
        open(path / "barrier", "rb") as barrier,
        struck_by(interrupt) as strike,
    ):
        store.save_many(Event(f"e{n}", timestamp=float(n), content=f"c{n}") for n in range(100))
        environment = store._session._environment
        for number in range(rounds):
            with suppress(Interrupted):
                for _ in strike(number):
                    call(store)
            assert not environment.gate._inside
            assert not environment.gate._barred
            assert not environment.barrier.up
            assert not environment.writer.writing_here
            assert not environment.writer._queue
            for lock in locks_of(store).values():
                with pytest.raises(RuntimeError):
                    lock.release()
            fcntl.flock(barrier, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(barrier, fcntl.LOCK_UN)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_interrupt_leaves_nothing_held(
    path: Path, call: Callable[[LMDBEventStore], object]
) -> None:
    strike_often(path, call, ROUNDS)


@pytest.mark.parametrize("call", MORE_CALLS.values(), ids=MORE_CALLS)
def test_an_interrupt_of_a_call_that_opens_files_leaves_nothing_held(
    path: Path, call: Callable[[LMDBEventStore], object]
) -> None:
    """Some descriptors may stay open as long as the process: so it is done in a child."""
    in_child(lambda: strike_often(path, call, ROUNDS // 4))


def first_writes(path: Path, rounds: int) -> None:
    """Interrupt the first write of a store that was opened beside a writer, at many moments."""

    def interrupt() -> None:
        raise Interrupted

    with open(path / "barrier", "rb") as barrier, struck_by(interrupt) as strike:
        for number in range(rounds):
            fcntl.flock(barrier, fcntl.LOCK_EX)
            store = LMDBEventStore(path, durability="none", consistency="snapshot")
            environment = store._session._environment
            assert environment.reads_only
            fcntl.flock(barrier, fcntl.LOCK_UN)
            with suppress(Interrupted, StoreClosed):  # an interrupt may close the store
                for _ in strike(number * 7):
                    store.save(Event())
            with suppress(Interrupted):
                for _ in strike(0):
                    pass
            for lock in locks_of(store).values():
                with pytest.raises(RuntimeError):
                    lock.release()
            for name in ("data.mdb", "barrier"):
                with open(path / name, "rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            assert environment.gate._barred == environment.gate.closed
            assert not environment.gate._inside
            store.close()


def test_an_interrupt_of_a_first_write_leaves_nothing_held(path: Path) -> None:
    """Before it the file is opened again, for writing."""
    LMDBEventStore(path).close()
    in_child(lambda: first_writes(path, ROUNDS))
    with LMDBEventStore(path) as store:
        assert store.verify() == []


@pytest.mark.parametrize("inner", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("outer", CALLS.values(), ids=CALLS)
def test_a_signal_handler_may_make_the_call_that_it_interrupts(
    path: Path,
    outer: Callable[[LMDBEventStore], object],
    inner: Callable[[LMDBEventStore], object],
) -> None:
    """The call succeeds, or is refused as it would wait for itself; nothing is saved twice."""
    answered: list[bool] = []

    def handler() -> None:
        try:
            inner(store)
        except EventStoreException as error:
            assert "same thread" in str(error)  # noqa: PT017  raised in a handler
        answered.append(True)

    with LMDBEventStore(path, durability="none") as store, struck_by(handler) as strike:
        store.save_many(Event(f"e{n}", timestamp=float(n), content=f"c{n}") for n in range(100))
        for number in range(50):
            for _ in strike(number):
                outer(store)
    assert len(answered) == 50


def test_close_within_a_call_of_the_same_thread_is_refused(store: LMDBEventStore) -> None:
    store.save(Event("a"))
    with pytest.raises(EventStoreException, match="when that call has returned"):
        store._session._environment.gate.run(store.close)
    store.close()
    with LMDBEventStore(store._path) as again:
        assert "a" in again


def test_upkeep_within_a_write_of_the_same_thread_is_refused(store: LMDBEventStore) -> None:
    """It would wait for itself, or release the lock of the write."""
    environment = store._session._environment

    def work() -> None:
        environment.barrier.lock()
        with pytest.raises(EventStoreException, match="same thread"):
            store.compact()
        with pytest.raises(EventStoreException, match="same thread"):
            store.verify(pages=True)
        assert store.verify() == []
        assert environment.writer.writing_here
        with write_lock(StoreFolder(environment.folder.path), wait=False) as free:
            assert not free
        environment.barrier.unlock()

    environment.writer.while_idle(work)
    store.compact()
    assert store.verify(pages=True) == []


UPKEEP: dict[str, Callable[[LMDBEventStore, str], object]] = {
    "verify": lambda store, _: store.verify(),
    "pages": lambda store, _: store.verify(pages=True),
    "pages of a folder": lambda _, path: verify(path, pages=True),
    "backup": lambda store, path: store.backup(f"{path}-copy"),
    "compact": lambda store, _: store.compact(),
    "repair": lambda _, path: repair(path),
}
ANSWERED = {"verify"}


@pytest.mark.parametrize("name", UPKEEP)
def test_upkeep_in_a_signal_handler_does_not_wait_for_the_interrupted_write(
    path: Path, name: str
) -> None:
    """The interrupt comes in the middle of LMDB's transaction; a hang ends with the child."""

    def child() -> None:
        outcomes: list[str] = []

        def handler(*_: object) -> None:
            try:
                UPKEEP[name](store, os.fspath(path))
            except EventStoreException as error:
                outcomes.append(str(error))
            else:
                outcomes.append("answered")

        def interrupted(txn: WriteTransaction, database: Any) -> Any:
            signal.raise_signal(signal.SIGUSR1)
            return cursor(txn, database)

        cursor = WriteTransaction.cursor
        WriteTransaction.cursor = interrupted  # type: ignore[method-assign,assignment]  # in this child alone
        signal.signal(signal.SIGUSR1, handler)
        with LMDBEventStore(path) as store:
            store.save(Event("a"))
            assert "a" in store
        (outcome,) = outcomes
        assert (outcome == "answered") == (name in ANSWERED), outcome
        assert name in ANSWERED or "same thread" in outcome or "is open elsewhere" in outcome

    LMDBEventStore(path).close()
    in_child(child)


def test_an_interrupted_close_can_be_repeated(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(store._session._environment.gate, "bar", interrupt)
        with pytest.raises(Interrupted):
            store.close()
    store.close()
    with LMDBEventStore(store._path, durability="none") as again:
        again.save(Event("a"))


def test_threads_of_a_forked_child_find_all_locks_free(store: LMDBEventStore) -> None:
    """This holds also for locks that another thread of the parent held."""
    store.save_many(Event(f"e{n}", timestamp=float(n)) for n in range(200))
    search = store.search()
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        search._opening.run(store._opening.run, held_until_go)

    def held_until_go() -> None:
        held.set()
        go.wait(LONG)

    def child() -> None:
        found: list[str] = []

        def read() -> None:
            found.extend(event.id for event in search)
            found.extend(event.id for event in store.search(limit=1))

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
        assert not any(thread.is_alive() for thread in threads)
        assert len(found) == 208
        assert len(set(found)) == 200

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(LONG)
    try:
        in_child(child)
    finally:
        go.set()
        holder.join(LONG)
    assert os.getpid() == store._session._environment.pid


def test_a_thread_inside_the_gate_can_enter_again_while_another_bars_it() -> None:
    """The other thread waits for it, so it must not wait for the other thread."""
    gate, inside, barring = Gate(), threading.Event(), threading.Event()
    seen: list[str] = []

    def bar() -> None:
        assert inside.wait(LONG)
        barring.set()
        gate.bar()
        seen.append("barred")
        gate.unbar()

    def outer() -> None:
        inside.set()
        assert barring.wait(LONG)
        while not gate._barred:
            pass
        gate.run(lambda: seen.append("inner"))
        seen.append("outer")

    thread = threading.Thread(target=bar)
    thread.start()
    gate.run(outer)
    thread.join(LONG)
    assert seen == ["inner", "outer", "barred"]


def test_a_signal_handler_may_read_while_its_thread_bars_the_gate(store: LMDBEventStore) -> None:
    """A thread that forks bars the gate; a write would wait for itself."""
    store.save(Event("a"))
    gate = store._session._environment.gate
    gate.bar()
    try:
        assert "a" in store
        with pytest.raises(EventStoreException, match="same thread"):
            store.save(Event("b"))
    finally:
        gate.unbar()
    store.save(Event("b"))


def test_a_handler_cannot_read_a_search_whose_reading_it_interrupts(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save_many(Event(f"e{n}", timestamp=float(n)) for n in range(300))
    search, other = store.search(), store.search()
    found = [next(search).id for _ in range(64)]
    page = pager._merged

    def interrupted(*arguments: Any, **how: Any) -> Any:
        with pytest.raises(EventStoreException, match="same thread"):
            next(search)
        other.close()
        return page(*arguments, **how)

    monkeypatch.setattr(pager, "_merged", interrupted)
    assert found + [event.id for event in search] == [f"e{n}" for n in range(300)]
    assert list(other) == []


def test_a_snapshot_keeps_its_store_open(store: LMDBEventStore, tmp_path: Path) -> None:
    store.save(Event("a"))
    view = LMDBEventStore(store._path).snapshot()
    with LMDBEventStore(tmp_path / "other"):
        assert "a" in view
    view.close()
    del view
    with LMDBEventStore(tmp_path / "other"):
        assert len(store._session._environment.users) == 1


def test_a_forked_child_releases_what_it_drops(store: LMDBEventStore) -> None:
    path = store._path
    kept = [LMDBEventStore(path)]

    def child() -> None:
        store.close()
        assert len(kept[0]) == 0
        kept.clear()
        LMDBEventStore(path, durability="none").close()

    in_child(child)
    kept[0].close()


def test_an_interrupted_write_to_the_store_in_memory_is_whole_or_absent() -> None:
    def interrupt() -> None:
        raise Interrupted

    store, begun = MemoryEventStore(), 0
    with struck_by(interrupt) as strike:
        for number in range(100):
            with suppress(Interrupted):
                for _ in strike(number):
                    begun += 1
                    store.save_many(Event(f"{begun}-{n}", timestamp=float(n)) for n in range(20))
                    store.delete(f"{begun}-19")
            saved = [event.id for event in store.search()]
            batches = {event_id.partition("-")[0] for event_id in saved}
            assert len(saved) - 19 * len(batches) in {0, 1}  # the last one may not be deleted yet
            for event_id in saved:
                store.delete(event_id)
