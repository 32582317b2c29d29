"""Backing up and compacting: whole or not at all, verified, and never over something else."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from lmdbstore import (
    Event,
    EventWriteException,
    Finding,
    FindingKind,
    LMDBEventStore,
    ReadOnlyStore,
    StoreClosed,
    StoreDamaged,
    StoreInUse,
    StoreOpenError,
    verify,
)
from lmdbstore.care import copy as copying
from lmdbstore.care import streaming
from lmdbstore.care.upkeep import Upkeep
from lmdbstore.engine import create as creation
from lmdbstore.engine import environment
from lmdbstore.testing.helpers import in_threads
from tests.indexes import assert_indexes_agree
from tests.planting import writing
from tests.test_presence import opened_elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONG = 60  # seconds; ends a hang, decides nothing


def fill(store: LMDBEventStore, events: int = 3000) -> list[Event]:
    """Fill a store so that a third of its file is free; return its events."""
    store.save_many(
        Event(f"e{n}", timestamp=float(n), tags=["all"], content=f"content {n} " * 10)
        for n in range(events)
    )
    assert store.purge(max_events=events * 2 // 3).events == events // 3
    return list(store.search())


def size(path: Path) -> int:
    return (path / "data.mdb").stat().st_size


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """Give a place for a backup; nothing else may be left where it was made."""
    before = {*os.listdir(tmp_path), "events"}
    yield tmp_path / "backup"
    assert set(os.listdir(tmp_path)) - before <= {"backup", "more"}


@pytest.mark.parametrize("compact", [True, False])
def test_a_backup_is_a_store_like_any_other(
    store: LMDBEventStore, path: Path, target: Path, *, compact: bool
) -> None:
    events = fill(store)
    told: list[tuple[int, int]] = []
    copied = store.backup(
        target, compact=compact, progress=lambda done, total: told.append((done, total))
    )
    assert copied == size(target)
    assert (copied < size(path) * 3 // 4) == compact
    assert sorted(os.listdir(target)) == ["barrier", "data.mdb"]
    assert {stat.S_IMODE(os.stat(target / name).st_mode) for name in os.listdir(target)} == {0o600}
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert told[-1][0] == (told[-1][1] if compact else copied)
    assert all(done <= total for done, total in told)
    assert verify(target, pages=True) == []
    with LMDBEventStore(target) as copy:
        assert list(copy.search()) == events
        copy.save(Event("new"))
        assert_indexes_agree(copy)
    assert "new" not in store


def test_a_backup_beside_writers_is_one_state(store: LMDBEventStore, target: Path) -> None:
    """All that was acknowledged before is in it, and of each batch everything or nothing."""
    done = threading.Event()
    acknowledged: list[int] = []

    def write() -> None:
        for n in itertools.count():
            if done.is_set():
                return
            store.save_many(Event(f"{n} {i}", tags=["f"], content="x" * 200) for i in range(40))
            acknowledged.append(n)

    target.mkdir()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for n in range(4):
            before = len(acknowledged)
            store.backup(target / f"{n}", compact=n % 2 == 0)
            with LMDBEventStore(target / f"{n}") as copy:
                assert_indexes_agree(copy)
                assert len(copy) % 40 == 0
                assert len(copy) >= before * 40
                assert {f"{i} 0" for i in acknowledged[:before]} <= {e.id for e in copy.search()}
    finally:
        done.set()
        writer.join()


def as_file(place: Path) -> None:
    place.write_bytes(b"mine")


def as_folder(place: Path) -> None:
    place.mkdir()
    (place / "mine").write_bytes(b"mine")


def as_store(place: Path) -> None:
    LMDBEventStore(place).close()


def as_dangling_link(place: Path) -> None:
    place.symlink_to(place.with_name("more"))


def as_link_to_an_empty_folder(place: Path) -> None:
    place.with_name("more").mkdir()
    place.symlink_to(place.with_name("more"))


@pytest.mark.parametrize(
    "made", [as_file, as_folder, as_store, as_dangling_link, as_link_to_an_empty_folder]
)
def test_a_backup_is_never_made_over_something_else(
    store: LMDBEventStore, target: Path, made: Any
) -> None:
    made(target)
    before = (target.lstat().st_ino, target.is_dir() and sorted(os.listdir(target)))
    with pytest.raises(EventWriteException, match="never written over"):
        store.backup(target)
    # Nor where that comes to be while the backup is made.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "_check_free", lambda *_: None)
        with pytest.raises(EventWriteException, match="could not be made"):
            store.backup(target)
    assert (target.lstat().st_ino, target.is_dir() and sorted(os.listdir(target))) == before


def test_where_no_backup_can_be(store: LMDBEventStore, path: Path, target: Path) -> None:
    for place, words in (
        (target / "in" / "nothing", "make it first"),
        (path / "inside", "own folder"),
        (path, "never written over"),
    ):
        with pytest.raises(EventWriteException, match=words):
            store.backup(place)
    with pytest.raises(StoreOpenError, match=r"^path"):
        store.backup("")
    with pytest.raises(StoreOpenError, match=r"^compact"):
        store.backup(target, compact=1)  # type: ignore[arg-type]  # what is refused
    target.mkdir()
    store.backup(target)
    store.close()
    with pytest.raises(StoreClosed):
        store.backup(target / "more")
    with pytest.raises(StoreClosed):
        store.compact()


def test_a_place_that_may_not_be_looked_into(
    store: LMDBEventStore, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.mkdir()

    def refused(_: object) -> None:
        raise PermissionError("made to fail")

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refused)
        with pytest.raises(EventWriteException, match="made to fail"):
            store.backup(target)


def test_a_readonly_store_can_be_backed_up_and_not_compacted(path: Path, target: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
    with LMDBEventStore(path, readonly=True) as store:
        store.backup(target)
        with pytest.raises(ReadOnlyStore):
            store.compact()
    assert verify(target) == []


def test_space_is_asked_for_first(
    store: LMDBEventStore, path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    before = sorted(os.listdir(path))
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((1,) * 10))
    monkeypatch.setattr(copying, "copy_verified", None)  # nothing is begun
    for work in (lambda: store.backup(target), store.compact):
        with pytest.raises(EventWriteException, match=r"1 bytes free.*needed"):
            work()
    assert sorted(os.listdir(path)) == before


@pytest.mark.parametrize("work", ["backup", "compact"])
def test_a_copy_that_does_not_verify_is_not_used(
    store: LMDBEventStore, target: Path, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    events = fill(store)
    finding = Finding(FindingKind.PAGE, "data.mdb", "planted")
    monkeypatch.setattr(Upkeep, "_look_at", lambda *_: [finding])
    with pytest.raises(EventWriteException, match="planted"):
        store.backup(target) if work == "backup" else store.compact()
    assert not target.exists()
    assert list(store.search()) == events
    store.save(Event("more"))


def test_what_is_copied_is_looked_at(store: LMDBEventStore, target: Path) -> None:
    """A record that the store itself has lost to a flipped bit."""
    store.save(Event("a", timestamp=1.0, content="right"))
    with writing(store) as (txn, databases):
        with txn.cursor(db=databases.timeline) as cursor:
            cursor.first()
            key, record = cursor.item()
        txn.put(key, record.replace(b"right", b"wrong"), db=databases.timeline)
    for work in (lambda: store.backup(target), store.compact):
        with pytest.raises(EventWriteException, match="record changed"):
            work()
    with writing(store) as (txn, databases):
        txn.put(key, record, db=databases.timeline)


@pytest.mark.parametrize("work", ["backup", "copy", "compact"])
def test_a_copy_that_is_interrupted_leaves_nothing(
    store: LMDBEventStore, path: Path, target: Path, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    """LMDB, in its thread, is stopped, however much it still has to write."""
    monkeypatch.setattr(copying, "PIECE", 1 << 12)
    monkeypatch.setattr(streaming, "PIECE", 1 << 12)
    events = fill(store)
    before = sorted(os.listdir(path))

    def stop(done: int, _: int) -> None:
        if done > 1000:
            raise KeyboardInterrupt

    copies: dict[str, Callable[[], object]] = {
        "backup": lambda: store.backup(target, progress=stop),
        "copy": lambda: store.backup(target, compact=False, progress=stop),
        "compact": lambda: store.compact(progress=stop),
    }
    with pytest.raises(KeyboardInterrupt):
        copies[work]()
    assert sorted(os.listdir(path)) == before
    assert not target.exists()
    assert list(store.search()) == events
    store.save(Event("more"))
    assert store.backup(target)


def fork(_: LMDBEventStore) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads beside a fork
        pid = os.fork()
    if not pid:
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def write_until_it_is_closed(store: LMDBEventStore) -> None:
    closing = threading.Thread(target=store.close)
    closing.start()
    with suppress(StoreClosed):
        while True:
            store.save(Event())
    closing.join(LONG)


@pytest.mark.parametrize(
    "act", [LMDBEventStore.close, LMDBEventStore.compact, fork, write_until_it_is_closed]
)
def test_what_a_plain_copy_tells_its_progress_may_wait_for_the_copy(
    store: LMDBEventStore,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[LMDBEventStore], object],
) -> None:
    """LMDB goes on writing meanwhile: if it waited for this code, both would wait for ever."""
    monkeypatch.setattr(copying, "PIECE", 1 << 12)
    monkeypatch.setattr(copying, "TOLD_EVERY", 0.0, raising=False)
    events = fill(store)
    told: list[int] = []

    def progress(done: int, _: int) -> None:
        told.append(done)
        if len(told) == 1:
            act(store)

    in_threads(lambda: store.backup(target, compact=False, progress=progress))
    assert told == sorted(told)
    with LMDBEventStore(target) as copy:
        assert list(copy.search())[: len(events)] == events


@pytest.mark.parametrize("limit", [1 << 17, 1 << 19])  # bytes: in the lock file; in the events
@pytest.mark.parametrize("work", ["backup", "copy", "compact"])
def test_a_full_disk_leaves_the_store_as_it_was(
    store: LMDBEventStore, path: Path, target: Path, work: str, limit: int
) -> None:
    """A limit on the size of files stands for the disk: the copy meets it, half-way."""
    events = fill(store)
    before = sorted(os.listdir(path))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        copied = {"backup": True, "copy": False}
        with pytest.raises(EventWriteException, match=r"may not grow|too large|disk is full"):
            store.backup(target, compact=copied[work]) if work in copied else store.compact()
        assert list(store.search()) == events
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(os.listdir(path)) == before
    store.save(Event("more"))
    assert store.backup(target)


# -- compacting -----------------------------------------------------------------------------------


def test_compacting_gives_space_back_and_all_goes_on(path: Path) -> None:
    """Half-read searches, other store objects, local ids, and the rights of the file."""
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
            assert third._environment is store._environment
        again = store.compact()
        assert again.after <= compacted.after + 8 * 4096
        assert [event.id for event in other.search()] == [*(e.id for e in events), "new"]
    with LMDBEventStore(path) as store:
        assert len(store) == len(events) + 1


def test_other_processes_see_what_was_compacted(path: Path) -> None:
    """LMDB's numbers of transactions begin anew in a copy; its lock file must not remember."""
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


def test_compacting_while_threads_read_and_write(store: LMDBEventStore) -> None:
    events = {event.id for event in fill(store)}
    done = threading.Event()
    errors: list[BaseException] = []
    saved: list[str] = []

    def run(work: Any) -> None:
        try:
            for n in itertools.count():
                if done.is_set():
                    return
                work(n)
        except BaseException as error:
            errors.append(error)

    def write(n: int) -> None:
        store.save(Event(f"new {n}"))
        saved.append(f"new {n}")

    def read(_: int) -> None:
        assert {event.id for event in store.search(flags=["all"])} == events

    threads = [threading.Thread(target=run, args=(work,)) for work in (write, read, read)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            store.compact()
    finally:
        done.set()
        for thread in threads:
            thread.join(LONG)
    assert not errors
    assert all(name in store for name in saved)


def copied_to_nowhere(store: LMDBEventStore) -> None:
    with open(os.devnull, "wb") as sink:
        store._environment.copy(sink.fileno())


@pytest.mark.parametrize(
    "work",
    [
        LMDBEventStore.stats,
        LMDBEventStore.flush,
        lambda store: store._environment.readers(),
        copied_to_nowhere,
        lambda store: store._environment._repair(lmdb.ReadersFullError("made up")),
    ],
    ids=["stats", "flush", "readers", "copy", "repair"],
)
def test_who_waits_while_the_files_are_exchanged_asks_the_new_one(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch, work: Any
) -> None:
    fill(store)
    gate = store._environment.gate
    run = gate.run

    def late(inner: Any, *arguments: Any) -> Any:
        monkeypatch.undo()
        store.compact()
        return run(inner, *arguments)

    monkeypatch.setattr(gate, "run", late)
    work(store)
    assert len(store) == 2000


def test_compacting_is_refused_where_the_file_is_in_use(path: Path) -> None:
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


def test_a_file_that_lacks_free_pages_at_its_end_is_opened_again(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To see that it lacks no others, writers are kept out, which they are already."""
    events = fill(store)
    look = creation._look_at

    def short(name: str) -> Any:
        found = look(name)
        return found and found._replace(size=found.needed - 1)

    monkeypatch.setattr(creation, "_look_at", short)
    store.compact()
    assert list(store.search()) == events


def test_a_file_that_cannot_be_opened_again_closes_the_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LMDBEventStore(path) as store:
        events = fill(store)

        whole = environment._open_lmdb

        def broken(folder: str, options: Any, **more: Any) -> Any:
            if folder == str(path):
                raise StoreOpenError("made to fail")
            return whole(folder, options, **more)

        with monkeypatch.context() as patch:
            patch.setattr(environment, "_open_lmdb", broken)
            with pytest.raises(StoreOpenError, match="made to fail"):
                store.compact()
        with pytest.raises(StoreClosed):
            store.get("e2999")
        with pytest.raises(StoreClosed):
            store.save(Event())
    with LMDBEventStore(path) as store:
        assert list(store.search()) == events


def test_a_forked_child_of_a_store_that_was_compacted(store: LMDBEventStore) -> None:
    events = fill(store)
    store.compact()
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        assert pool.apply(len, (store,)) == len(events)
        pool.close()
        pool.join()


def test_damage_is_no_crash(store: LMDBEventStore) -> None:
    """A handler that writes within a compaction would wait for itself; it is told so."""
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
