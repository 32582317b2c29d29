"""Group commit: which calls share a transaction, which fail alone, and what interrupts leave."""

from __future__ import annotations

import _thread
import os
import select
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from lmdbstore import (
    DuplicateEvent,
    Event,
    EventNotFound,
    EventWriteException,
    LMDBEventStore,
    StoreClosed,
    StoreDamaged,
)
from lmdbstore.disk import format as fmt
from lmdbstore.write import change, writer
from lmdbstore.write import save as saving
from lmdbstore.write.seal import RUN
from lmdbstore.write.transaction import WriteTransaction
from tests.tools.beside import beside
from tests.tools.indexes import assert_indexes_agree
from tests.tools.planting import writing
from tests.tools.sealing import make_tiny_runs, shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONG = 30  # seconds; ends a hang, decides nothing


class Gathering:
    """Holds the first commit until other calls wait for it, and notes every commit."""

    def __init__(self, store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.writer = store._session._environment.writer
        self.reached, self.go = threading.Event(), threading.Event()
        self.commits = 0
        self.pool = ThreadPoolExecutor(32)
        self._commit: Callable[[WriteTransaction], None] = WriteTransaction.commit
        monkeypatch.setattr(WriteTransaction, "commit", self._as_method())

    def _as_method(self) -> Callable[[WriteTransaction], None]:
        def commit(txn: WriteTransaction) -> None:
            self._held(txn)

        return commit

    def _held(self, txn: WriteTransaction) -> None:
        self.reached.set()
        assert self.go.wait(LONG)
        self.commits += 1
        self._commit(txn)

    def queue(self, *calls: Callable[[], Any]) -> list[Future[Any]]:
        """Let the first call lead, and the others wait after it in their order."""
        futures = [self.pool.submit(calls[0])]
        assert self.reached.wait(LONG)
        for call in calls[1:]:
            before = len(self.writer._queue)
            futures.append(self.pool.submit(call))
            while len(self.writer._queue) == before:
                pass
        return futures


@pytest.fixture
def gathering(store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gathering]:
    gathered = Gathering(store, monkeypatch)
    yield gathered
    gathered.go.set()
    gathered.pool.shutdown()


def save(store: LMDBEventStore, event_id: str) -> Callable[[], None]:
    return lambda: store.save(Event(event_id, timestamp=1.0, tags=["f"]))


def ids(store: LMDBEventStore) -> list[str]:
    return [event.id for event in store.search()]


def test_threads_that_write_at_once_share_a_transaction(
    store: LMDBEventStore, gathering: Gathering
) -> None:
    calls = [save(store, name) for name in "abcdefgh"]
    futures = gathering.queue(*calls)
    gathering.go.set()
    for future in futures:
        assert future.result(LONG) is None
    assert gathering.commits == 2
    assert ids(store) == list("abcdefgh")


def test_each_caller_gets_its_own_outcome(store: LMDBEventStore, gathering: Gathering) -> None:
    futures = gathering.queue(
        save(store, "a"), save(store, "b"), save(store, "b"), lambda: store.delete("none"),
        lambda: store.delete("a"), save(store, "a"), lambda: store.delete("b"), save(store, "c"),
    )  # fmt: skip
    gathering.go.set()
    errors = [future.exception(LONG) for future in futures]
    assert [type(error) for error in errors] == [
        type(None), type(None), DuplicateEvent, EventNotFound, type(None), type(None), type(None),
        type(None),
    ]  # fmt: skip
    assert gathering.commits == 2
    assert ids(store) == ["a", "c"]


def test_only_duplicates_fail_in_a_group_of_saves(
    path: Path, store: LMDBEventStore, gathering: Gathering
) -> None:
    with LMDBEventStore(path) as other:
        gathering.go.set()
        other.save(Event("old", timestamp=3.0, tags=["f"]))
        gathering.go.clear()
        gathering.reached.clear()
        futures = gathering.queue(*(save(store, name) for name in ("a", "b", "old", "c", "b", "d")))
        gathering.go.set()
        errors = [type(future.exception(LONG)) for future in futures]
        fine = type(None)
        assert errors == [fine, fine, DuplicateEvent, fine, DuplicateEvent, fine]
        assert ids(store) == ["a", "b", "c", "d", "old"]
        assert_indexes_agree(store)


def test_a_group_of_duplicates_changes_nothing(store: LMDBEventStore, gathering: Gathering) -> None:
    futures = gathering.queue(*(save(store, "a") for _ in range(5)))
    gathering.go.set()
    errors = [type(future.exception(LONG)) for future in futures]
    assert errors == [type(None)] + [DuplicateEvent] * 4
    before = store._session._environment.lmdb.info()["last_txnid"]
    with pytest.raises(DuplicateEvent):
        store.save(Event("a"))
    assert store._session._environment.lmdb.info()["last_txnid"] == before
    assert_indexes_agree(store)


def test_many_events_are_saved_in_a_separate_transaction(
    store: LMDBEventStore, gathering: Gathering
) -> None:
    many = [Event("m1", timestamp=1.0), Event("b", timestamp=1.0), Event("m2", timestamp=1.0)]
    futures = gathering.queue(
        save(store, "a"), save(store, "b"), lambda: store.save_many(many), save(store, "c")
    )
    gathering.go.set()
    assert isinstance(futures[2].exception(LONG), DuplicateEvent)
    for number in (0, 1, 3):
        futures[number].result(LONG)
    assert sorted(ids(store)) == ["a", "b", "c"]


def test_a_change_that_breaks_the_transaction_fails_alone(
    store: LMDBEventStore, gathering: Gathering, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, put_many = WriteTransaction.put, WriteTransaction.put_many

    def broken(txn: WriteTransaction, database: Any, key: bytes, value: bytes, **how: Any) -> None:
        if b'"bad"' in value:
            raise lmdb.Error("made to fail")
        put(txn, database, key, value, **how)

    def broken_many(txn: WriteTransaction, database: Any, items: Any, **how: Any) -> int:
        if any(b'"bad"' in value for _, value in items):
            raise lmdb.Error("made to fail")
        return put_many(txn, database, items, **how)

    monkeypatch.setattr(WriteTransaction, "put", broken)
    monkeypatch.setattr(WriteTransaction, "put_many", broken_many)
    futures = gathering.queue(*(save(store, name) for name in ("a", "b", "bad", "c")))
    gathering.go.set()
    error = futures[2].exception(LONG)
    assert type(error) is EventWriteException
    assert "nothing was written" in str(error)
    assert isinstance(error.__cause__, lmdb.Error)
    for number in (0, 1, 3):
        futures[number].result(LONG)
    assert ids(store) == ["a", "b", "c"]


def test_a_failed_commit_fails_for_all_its_callers_and_changes_nothing(
    store: LMDBEventStore, gathering: Gathering
) -> None:
    commit = gathering._commit
    futures = gathering.queue(*(save(store, name) for name in "abcd"))

    def fail(txn: WriteTransaction) -> None:
        if gathering.commits > 1:
            raise lmdb.DiskError("made to fail")
        commit(txn)

    gathering._commit = fail
    gathering.go.set()
    futures[0].result(LONG)
    errors = [future.exception(LONG) for future in futures[1:]]
    assert [type(error) for error in errors] == [EventWriteException] * 3
    assert len(set(map(id, errors))) == 3, "an exception is shared between threads"
    gathering._commit = commit
    assert ids(store) == ["a"]
    store.save(Event("b"))


def test_close_fails_the_waiting_writes(store: LMDBEventStore, gathering: Gathering) -> None:
    futures = gathering.queue(*(save(store, name) for name in "abcd"))
    closing = gathering.pool.submit(store.close)
    while not store._closed:
        pass
    gathering.go.set()
    closing.result(LONG)
    results = [future.exception(LONG) for future in futures]
    assert results[0] is None
    assert {type(error) for error in results} <= {type(None), StoreClosed}


def test_a_group_of_writes_is_bounded(
    store: LMDBEventStore, gathering: Gathering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LONGEST_BATCH", 3)
    futures = gathering.queue(*(save(store, name) for name in "abcdefg"))
    gathering.go.set()
    for future in futures:
        future.result(LONG)
    assert gathering.commits == 3
    assert sorted(ids(store)) == list("abcdefg")


def save_one(store: LMDBEventStore, event_id: str) -> None:
    store.save(Event(event_id, timestamp=1.0))


def save_alone(store: LMDBEventStore, event_id: str) -> None:
    store.save_many([Event(event_id, timestamp=1.0)])


@pytest.mark.parametrize(
    ("busy", "waiting"),
    [(save_one, save_alone), (save_alone, save_one), (save_alone, save_alone)],
)
def test_a_thread_that_writes_without_a_pause_does_not_block_others(
    store: LMDBEventStore,
    gathering: Gathering,
    busy: Callable[[LMDBEventStore, str], None],
    waiting: Callable[[LMDBEventStore, str], None],
) -> None:
    def write_on() -> None:
        for n in range(100):
            busy(store, f"busy {n}")

    futures = gathering.queue(
        write_on,
        lambda: waiting(store, "waiting"),
        lambda: store.save(Event(timestamp=0.0)),
    )
    gathering.go.set()
    for future in futures:
        future.result(LONG)
    assert [event.id for event in store.search(ts_start=1.0, limit=2)] == ["busy 0", "waiting"]


def test_a_signal_handler_that_writes_does_not_wait_for_the_change_it_interrupts(
    store: LMDBEventStore, gathering: Gathering, monkeypatch: pytest.MonkeyPatch
) -> None:
    (leading,) = gathering.queue(save(store, "a"))
    wait = change.Job.wait

    def interrupted(waiting: Any, *deadline: Any) -> None:
        monkeypatch.setattr(change.Job, "wait", wait)
        gathering.go.set()
        leading.result(LONG)
        store.save(Event("of the handler"))
        wait(waiting, *deadline)

    monkeypatch.setattr(change.Job, "wait", interrupted)
    store.save_many([Event("interrupted")])
    assert {"a", "of the handler", "interrupted"} == set(ids(store))


@contextmanager
def reading_without_end(store: LMDBEventStore) -> Iterator[None]:
    """Keep one read of LMDB running: a copy into a pipe that no process reads."""
    output, pipe = os.pipe()
    environment = store._session._environment.lmdb
    thread = threading.Thread(target=environment.copyfd, args=(pipe,))
    thread.start()
    try:
        while not select.select([output], [], [], LONG)[0]:
            pass
        yield
    finally:
        while thread.is_alive():
            while select.select([output], [], [], 0)[0]:
                os.read(output, 1 << 20)
            thread.join(0.01)
        os.close(output)
        os.close(pipe)


def test_a_failed_write_does_not_wait_for_readers(store: LMDBEventStore) -> None:
    """LMDB's `abort` waits until no thread of the process reads; dropping does not."""
    store.save_many(Event(f"e{n}", content="x" * 1000) for n in range(1000))
    failed: list[BaseException | None] = []

    def write() -> None:
        with pytest.raises(DuplicateEvent) as caught:
            store.save_many([Event("new"), Event("e7")])
        failed.append(caught.value)
        store.save(Event("after"))

    thread = threading.Thread(target=write)
    with reading_without_end(store):
        thread.start()
        thread.join(LONG)
        stuck = thread.is_alive()
    thread.join(LONG)
    assert not stuck
    assert len(failed) == 1
    assert len(store) == 1001


@pytest.mark.parametrize(
    ("method", "write"),
    [
        ("put", lambda store: store.save(Event("a"))),
        ("put", lambda store: store.save_many([Event(str(n)) for n in range(RUN)])),
        ("commit", lambda store: store.save(Event("a"))),
        ("put_many", lambda store: store.save_many([Event("a")])),
        ("last_key", lambda store: store.save_many([Event(str(n)) for n in range(8)])),
        ("cursor", lambda store: store.delete("there")),
        ("clear", lambda store: store.delete("there")),
    ],
)
def test_a_failed_write_leaves_no_open_transaction(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch, method: str, write: Callable[[Any], Any]
) -> None:
    """This holds also while its exception is kept, whose frames referred to the transaction."""
    store.save(Event("there", tags=["f"]))

    def broken(txn: WriteTransaction, *_: Any, **__: Any) -> None:
        local = txn._txn.cursor(db=txn.databases.ids)
        local.first()
        raise lmdb.Error("made to fail")

    with monkeypatch.context() as patch:
        patch.setattr(WriteTransaction, method, broken)
        with pytest.raises(EventWriteException) as caught:
            write(store)
    store.save(Event("next"))
    assert sorted(ids(store)) == ["next", "there"]
    assert caught.value.__cause__ is not None


def test_contradicting_indexes_are_reported_and_not_overwritten(store: LMDBEventStore) -> None:
    store.save(Event("a", timestamp=1.0, tags=["f"]))
    store.save(Event("other", timestamp=2.0))
    key = fmt.encode_time(1.0) + fmt.encode_number(3)
    with writing(store) as (txn, databases):
        txn.put(key, b"stray", db=databases.live)
    for write in (
        lambda: store.save(Event("b", timestamp=1.0)),
        lambda: store.save_many([Event("b", timestamp=1.0)]),
    ):
        with pytest.raises(StoreDamaged, match="index"):
            write()
    posting = fmt.flag_key("f"), fmt.encode_time(1.0) + fmt.encode_number(1)
    with writing(store) as (txn, databases):
        txn.delete(key, db=databases.live)
        txn.delete(*posting, db=databases.postings)
    with pytest.raises(StoreDamaged, match="missing from an index"):
        store.delete("a")
    assert "a" in store
    with writing(store) as (txn, databases):
        txn.put(*posting, db=databases.postings)


# The garbage collector closes a file that an interrupt struck before its `with` had it.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_ctrl_c_never_blocks_the_store_or_loses_saved_events(
    store: LMDBEventStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signals strike the main thread at any point of its writes, while other threads write too.

    Many of the writes seal a run.
    """
    make_tiny_runs(monkeypatch)
    saved: list[str] = []
    before = signal.getsignal(signal.SIGINT)

    def follow(name: str, number: int) -> None:
        store.save(Event(f"{name}-{number}", tags=["f"]))
        saved.append(f"{name}-{number}")

    with beside(partial(follow, "x"), partial(follow, "y"), turns=20) as go_on:
        interrupted = done = 0
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            while interrupted < 150:
                go_on()
                delay = 0.0001 + (interrupted % 30) * 0.0001
                timer = threading.Timer(delay, _thread.interrupt_main)
                timer.daemon = True
                try:
                    timer.start()
                    while True:
                        event_id = f"main-{done}"
                        done += 1
                        store.save(Event(event_id, tags=["f"]))
                        saved.append(event_id)
                except KeyboardInterrupt:
                    interrupted += 1
                timer.join(LONG)
        finally:
            signal.signal(signal.SIGINT, before)
    missing = [event_id for event_id in saved if event_id not in store]
    assert not missing
    assert not store._session._environment.barrier.up
    assert len(shape(store).runs) > 2
    assert_indexes_agree(path)


def test_nothing_is_indexed_of_a_batch_with_a_duplicate(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a store that is full would report that, and not the duplicate."""
    store.save(Event("e7"))
    monkeypatch.setattr(saving, "place_or_keep", None)
    with pytest.raises(DuplicateEvent, match="e7"):
        store.save_many(Event(f"e{n}") for n in range(9))
