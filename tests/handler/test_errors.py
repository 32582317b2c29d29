"""Stores that cannot be written: what is tried again, what is dropped, and who is told."""

from __future__ import annotations

import logging
import shutil
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    EventWriteException,
    LMDBEventStore,
    LoggingHandler,
    MemoryEventStore,
    ReadOnlyStore,
    StoreFull,
    StoreMoved,
    StoreOpenError,
    WriteBusy,
)
from lmdbstore.handler import sender
from lmdbstore.threads.deadline import Deadline
from lmdbstore.threads.run_locked import run_locked
from tests.tools.children import LONG, until
from tests.tools.held_writer import writing_process
from tests.tools.logged import Failing, Held, contents, logging_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import Any

    from lmdbstore import SaveResult


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(sender, "LONGEST_PAUSE", 0.002)


@pytest.mark.parametrize("kind", [StoreFull, WriteBusy, StoreMoved, EventWriteException])
def test_a_write_that_fails_is_tried_again_and_reported_once(
    kind: Callable[[], Exception],
) -> None:
    store = Failing(kind)
    with logging_to(store, timeout=LONG) as (log, handler):
        log.info("x")
        until(lambda: store.tries > 3, "tries")
        assert len(handler.errors) == 1
        assert "it is tried again" in handler.errors[0]
        store.error = None
        handler.flush()
        assert (contents(store), handler.dropped) == (["x"], 0)
        store.error = kind
        log.info("y")
        until(lambda: len(handler.errors) == 2, "the next failure is reported again")
        store.error = None


def test_a_full_store_takes_the_records_when_there_is_room(path: Path) -> None:
    with LMDBEventStore(path, map_size=1 << 20) as store, logging_to(store, timeout=LONG) as pair:
        log, handler = pair
        with suppress(StoreFull):
            while True:
                store.save(Event(source="other", timestamp=1.0, content="x" * 10_000))
        log.info("y" * 100_000)  # one that is no larger than the others might fit
        assert handler.told.wait(LONG)
        assert "StoreFull" in handler.errors[0]
        store.purge(max_events=5)
        handler.flush()
        assert contents(store, source="app.door") == ["y" * 100_000]
        assert not handler.dropped


class Lost(MemoryEventStore):
    """A store that saves, and then does not know whether it did."""

    unknown = True

    def save_many(self, events: Iterable[Event], **named: Any) -> SaveResult:
        result = super().save_many(events, **named)
        if self.unknown:
            self.unknown = False
            raise WriteBusy
        return result


def test_no_record_is_saved_twice_when_it_is_not_known_whether_it_was_saved() -> None:
    store = Lost()
    with logging_to(store) as (log, handler):
        log.info("x")
        handler.flush()
        assert [error.partition("(")[0] for error in handler.errors] == ["WriteBusy"]
    assert contents(store) == ["x"]


def test_a_closed_store_of_the_caller_takes_no_records() -> None:
    store = MemoryEventStore()
    with logging_to(store) as (log, handler):
        store.close()
        log.info("x")
        log.info("y")
        handler.flush()
        assert handler.dropped == 2
        assert len(handler.errors) == 1
        assert "StoreClosed" in handler.errors[0]


def test_a_store_that_is_only_read_takes_no_records() -> None:
    store = Failing(ReadOnlyStore)
    with logging_to(store) as (log, handler):
        log.info("x")
        handler.flush()
        assert handler.dropped == 1
        assert len(handler.errors) == 1


def test_an_exception_that_no_store_should_raise_ends_no_thread() -> None:
    store = Failing(ZeroDivisionError)
    with logging_to(store) as (log, handler):
        log.info("x")
        handler.flush()
        assert handler.dropped == 1
        store.error = None
        log.info("y")
    assert contents(store, source="app.door") == ["y"]


def test_what_cannot_be_written_at_the_close_is_dropped_and_reported() -> None:
    store = Failing(StoreFull)
    with logging_to(store, timeout=0.01) as (log, handler):
        for _ in range(7):
            log.info("x")
        handler.close()
        assert handler.dropped == 7
        assert "7 log records could not be saved" in handler.errors[-1]


def test_a_close_waits_until_the_store_can_be_written() -> None:
    store = Failing(StoreFull)

    def heal() -> None:
        until(lambda: store.tries > 5, "tries")
        store.error = None

    with logging_to(store, timeout=LONG) as (log, handler):
        healer = threading.Thread(target=heal)
        healer.start()
        log.info("x")
        handler.close()
        healer.join()
        assert (contents(store), handler.dropped) == (["x"], 0)


def test_a_write_that_hangs_does_not_hold_up_the_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "GRACE", 0.01)
    store = Held()
    with logging_to(store, timeout=0.01) as (log, handler):
        log.info("x")
        store.entered.wait()
        log.info("y")
        handler.close()
        assert "a write of log records has not ended, and 1 wait for it" in handler.errors[-1]
        store.free.set()
        until(lambda: not handler._sender.writing, "the end of the thread")
    assert contents(store) == ["x", "y"]


def test_a_write_that_hangs_with_the_last_records_leaves_none_that_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender, "GRACE", 0.01)
    monkeypatch.setattr(sender, "COLLECTED", LONG)  # so the records are taken with the end
    store = Held()
    with logging_to(store, timeout=0.01) as (log, handler):
        log.info("x")
        until(handler._sender.queue.empty, "the thread")
        handler.close()
        assert "has not ended, and 0 wait for it" in handler.errors[-1]
        store.free.set()
        until(lambda: not handler._sender.writing, "the end of the thread")
    assert contents(store) == ["x"]


def test_a_flush_does_not_wait_for_a_thread_that_ends_in_the_meantime() -> None:
    """A mark that comes after the last one of the thread is set by the flush itself."""
    with logging_to(MemoryEventStore(), timeout=LONG) as (log, handler):
        log.info("x")
        own: Any = handler._sender
        queue = own.queue

        class Closing:
            def put(self, mark: object) -> None:
                own.queue = queue
                handler.close()
                queue.put(mark)

        own.queue = Closing()
        assert own.wait(Deadline(1.0))


def test_a_close_while_the_thread_is_started_writes_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryEventStore()
    with logging_to(store) as (log, handler):
        closer = threading.Thread(target=handler.close)
        start = threading.Thread.start

        def closing_start(thread: threading.Thread) -> None:
            if thread is not closer:
                closer.start()
                closer.join(0.05)  # it waits, and goes on after the start
            start(thread)

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", closing_start)
            log.info("x")
        closer.join()
        assert handler._sender.stopped
        assert contents(store) == ["x"]


def test_no_thread_is_started_after_a_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that no one ends would hold up each call that logs later."""
    store = MemoryEventStore()
    with logging_to(store) as (log, handler):
        own: Any = handler._sender

        def closing(lock: Any, work: Any, *arguments: Any) -> Any:
            if work == own._start:
                handler.close()
            return run_locked(lock, work, *arguments)

        monkeypatch.setattr(sender, "run_locked", closing)
        log.info("x")
        assert own._thread is None
        assert contents(store) == ["x"]


def test_a_record_after_the_close_is_written_at_once() -> None:
    store = MemoryEventStore()
    with logging_to(store) as (log, handler):
        log.info("x")
        handler.close()
        handler.close()
        log.info("y")
        assert contents(store) == ["x", "y"]
        handler.flush()
        store.close()
        log.info("z")
        assert handler.dropped == 1


def test_a_record_after_the_close_opens_the_store_of_a_path_again(path: Path) -> None:
    with logging_to(path) as (log, handler):
        handler.close()
        log.info("x")
    with LMDBEventStore(path) as store:
        assert contents(store) == ["x"]


def test_a_store_that_was_given_is_not_closed(store: LMDBEventStore) -> None:
    with logging_to(store) as (log, _):
        log.info("x")
    assert contents(store) == ["x"]


def test_a_path_that_cannot_be_opened_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreOpenError):
        LoggingHandler(tmp_path / "file")


def test_a_path_that_leads_to_another_store_is_opened_again(path: Path) -> None:
    moved = path.with_name("moved")
    with logging_to(path, timeout=LONG) as (log, handler):
        log.info("before")
        handler.flush()
        path.rename(moved)
        log.info("while it moved")  # one or the other, but never both
        handler.flush()
        log.info("after")
        handler.flush()
        assert not handler.dropped
    with LMDBEventStore(path) as store, LMDBEventStore(moved) as old:
        found = contents(old), contents(store)
        assert found[0][:1] == ["before"]
        assert found[1][-1:] == ["after"]
        assert found[0][1:] + found[1][:-1] == ["while it moved"]
    shutil.rmtree(moved)


def test_a_store_that_was_given_and_moved_is_reported_and_keeps_its_records(path: Path) -> None:
    moved = path.with_name("moved")
    with LMDBEventStore(path) as store, logging_to(store, timeout=LONG) as (log, handler):
        path.rename(moved)
        log.info("x")
        assert handler.told.wait(LONG)
        assert "StoreMoved" in handler.errors[0]
        assert handler._sender.wait(Deadline(LONG)), "a record that was saved is tried again"
        moved.rename(path)
        log.info("y")
        handler.flush()
        assert contents(store) == ["x", "y"]
        assert not handler.dropped


def test_a_busy_store_is_tried_again(path: Path) -> None:
    with LMDBEventStore(path) as store, logging_to(store, timeout=0.05) as (log, handler):
        with writing_process(path, "hold") as child:
            log.info("x")
            assert handler.told.wait(LONG)
            assert "WriteBusy" in handler.errors[0]
            child.go()
        until(lambda: contents(store, source="app.door") == ["x"], "it is written")


def test_the_convention_of_logging_decides_what_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for raises in (True, False):
        monkeypatch.setattr(logging, "raiseExceptions", raises)
        handler = LoggingHandler(Failing(ReadOnlyStore))
        handler.handle(logging.makeLogRecord({"msg": "x", "levelname": "INFO", "levelno": 20}))
        handler.close()
        printed = capsys.readouterr().err
        assert ("ReadOnlyStore in lmdbstore.LoggingHandler" in printed) is raises


def test_a_close_beside_threads_that_log_loses_nothing() -> None:
    store = MemoryEventStore()
    begun = threading.Barrier(5)

    def work() -> None:
        begun.wait()
        for _ in range(50):
            log.info("x")

    with logging_to(store) as (log, handler):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        begun.wait()
        handler.close()
        for thread in threads:
            thread.join()
        assert (len(store), handler.dropped) == (200, 0)
