"""Time limits of an opening, and readers of snapshots, which never wait for a writer."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    EventStoreException,
    EventWriteException,
    LMDBEventStore,
    OpenBusy,
    ReadBusy,
    StoreBusy,
    StoreClosed,
    WriteBusy,
    verify,
)
from lmdbstore.threads.forking import process_lock
from lmdbstore.threads.run_locked import run_locked
from tests.tools.children import in_child
from tests.tools.held_writer import LONG, NEW, threads, waiting
from tests.tools.stopped import THEIRS, stopped
from tests.tools.waits import (
    LIMIT,
    TIMED_READS,
    TIMED_WRITES,
    busy,
    locked,
    named,
    with_one_event,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def filled(path: Path) -> Path:
    return with_one_event(path)


# -- opening --------------------------------------------------------------------------------------


def test_an_opening_waits_for_a_stopped_opening_until_its_limit(filled: Path) -> None:
    with stopped(filled, "opening") as other:
        for consistency in ("strict", "snapshot"):
            open_ = partial(LMDBEventStore, filled, consistency=consistency)
            busy(OpenBusy, partial(open_, timeout=LIMIT), named(other.pid), "not opened")
            busy(OpenBusy, partial(open_, timeout=0), named(other.pid), limit=0)
        busy(OpenBusy, lambda: verify(filled, timeout=LIMIT), named(other.pid))
        other.go()
    with LMDBEventStore(filled, timeout=LIMIT) as store:
        assert THEIRS in store


def test_a_strict_opening_waits_for_a_stopped_writer_until_its_limit(filled: Path) -> None:
    with stopped(filled, "write") as other, threads() as pool:
        busy(OpenBusy, lambda: LMDBEventStore(filled, timeout=LIMIT), named(other.pid))
        busy(OpenBusy, lambda: LMDBEventStore(filled, timeout=0), named(other.pid), limit=0)
        opening = pool.submit(LMDBEventStore, filled)
        assert waiting(opening)
        other.go()
        with opening.result(LONG) as store:
            assert not store._session._environment.reads_only
            assert THEIRS in store
            store.save(NEW)


def test_an_opening_waits_for_another_thread_until_its_limit(filled: Path, tmp_path: Path) -> None:
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        assert go.wait(LONG)

    with threads() as pool:
        holder = pool.submit(run_locked, process_lock(), hold)
        assert held.wait(LONG)
        for place in (filled, tmp_path / "new"):
            open_ = partial(LMDBEventStore, place, timeout=LIMIT)
            busy(OpenBusy, open_, "another thread of this process")
        go.set()
        holder.result(LONG)
    assert not (tmp_path / "new").exists()


def test_a_strict_opening_that_waits_for_a_writer_holds_up_no_other_opening_and_no_fork(
    filled: Path, tmp_path: Path
) -> None:
    with stopped(filled, "write") as other, threads() as pool:
        opening = pool.submit(LMDBEventStore, filled)
        assert waiting(opening)
        with LMDBEventStore(tmp_path / "new") as new:
            new.save(NEW)
            in_child(lambda: new.save(Event("of the child")))
            assert len(new) == 2
        with LMDBEventStore(filled, consistency="snapshot") as reader:
            assert "old" in reader
            assert waiting(opening)
            other.go()
            opening.result(LONG).close()


def test_the_first_call_of_a_child_waits_until_its_limit(filled: Path) -> None:
    with LMDBEventStore(filled, timeout=LIMIT) as store, stopped(filled, "write") as other:

        def child() -> None:
            busy(ReadBusy, lambda: store.get(THEIRS, None), named(other.pid))
            busy(WriteBusy, lambda: store.save(NEW), named(other.pid))
            busy(ReadBusy, store.snapshot, named(other.pid))

        in_child(child)
        other.go()
        in_child(lambda: store.save(NEW))
        assert len(store) == 3


def test_a_strict_child_that_began_beside_a_writer_writes_while_it_holds_a_snapshot(
    filled: Path,
) -> None:
    with LMDBEventStore(filled) as store, stopped(filled, "write") as other:

        def child() -> None:
            with threads() as pool:
                taking = pool.submit(store.snapshot)
                assert waiting(taking)
                os.kill(other.pid, signal.SIGCONT)
                with taking.result(LONG) as view:
                    assert THEIRS in view
                    store.save(NEW)
                    assert "new" not in view

        in_child(child)
        other.go()
        assert len(store) == 3


def test_a_strict_snapshot_of_a_child_waits_until_its_store_can_write(filled: Path) -> None:
    """Otherwise the next write would be refused while the snapshot is open."""
    with LMDBEventStore(filled) as store, locked(filled / "barrier") as other:

        def child() -> None:
            with threads() as pool:
                assert "old" in store
                assert store._session._environment.reads_only
                taking = pool.submit(store.snapshot)
                assert waiting(taking)
                fcntl.flock(other, fcntl.LOCK_UN)
                with taking.result(LONG):
                    store.save(NEW)

        in_child(child)
        assert len(store) == 2


# -- consistency="snapshot" -----------------------------------------------------------------------


def sees_the_old(store: LMDBEventStore) -> None:
    """Make every read of a store that holds one event."""
    for call in TIMED_READS.values():
        call(store, {"timeout": 0})
        call(store, {})
    assert store.stats().events == len(store) == 1
    assert "old" in store


def test_a_reader_of_snapshots_never_waits_for_a_stopped_writer(filled: Path) -> None:
    """Not at its opening, in its reads, or at the first read of a child; its writes wait."""
    with (
        stopped(filled, "write") as other,
        LMDBEventStore(filled, consistency="snapshot") as store,
    ):
        sees_the_old(store)
        in_child(lambda: sees_the_old(store))
        for write in TIMED_WRITES.values():
            how = {"timeout": LIMIT}
            busy(WriteBusy, partial(write, store, how), named(other.pid), "nothing was written")
        sees_the_old(store)
        store.flush()
        assert store.verify() == []
        other.go()
        store.save(NEW)
        assert len(store) == 3
    with LMDBEventStore(filled) as store:
        assert {event.id for event in store.search()} == {"old", "new", THEIRS}


def test_a_reader_that_has_the_store_open_never_waits_either(filled: Path) -> None:
    with LMDBEventStore(filled, consistency="snapshot") as store, stopped(filled, "write"):
        assert not store._session._environment.reads_only
        sees_the_old(store)
        in_child(lambda: sees_the_old(store))


def test_an_open_snapshot_refuses_the_first_write_of_a_store_that_was_opened_beside_a_writer(
    filled: Path,
) -> None:
    with (
        stopped(filled, "write") as other,
        LMDBEventStore(filled, consistency="snapshot", timeout=LIMIT) as store,
    ):
        view = store.snapshot()
        other.go()
        with pytest.raises(EventWriteException, match="close the snapshot") as caught:
            store.save(NEW)
        assert not isinstance(caught.value, StoreBusy)
        assert [event.id for event in view.search()] == ["old"]
        with LMDBEventStore(filled) as strict:
            assert THEIRS in strict
        view.close()
        store.save(NEW)
        with store.snapshot() as view:
            store.save(Event("next"))
            assert "next" not in view


def test_a_snapshot_makes_a_writer_of_its_store_if_the_other_writer_is_done(filled: Path) -> None:
    with (
        stopped(filled, "write") as other,
        LMDBEventStore(filled, consistency="snapshot") as store,
    ):
        other.go()
        with store.snapshot():
            store.save(NEW)
        assert len(store) == 3


def test_stores_of_one_process_may_differ_in_consistency_and_limit(filled: Path) -> None:
    with (
        stopped(filled, "write") as other,
        LMDBEventStore(filled, consistency="snapshot") as store,
        LMDBEventStore(filled, consistency="snapshot", timeout=LIMIT) as hasty,
    ):
        busy(OpenBusy, lambda: LMDBEventStore(filled, timeout=LIMIT), named(other.pid))
        busy(WriteBusy, lambda: hasty.save(NEW), named(other.pid))
        other.go()
        with LMDBEventStore(filled, timeout=0) as strict:
            assert strict._session._environment is store._session._environment
            strict.save(NEW)
        assert len(store) == len(hasty) == 3


def test_a_strict_reader_that_cannot_write_now_continues_after_a_dead_writer(filled: Path) -> None:
    """Like a reader without the right to write: that write was never acknowledged."""
    with stopped(filled, "write"):
        other = LMDBEventStore(filled, consistency="snapshot")
        view = other.snapshot()
    # The writer was killed. The snapshot keeps this process from writing.
    with other, LMDBEventStore(filled, timeout=LIMIT) as store:
        environment = store._session._environment
        assert environment.reads_only
        assert environment.barrier.up
        assert [event.id for event in store.search()] == ["old"]
        assert environment.barrier.up
        view.close()
        assert [event.id for event in store.search()] == ["old"]
        assert not environment.barrier.up
        assert not environment.reads_only
        store.save(NEW)


def test_a_writer_that_cannot_be_opened_closes_the_store_and_says_so(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        stopped(filled, "write") as other,
        LMDBEventStore(filled, consistency="snapshot") as store,
    ):
        other.go()

        def failing(*_: Any, **__: Any) -> None:
            raise StoreClosed("made to fail") from None

        with monkeypatch.context() as patch:
            patch.setattr("lmdbstore.engine.open_file.open_lmdb", failing)
            with pytest.raises(EventStoreException, match="made to fail"):
                store.save(NEW)
        with pytest.raises(StoreClosed):
            store.get("old")
    with LMDBEventStore(filled) as again:
        assert len(again) == 2


CHILDS: dict[str, Callable[[LMDBEventStore, Iterator[Event]], object]] = {
    "compact": lambda store, _: store.compact(),
    "backup": lambda store, _: store.backup(f"{store._path}-copy"),
    "pages": lambda store, _: store.verify(pages=True),
    "next event": lambda _, search: next(search),
}


@pytest.mark.parametrize("call", CHILDS.values(), ids=CHILDS)
def test_every_call_of_a_child_waits_for_a_stopped_opening_until_its_limit(
    filled: Path, call: Callable[[LMDBEventStore, Iterator[Event]], object]
) -> None:
    with LMDBEventStore(filled, timeout=LIMIT) as store:
        search = store.search()

        def child() -> None:
            busy(OpenBusy, lambda: call(store, search), named(other.pid))

        with stopped(filled, "opening") as other:
            in_child(child)
            other.go()


def test_a_writer_opens_beside_a_reader_of_its_process_that_waits(filled: Path) -> None:
    """It would wait for the reader, and all openings and forks for it."""
    with (
        LMDBEventStore(filled, readonly=True) as reader,
        threads() as pool,
        stopped(filled, "write") as other,
    ):
        read = pool.submit(reader.get, THEIRS)
        assert waiting(read)
        with LMDBEventStore(filled, consistency="snapshot", timeout=0) as store:
            assert "old" in store
            assert waiting(read)
            other.go()
            assert read.result(LONG).id == THEIRS
            store.save(NEW, timeout=None)
        assert "new" in reader
