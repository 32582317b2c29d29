"""A folder or a file that is exchanged at the moment when LMDB opens it, and then back again."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from lmdbstore import Event, EventWriteException, LMDBEventStore, StoreMoved
from lmdbstore.disk import files
from lmdbstore.engine import open as opening
from lmdbstore.engine import open_file
from lmdbstore.opening import place
from lmdbstore.processes.barrier import Barrier
from lmdbstore.processes.presence import Presence
from tests.tools.actors import Process
from tests.tools.children import opened_elsewhere
from tests.tools.moves import OTHER, other_store
from tests.tools.stopped import THEIRS, stopped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmdbstore.disk.folder import StoreFolder

LONG = 20  # seconds; ends a hang, decides nothing
TAKEN = "exchanged, or its folder, while it was opened"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a store with another one beside it, made in the same way."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        other_store(tmp_path / name / "events")
    return tmp_path / "one" / "events"


def other(path: Path) -> Path:
    return path.parent.with_name("other") / path.name


def swap(one: Path, two: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


SWAPS: dict[str, Callable[[Path], None]] = {
    "the folder": lambda path: swap(path, other(path)),
    "its parent": lambda path: swap(path.parent, other(path).parent),
    "the file": lambda path: swap(path / "data.mdb", other(path) / "data.mdb"),
}


def exchange(path: Path, patch: pytest.MonkeyPatch, name: str) -> None:
    """Let LMDB open the other store instead, once, but its lock file is not noticed.

    As where the system has no way to an open folder by its descriptor.
    """
    patch.setattr(files, "way_of", "/nowhere/{}".format)
    patch.setattr(open_file, "is_open_here", lambda *_: True)
    opened = lmdb.open

    def exchanged(*arguments: Any, **options: Any) -> Any:
        patch.setattr(lmdb, "open", opened)
        SWAPS[name](path)
        try:
            return opened(*arguments, **options)
        finally:
            SWAPS[name](path)

    patch.setattr(lmdb, "open", exchanged)


def events(path: Path) -> list[str]:
    with LMDBEventStore(path) as store:
        assert store.verify(pages=True) == []
        return [event.id for event in store.search()]


@pytest.mark.parametrize("name", SWAPS)
def test_the_first_commit_in_another_file_is_not_acknowledged(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Also if nothing else tells the two apart, and in every store object that shares the file."""
    exchange(path, monkeypatch, name)
    with LMDBEventStore(path) as store, LMDBEventStore(path) as sharing:
        with pytest.raises(StoreMoved, match=TAKEN) as caught:
            store.save(Event("lost"))
        assert caught.value.committed
        for call in (lambda: store.save(Event("a")), lambda: store.get(OTHER)):
            with pytest.raises(StoreMoved, match=f"{TAKEN}.*nothing"):
                call()
        with pytest.raises(StoreMoved, match=TAKEN):
            sharing.save(Event("too"))
    assert events(path) == [OTHER]
    assert events(other(path))[:2] == [OTHER, "lost"]
    with LMDBEventStore(path) as again:
        again.save(Event("kept"))
    assert events(path) == [OTHER, "kept"]


def test_a_commit_that_brings_another_file_level_proves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then both files have the number of the commit, but this one had it before."""
    with LMDBEventStore(path) as store:
        store.save(Event("newer"))
    monkeypatch.setattr(place, "SETTLED", -place.SECOND)  # no full check at the opening
    exchange(path, monkeypatch, "its parent")
    with LMDBEventStore(path) as store, pytest.raises(StoreMoved, match=TAKEN):
        store.save(Event("lost"))
    assert events(path) == [OTHER, "newer"]


@pytest.mark.parametrize("name", SWAPS)
@pytest.mark.parametrize("newer", ["this one", "the other one"])
@pytest.mark.parametrize("readonly", [True, False])
def test_a_file_of_another_age_is_noticed_by_a_full_check(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str, newer: str, *, readonly: bool
) -> None:
    """By the first read after a second."""
    with LMDBEventStore(path if newer == "this one" else other(path)) as store:
        store.save(Event("newer"))
    exchange(path, monkeypatch, name)
    with pytest.raises(StoreMoved, match="newer copy" if newer == "this one" else TAKEN):
        read_later(path, readonly=readonly)
    assert set(events(path)) == {OTHER, *(["newer"] if newer == "this one" else [])}


def read_later(path: Path, *, readonly: bool) -> None:
    with LMDBEventStore(path, readonly=readonly) as store:
        store._session.place.deadline = 0.0  # as if a second had passed
        store.get(OTHER)


@pytest.mark.parametrize("readonly", [True, False])
def test_a_lock_file_that_was_exchanged_while_it_was_opened_is_noticed(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, readonly: bool
) -> None:
    """Two processes with different lock files would both write; the inode may be used again."""
    with monkeypatch.context() as patch:
        exchange_lock(path, patch)
        with pytest.raises(StoreMoved, match=EXCHANGED):
            LMDBEventStore(path, readonly=readonly)
    assert events(path) == [OTHER]


EXCHANGED = "lock.mdb or barrier was exchanged while it was opened"


def exchange_lock(path: Path, patch: pytest.MonkeyPatch) -> None:
    """Let LMDB open another lock file, once; the old one is put back afterwards."""
    opened, lock = lmdb.open, path / "lock.mdb"

    def exchanged(*arguments: Any, **options: Any) -> Any:
        patch.setattr(lmdb, "open", opened)
        lock.rename(path / "aside")
        try:
            return opened(*arguments, **options)
        finally:
            (path / "aside").replace(lock)

    patch.setattr(lmdb, "open", exchanged)


@pytest.mark.parametrize("how", ["removed", "replaced"])
@pytest.mark.parametrize("readonly", [True, False])
def test_a_new_lock_file_that_was_exchanged_while_it_was_opened_is_noticed(
    path: Path, monkeypatch: pytest.MonkeyPatch, how: str, *, readonly: bool
) -> None:
    """The marks are of the one that was made; LMDB makes one too, if that was removed."""
    with monkeypatch.context() as patch:
        (path / "lock.mdb").unlink()
        remove_lock(path, patch, how)
        with pytest.raises(StoreMoved, match=r"lock.mdb .* is another file"):
            LMDBEventStore(path, readonly=readonly)
    assert events(path) == [OTHER]


def remove_lock(path: Path, patch: pytest.MonkeyPatch, how: str = "removed") -> None:
    """Remove the lock file before LMDB opens it, once, or replace it by an empty one."""
    opened, lock = lmdb.open, path / "lock.mdb"

    def removed(*arguments: Any, **options: Any) -> Any:
        patch.setattr(lmdb, "open", opened)
        lock.rename(path / "aside")  # so that no other file is given its inode
        if how == "replaced":
            lock.touch()
        return opened(*arguments, **options)

    patch.setattr(lmdb, "open", removed)


def test_no_commit_is_lost_if_a_lock_file_is_removed_while_two_processes_open_the_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one finds the lock file that the first has just made; then it is removed."""

    def opened_before(folder: StoreFolder) -> Presence:
        first.do("open", str(path), {})
        return Presence(folder)

    with Process(tiny_runs=False) as first:
        (path / "lock.mdb").unlink()
        monkeypatch.setattr(opening, "Presence", opened_before)
        remove_lock(path, monkeypatch)
        try:
            with LMDBEventStore(path) as store:
                assert first.do("save", Event("theirs")) == "StoreMoved"
                store.save(Event("ours"))
        except StoreMoved:  # the opening was refused
            assert first.do("save", Event("theirs")) == "StoreMoved"
        first.do("close")
        monkeypatch.undo()
    assert "theirs" in events(path), "it was committed, as StoreMoved says"


def test_no_commit_is_lost_if_a_folder_is_replaced_while_another_process_opens_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LMDB opens no folder that was put at the path, where the marks do not exclude others."""
    opened, lock = lmdb.open, path / "lock.mdb"

    def replaced(*arguments: Any, **options: Any) -> Any:
        swap(path, other(path))
        first.do("open", str(path), {})
        lock.unlink()
        lock.touch()
        environment = opened(*arguments, **options)
        assert first.do("save", Event("theirs")) == "StoreMoved"
        first.do("close")
        second.do("open", str(path), {})
        second.do("save", Event("more"))
        return environment

    with (
        Process(tiny_runs=False) as first,
        Process(tiny_runs=False) as second,
        monkeypatch.context() as patch,
    ):
        patch.setattr(lmdb, "open", replaced)
        with pytest.raises(StoreMoved, match="another folder is there"):
            LMDBEventStore(path)
        second.do("close")
    assert events(path) == [OTHER, "theirs", "more"]


@pytest.mark.parametrize("back", [True, False])
def test_a_barrier_that_was_exchanged_while_it_was_opened_is_noticed(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, back: bool
) -> None:
    """Every other process would be refused, because it cannot have the barrier of the marks."""
    barrier = path / "barrier"

    def exchanged(folder: StoreFolder, descriptor: int, *, readonly: bool) -> Barrier:
        barrier.rename(path / "aside")
        barrier.write_bytes(b"\0")
        opened = Barrier(folder, descriptor, readonly=readonly)
        if back:
            (path / "aside").replace(barrier)
        return opened

    with monkeypatch.context() as patch:
        patch.setattr(opening, "Barrier", exchanged)
        trouble = EXCHANGED if back else r"barrier .* is another file"
        with pytest.raises(StoreMoved, match=trouble):
            LMDBEventStore(path)
    with LMDBEventStore(path), opened_elsewhere(path):
        pass


def test_a_lock_file_that_is_exchanged_while_a_reader_becomes_a_writer_is_noticed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written, and the next write opens it again."""
    with (
        stopped(path, "write") as other,
        LMDBEventStore(path, consistency="snapshot") as store,
    ):
        other.go()
        exchange_lock(path, monkeypatch)
        with pytest.raises(EventWriteException, match=r"nothing was written: lock.mdb .* exch"):
            store.save(Event("refused"))
        assert len(store) == 2
        store.save(Event("saved"))
    assert sorted(events(path)) == sorted([OTHER, THEIRS, "saved"])


def test_a_reader_becomes_a_writer_with_the_lock_file_that_is_there_then(path: Path) -> None:
    with (
        stopped(path, "write") as other,
        LMDBEventStore(path, consistency="snapshot") as store,
    ):
        other.go()
        (path / "lock.mdb").unlink()
        store.save(Event("a"))
        with opened_elsewhere(path):
            store.save(Event("b"))
        (path / "lock.mdb").unlink()
        with pytest.raises(StoreMoved, match=r"lock.mdb .* is gone"):
            store.save(Event("c"))
    assert {"a", "b", "c"} < set(events(path))


def test_another_process_that_writes_is_not_taken_for_an_exchange(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may commit between any two steps of the comparison; a commit here ends that."""
    with LMDBEventStore(path) as store:
        known = store._session.place._known
        for transactions in ([7, 7], [7, 8], [8, 9]):
            numbers = iter(transactions)
            monkeypatch.setattr(known, "last", lambda numbers=numbers: next(numbers))
            monkeypatch.setattr(known, "transaction", lambda last=transactions[-1]: last)
            store._session.place.check()
        monkeypatch.undo()
        assert not known.proved
        store.save(Event())
        assert known.proved
        monkeypatch.setattr(known, "last", lambda: pytest.fail("it is proved"))
        store._session.place.check()
        store.save(Event())


def test_a_commit_proves_nothing_if_the_file_cannot_be_found_or_nothing_was_changed(
    path: Path,
) -> None:
    with LMDBEventStore(path) as store:
        known = store._session.place._known
        with pytest.raises(Exception, match="in the store already"):
            store.save(Event(OTHER))
        assert not known.proved
        assert not known.elsewhere
        os.rename(path / "data.mdb", path / "moved")
        with pytest.raises(StoreMoved, match="gone"):
            store.save(Event("a"))
        assert not known.proved
        os.rename(path / "moved", path / "data.mdb")
        store.save(Event("b"))
        assert known.proved
        store.compact()
        assert not known.proved, "another file was opened"
        store.save(Event("c"))
        assert known.proved
    assert events(path) == [OTHER, "a", "b", "c"]


@pytest.mark.parametrize("age", [-place.SECOND, 3600 * place.SECOND])
def test_an_opening_compares_no_transactions(
    path: Path, monkeypatch: pytest.MonkeyPatch, age: int
) -> None:
    """With a quick check, and with a full one."""
    with LMDBEventStore(path):
        pass
    monkeypatch.setattr(place, "SETTLED", age)
    monkeypatch.setattr(place.Known, "last", lambda _: pytest.fail("it is made"))
    with LMDBEventStore(path) as store:
        assert OTHER in store


@pytest.mark.parametrize("writer", [False, True])
def test_a_data_file_that_is_a_pipe_by_now_is_not_waited_for(path: Path, *, writer: bool) -> None:
    with LMDBEventStore(path) as store, ExitStack() as opened:
        (path / "data.mdb").rename(path / "aside")
        os.mkfifo(path / "data.mdb")
        if writer:
            opened.callback(os.close, os.open(path / "data.mdb", os.O_RDWR | os.O_NONBLOCK))
        opened.callback(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, hangs))
        opened.callback(signal.alarm, signal.alarm(LONG))
        assert store._session.place._known.last() is None


def hangs(*_: object) -> None:
    raise AssertionError("it waits for the pipe")
