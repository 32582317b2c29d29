"""The queue: bounded, in order, written by one thread; and who waits for what."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import LMDBEventStore, MemoryEventStore
from lmdbstore.handler import sender
from tests.tools.children import LONG, until
from tests.tools.logged import Held, contents, logging_to

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lmdbstore import Event, SaveResult


def test_records_are_written_in_batches_by_one_thread_in_order() -> None:
    store, threads = Held(), set()
    with logging_to(store) as (log, handler):
        log.info("first")
        store.entered.wait()
        for number in range(100):
            log.info("%d", number)
            threads |= {one.name for one in threading.enumerate() if "lmdbstore" in one.name}
        store.free.set()
        handler.flush()
        assert store.batches == [1, 100]
        assert threads == {"lmdbstore.LoggingHandler"}
    assert contents(store) == ["first", *map(str, range(100))]


def test_a_batch_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "BATCH", 10)
    monkeypatch.setattr(sender, "COLLECTED", LONG)  # only the first batch is waited for
    store = Held()
    with logging_to(store) as (log, handler):
        for number in range(25):
            log.info("%d", number)
        store.free.set()
        handler.flush()
        assert max(store.batches) <= 10
        assert len(store) == 25


def test_a_full_queue_drops_counts_and_tells() -> None:
    store = Held()
    with logging_to(store, ["app"], capacity=3) as (log, handler):
        log.info("taken")
        store.entered.wait()
        for number in range(8):
            log.info("%d", number)
        assert handler.dropped == 5
        store.free.set()
        handler.flush()
        until(lambda: len(store) == 5, "the event that tells of it")
        (told,) = store.search(flags=["dropped"])
        assert told.content == "5 log records were dropped: the queue was full"
        assert told.tags == ["level:warning", "dropped", "app"]
        log.info("later")
    assert contents(store, source="app.door") == ["taken", "0", "1", "2", "later"]
    assert len(store) == 6  # it is told once


def test_a_call_at_the_flush_level_returns_when_its_record_is_saved(path: Path) -> None:
    with (
        LMDBEventStore(path) as store,
        logging_to(store, flush_level="ERROR", timeout=LONG) as (log, _),
    ):
        for number in range(10):
            log.info("%d", number)
            log.error("error %d", number)
            assert len(store) == 2 * number + 2
        log.critical("end")
        assert len(store) == 21


def test_a_call_below_the_flush_level_does_not_wait() -> None:
    store = Held()
    with logging_to(store, flush_level=logging.ERROR) as (log, _):
        log.warning("x")
        assert len(store) == 0
        store.free.set()


def test_threads_that_wait_share_a_write() -> None:
    store = Held()
    with logging_to(store, flush_level="ERROR", timeout=LONG) as (log, _):
        log.info("first")
        store.entered.wait()
        threads = [threading.Thread(target=log.error, args=("%d", n)) for n in range(5)]
        for thread in threads:
            thread.start()
        (handler,) = log.handlers
        waiting = handler._sender.queue  # type: ignore[attr-defined]  # of ours
        until(lambda: waiting.qsize() == 10, "records and marks")
        store.free.set()
        for thread in threads:
            thread.join()
    assert store.batches == [1, 5]


def test_a_call_at_the_flush_level_waits_no_longer_than_the_timeout() -> None:
    store = Held()
    with logging_to(store, flush_level="ERROR", timeout=0.01) as (log, handler):
        log.error("late")
        handler.flush()
        assert (len(store), handler.dropped) == (0, 0)
        store.free.set()
    assert contents(store) == ["late"]


def test_a_call_at_the_flush_level_waits_for_room_in_the_queue() -> None:
    store = Held()
    with logging_to(store, flush_level="ERROR", timeout=LONG, capacity=1) as (log, handler):
        log.info("taken")
        store.entered.wait()
        log.info("queued")
        thread = threading.Thread(target=log.error, args=("waits",))
        thread.start()
        until(lambda: handler._sender.queue.qsize() == 2, "the record and a mark")
        store.free.set()
        thread.join()
        assert contents(store) == ["taken", "queued", "waits"]
        assert not handler.dropped


class Logging(MemoryEventStore):
    """A store that logs what it does."""

    log: logging.Logger

    def save_many(self, events: Iterable[Event], **named: Any) -> SaveResult:
        self.log.error("saving")
        return super().save_many(events, **named)


def test_what_the_store_logs_while_the_handler_writes_is_left_out() -> None:
    store = Logging()
    with logging_to(store, flush_level="ERROR", timeout=LONG) as (log, handler):
        store.log = log
        log.error("x")
        assert (contents(store), handler.dropped) == (["x"], 0)
        handler.close()
        log.error("y")  # written by this thread
        assert contents(store) == ["x", "y"]
        store.save_many([])  # by the program: what the store logs then is a record like others
        assert contents(store) == ["x", "y", "saving"]


class Talking:
    def __init__(self, log: logging.Logger) -> None:
        self.log = log

    def __str__(self) -> str:
        self.log.error("inner")
        return "outer"


def test_an_argument_may_log_while_it_is_formatted() -> None:
    store = MemoryEventStore()
    with logging_to(store, flush_level="ERROR", timeout=LONG) as (log, _):
        log.error("%s", Talking(log))
        assert sorted(contents(store)) == ["inner", "outer"]


def test_endless_logging_by_an_argument_ends_as_in_other_handlers() -> None:
    class Endless(Talking):
        def __str__(self) -> str:
            self.log.info("%s", self)
            return ""

    store = MemoryEventStore()
    with logging_to(store) as (log, _), pytest.raises(RecursionError):
        log.info("%s", Endless(log))


def test_a_signal_handler_may_log_at_any_moment() -> None:
    store, seen = MemoryEventStore(), list[int]()

    def handle(*_: object) -> None:
        log.info("signal")
        seen.append(1)

    with logging_to(store) as (log, handler):
        before = signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        try:
            while len(seen) < 50:
                log.info("work")
                handler.flush()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        handler.flush()
        assert not handler.dropped
    assert contents(store).count("signal") == len(seen)


def test_threads_lose_nothing_and_keep_their_order(path: Path) -> None:
    def work() -> None:
        for n in range(200):
            log.info("%d", n)

    with LMDBEventStore(path) as store, logging_to(store) as (log, handler):
        handler.setFormatter(logging.Formatter("%(threadName)s %(message)s"))
        threads = [threading.Thread(target=work, name=f"t{n}") for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        handler.flush()
        for number in range(4):
            found = contents(store, match=f"^t{number} ")
            assert found == [f"t{number} {n}" for n in range(200)]
