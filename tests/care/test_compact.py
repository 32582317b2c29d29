"""Compacting: other work continues, and a failure leaves the store unchanged or closed."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from lmdbstore import (
    Event,
    EventWriteException,
    LMDBEventStore,
    StoreClosed,
    StoreDamaged,
    StoreInUse,
    StoreOpenError,
)
from lmdbstore.engine import open_file
from lmdbstore.opening import inspect_file
from tests.tools.beside import beside
from tests.tools.children import needs_semaphores, opened_elsewhere
from tests.tools.stores import fill

if TYPE_CHECKING:
    from pathlib import Path


LONG = 60  # seconds; ends a hang, decides nothing


def size(path: Path) -> int:
    return (path / "data.mdb").stat().st_size


def test_compacting_frees_space_and_other_work_continues(path: Path) -> None:
    """These are half-read searches, other store objects, local ids, and the file's rights."""
    with LMDBEventStore(path, mode=0o640) as store, LMDBEventStore(path) as other:
        events = fill(store)
        search = other.search()
        found = [next(search)]
        following = store.search(limit=0)
        before = size(path)
        compacted = store.compact()
        assert compacted.before == before
        assert compacted.after == size(path) < before * 3 // 4
        assert sorted(os.listdir(path)) == ["barrier", "data.mdb", "lock.mdb", "snapshots"]
        assert stat.S_IMODE((path / "data.mdb").stat().st_mode) == 0o640
        assert list(following) == []
        assert [*found, *search] == events
        store.save(Event("new", timestamp=1e9))
        assert other.get("new").timestamp == 1e9
        assert store.verify(pages=True) == []
        with LMDBEventStore(path) as third:
            assert third._session._environment is store._session._environment
        again = store.compact()
        assert again.after <= compacted.after + 8 * 4096
        assert [event.id for event in other.search()] == [*(e.id for e in events), "new"]
    with LMDBEventStore(path) as store:
        assert len(store) == len(events) + 1


def test_other_processes_see_the_compacted_store(path: Path) -> None:
    """LMDB's transaction numbers restart in a copy; its lock file must not keep the old ones."""
    with LMDBEventStore(path) as store:
        fill(store)
        for n in range(50):
            store.save(Event(f"one {n}"))
        store.compact()
        code = f"""
from lmdbstore import Event, LMDBEventStore
with LMDBEventStore({str(path)!r}) as store:
    assert "one 49" in store
    store.save(Event("there"))
    assert "there" in store
"""
        subprocess.run([sys.executable, "-c", code], check=True, timeout=LONG)
        assert "there" in store
        store.save(Event("here"))
        assert store.verify(pages=True) == []


def test_a_store_can_be_compacted_while_threads_read_and_write(store: LMDBEventStore) -> None:
    events = {event.id for event in fill(store)}
    saved: list[str] = []

    def write(n: int) -> None:
        store.save(Event(f"new {n}"))
        saved.append(f"new {n}")

    def read(_: int) -> None:
        assert {event.id for event in store.search(flags=["all"])} == events

    with beside(write, read, read, turns=100) as go_on:
        for _ in range(3):
            go_on()
            store.compact()
    assert all(name in store for name in saved)


def begun_without_a_free_slot(store: LMDBEventStore) -> None:
    full = iter([lmdb.ReadersFullError("made up")])

    def begin() -> None:
        for error in full:
            raise error

    store._session._environment._begun(begin)


@pytest.mark.parametrize(
    ("work", "waits"),  # at which of its operations it waits
    [
        (LMDBEventStore.stats, 0),
        (LMDBEventStore.flush, 0),
        (lambda store: store._session._environment.readers(), 0),
        (lambda store: store._session._environment.readers(), 1),
        (begun_without_a_free_slot, 1),
    ],
    ids=["stats", "flush", "dead readers", "readers", "slots"],
)
def test_calls_that_wait_while_files_are_exchanged_use_the_new_file(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch, work: Any, waits: int
) -> None:
    fill(store)
    gate = store._session._environment.gate
    run, operations = gate.run, itertools.count()

    def late(inner: Any, *arguments: Any) -> Any:
        if next(operations) == waits:
            monkeypatch.undo()
            store.compact()
        return run(inner, *arguments)

    monkeypatch.setattr(gate, "run", late)
    work(store)
    assert next(operations) == waits + 1
    assert len(store) == 2000


def test_compacting_is_refused_while_the_file_is_in_use(path: Path) -> None:
    with LMDBEventStore(path) as store:
        events = fill(store)
        with store.snapshot() as view:
            with pytest.raises(EventWriteException, match="snapshot"):
                store.compact()
            assert len(view) == len(events)
        with opened_elsewhere(path) as process:
            with pytest.raises(StoreInUse, match=f"process {process}"):
                store.compact()
            store.save(Event("meanwhile"))
        assert list(store.search())[:-1] == events
        store.compact()
        assert "meanwhile" in store


def test_a_file_without_its_last_free_pages_is_opened_again(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check for other missing pages excludes writers, which are already excluded."""
    events = fill(store)
    look = inspect_file._look_at

    def short(descriptor: int) -> Any:
        found = look(descriptor)
        return found and found._replace(size=found.needed - 1)

    monkeypatch.setattr(inspect_file, "_look_at", short)
    store.compact()
    assert list(store.search()) == events


def test_a_file_that_cannot_be_opened_again_closes_the_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LMDBEventStore(path) as store:
        events = fill(store)

        def broken(*_: Any, **__: Any) -> Any:
            raise StoreOpenError("made to fail")

        with monkeypatch.context() as patch:
            patch.setattr(open_file, "open_lmdb", broken)
            with pytest.raises(StoreOpenError, match="made to fail"):
                store.compact()
        with pytest.raises(StoreClosed):
            store.get("e2999")
        with pytest.raises(StoreClosed):
            store.save(Event())
    with LMDBEventStore(path) as store:
        assert list(store.search()) == events


def test_a_forked_child_can_use_a_compacted_store(store: LMDBEventStore) -> None:
    needs_semaphores()
    events = fill(store)
    store.compact()
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        assert pool.apply(len, (store,)) == len(events)
        pool.close()
        pool.join()


def test_calls_in_a_handler_during_a_compaction_are_refused(store: LMDBEventStore) -> None:
    """A handler that writes within a compaction would wait for itself; it gets an error."""
    fill(store)
    caught: list[BaseException] = []

    def handler(*_: Any) -> None:
        for work in (lambda: store.save(Event()), store.compact, lambda: store.get("e2999")):
            try:
                work()
            except BaseException as error:
                caught.append(error)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        store.compact(progress=lambda *_: signal.raise_signal(signal.SIGUSR1))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert caught
    assert all(isinstance(error, (EventWriteException, StoreDamaged)) for error in caught)
    store.save(Event("after"))
