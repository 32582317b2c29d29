"""Backup: complete or not at all, verified, and never over other files."""

from __future__ import annotations

import os
import resource
import stat
import threading
import warnings
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    EventWriteException,
    Finding,
    FindingKind,
    InvalidOption,
    LMDBEventStore,
    ReadOnlyStore,
    StoreClosed,
    StoreOpenError,
    verify,
)
from lmdbstore.care import copy as copying
from lmdbstore.testing.helpers import in_threads
from tests.tools.indexes import assert_indexes_agree
from tests.tools.planting import writing
from tests.tools.stores import fill, rights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


LONG = 60  # seconds; ends a hang, decides nothing
BATCHES = 25  # that are saved when a backup begins, and again in the middle of it


def size(path: Path) -> int:
    return (path / "data.mdb").stat().st_size


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """Yield a path for a backup; nothing else may be left in its folder."""
    before = {*os.listdir(tmp_path), "events"}
    yield tmp_path / "backup"
    assert set(os.listdir(tmp_path)) - before <= {"backup", "more"}


@pytest.mark.parametrize(
    ("modes", "expected"),
    [((0o660, None), 0o660), ((0o600, 0o640), 0o640), ((0o666, 0o600), 0o600)],
)
def test_the_files_of_a_backup_get_the_given_rights_or_those_of_the_store(
    store: LMDBEventStore, path: Path, target: Path, modes: tuple[int, int | None], expected: int
) -> None:
    of_store, mode = modes
    (path / "data.mdb").chmod(of_store)
    before = os.umask(0o077)
    try:
        store.backup(target, mode=mode)
    finally:
        os.umask(before)
        (path / "data.mdb").chmod(0o600)
    assert {rights(target / name) for name in os.listdir(target)} == {expected}
    assert rights(target) == expected | 0o100 | (expected & 0o044) >> 2


def test_a_mode_that_is_none_is_refused(store: LMDBEventStore, target: Path) -> None:
    with pytest.raises(InvalidOption, match="mode: 0o777"):
        store.backup(target, mode=0o777)
    assert not target.exists()


def test_a_backup_is_a_store_like_any_other(
    store: LMDBEventStore, path: Path, target: Path
) -> None:
    events = fill(store)
    reported_sizes: list[tuple[int, int]] = []
    copied = store.backup(target, progress=lambda done, total: reported_sizes.append((done, total)))
    assert copied == size(target) < size(path) * 3 // 4
    assert sorted(os.listdir(target)) == ["barrier", "data.mdb"]
    assert {stat.S_IMODE(os.stat(target / name).st_mode) for name in os.listdir(target)} == {0o600}
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert reported_sizes[-1][0] == reported_sizes[-1][1]
    assert all(done <= total for done, total in reported_sizes)
    assert verify(target, pages=True) == []
    with LMDBEventStore(target) as copy:
        assert list(copy.search()) == events
        copy.save(Event("new"))
        assert_indexes_agree(copy)
    assert "new" not in store


def test_a_backup_during_writes_is_one_state(store: LMDBEventStore, target: Path) -> None:
    """It has all events acknowledged before, and each batch completely or not at all.

    The writer saves BATCHES batches twice for each backup, so that the store does not grow too
    fast: before it begins, and when its first piece is reported.
    """
    done = False
    granted = threading.Semaphore(0)
    acknowledged: list[int] = []

    def write() -> None:
        while granted.acquire() and not done:
            n = len(acknowledged)
            store.save_many(Event(f"{n} {i}", tags=["f"], content="x" * 200) for i in range(40))
            acknowledged.append(n)

    def grant(*_: int) -> None:
        if len(grants) < 2:
            grants.append(BATCHES)
            granted.release(BATCHES)

    target.mkdir()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for n in range(4):
            grants: list[int] = []
            grant()
            before = len(acknowledged)
            store.backup(target / f"{n}", progress=grant)
            with LMDBEventStore(target / f"{n}") as copy:
                assert_indexes_agree(copy)
                assert len(copy) % 40 == 0
                assert len(copy) >= before * 40
                assert {f"{i} 0" for i in acknowledged[:before]} <= {e.id for e in copy.search()}
    finally:
        done = True
        granted.release()
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
def test_a_backup_never_overwrites_anything(store: LMDBEventStore, target: Path, made: Any) -> None:
    made(target)
    before = (target.lstat().st_ino, target.is_dir() and sorted(os.listdir(target)))
    with pytest.raises(EventWriteException, match="never overwrites"):
        store.backup(target)
    # Nor something that appears while the backup is made.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "_check_free", lambda *_: None)
        with pytest.raises(EventWriteException, match="could not be made"):
            store.backup(target)
    assert (target.lstat().st_ino, target.is_dir() and sorted(os.listdir(target))) == before


def test_an_impossible_backup_is_refused(store: LMDBEventStore, path: Path, target: Path) -> None:
    for place, words in (
        (target / "in" / "nothing", "make it first"),
        (path / "inside", "own folder"),
        (path, "never overwrites"),
    ):
        with pytest.raises(EventWriteException, match=words):
            store.backup(place)
    with pytest.raises(StoreOpenError, match=r"^path"):
        store.backup("")
    with pytest.raises(StoreOpenError, match=r"^progress"):
        store.backup(target, progress=1)  # type: ignore[arg-type]  # on purpose
    target.mkdir()
    store.backup(target)
    store.close()
    with pytest.raises(StoreClosed):
        store.backup(target / "more")
    with pytest.raises(StoreClosed):
        store.compact()


def test_a_target_in_an_unreadable_folder_is_refused(
    store: LMDBEventStore, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.mkdir()

    def refused(_: object) -> None:
        raise PermissionError("made to fail")

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refused)
        with pytest.raises(EventWriteException, match="made to fail"):
            store.backup(target)


def test_a_readonly_store_can_be_backed_up_but_not_compacted(path: Path, target: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
    with LMDBEventStore(path, readonly=True) as store:
        store.backup(target)
        with pytest.raises(ReadOnlyStore):
            store.compact()
    assert verify(target) == []


def test_free_space_is_checked_first(
    store: LMDBEventStore, path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    before = sorted(os.listdir(path))
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((1,) * 10))
    monkeypatch.setattr(copying, "copy_verified", None)  # no copy is started
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
    monkeypatch.setattr(copying, "_verified", lambda _: [finding])
    with pytest.raises(EventWriteException, match="planted"):
        store.backup(target) if work == "backup" else store.compact()
    assert not target.exists()
    assert list(store.search()) == events
    store.save(Event("more"))


def test_copied_records_are_verified(store: LMDBEventStore, target: Path) -> None:
    """A record with a flipped bit in the store itself is found."""
    store.save(Event("a", timestamp=1.0, content="right"))
    with writing(store) as (txn, databases):
        with txn.cursor(db=databases.live) as cursor:
            cursor.first()
            key, record = cursor.item()
        txn.put(key, record.replace(b"right", b"wrong"), db=databases.live)
    for work in (lambda: store.backup(target), store.compact):
        with pytest.raises(EventWriteException, match="record changed"):
            work()
    with writing(store) as (txn, databases):
        txn.put(key, record, db=databases.live)


@pytest.mark.parametrize("work", ["backup", "compact"])
def test_an_interrupted_copy_leaves_nothing(
    store: LMDBEventStore, path: Path, target: Path, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    """This holds at any point of the copy."""
    monkeypatch.setattr(copying, "COPY_BYTES", 1 << 12)
    events = fill(store)
    before = sorted(os.listdir(path))

    def stop(done: int, _: int) -> None:
        if done > 100:
            raise KeyboardInterrupt

    copies: dict[str, Callable[[], object]] = {
        "backup": lambda: store.backup(target, progress=stop),
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
        warnings.simplefilter("ignore", DeprecationWarning)  # about threads in a process that forks
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
    ("act", "refusal"),
    [
        (LMDBEventStore.close, StoreClosed),
        (LMDBEventStore.compact, EventWriteException),
        (fork, None),
        (write_until_it_is_closed, StoreClosed),
    ],
)
def test_progress_callbacks_may_use_the_store(
    store: LMDBEventStore,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[LMDBEventStore], object],
    refusal: type[Exception] | None,
) -> None:
    """The call does not hang: it succeeds, or is refused, and then there is no backup."""
    monkeypatch.setattr(copying, "COPY_BYTES", 1 << 12)
    events = fill(store)
    reported_sizes: list[int] = []

    def progress(done: int, _: int) -> None:
        reported_sizes.append(done)
        if len(reported_sizes) == 1:
            act(store)

    def back_up() -> None:
        with pytest.raises(refusal) if refusal else nullcontext():
            store.backup(target, progress=progress)

    in_threads(back_up)
    assert reported_sizes == sorted(reported_sizes)
    assert target.exists() == (refusal is None) == (len(reported_sizes) > 1)
    if refusal is not None:
        return
    with LMDBEventStore(target) as copy:
        assert list(copy.search())[: len(events)] == events


@pytest.mark.parametrize("limit", [1 << 17, 1 << 18])  # bytes: in the lock file; in the events
@pytest.mark.parametrize("work", ["backup", "compact"])
def test_a_full_disk_leaves_the_store_as_it_was(
    store: LMDBEventStore, path: Path, target: Path, work: str, limit: int
) -> None:
    """A limit on the size of files simulates the full disk: the copy reaches it halfway."""
    events = fill(store)
    before = sorted(os.listdir(path))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        with pytest.raises(EventWriteException, match=r"may not grow|too large|disk is full"):
            store.backup(target) if work == "backup" else store.compact()
        assert list(store.search()) == events
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(os.listdir(path)) == before
    store.save(Event("more"))
    assert store.backup(target)
