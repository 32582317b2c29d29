"""Compacting, backing up and repairing while the folder is exchanged: no other store is touched."""

from __future__ import annotations

import os
import shutil
from functools import partial
from typing import TYPE_CHECKING

import pytest

from lmdbstore import (
    Event,
    EventWriteException,
    LMDBEventStore,
    StoreMoved,
    repair,
    verify,
)
from lmdbstore.disk import files
from lmdbstore.disk import format as fmt
from tests.tools.moves import OTHER, aside, other_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EVENTS = 300


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a path for a store that is moved, so that it is not checked at the end."""
    return tmp_path / "events"


@pytest.fixture(params=["by descriptor", "by path"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """LMDB reaches temporary files by way of a descriptor, where the system has that."""
    if request.param == "by path":
        monkeypatch.setattr(files, "way_of", "/nothing/{}".format)


def made(path: Path) -> None:
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(Event(f"e{n}", tags=["f"], content="x" * 500) for n in range(EVENTS))
        for n in range(EVENTS // 2):
            store.delete(f"e{n}")


def at_the_start(path: Path) -> Callable[[int, int], None]:
    """Return a callback that puts another store in place, the first time it is called."""
    called: list[int] = []

    def progress(done: int, _: int) -> None:
        if not called:
            path.rename(aside(path))
            path.with_name("other").rename(path)
        called.append(done)

    return progress


def assert_untouched(path: Path) -> None:
    """Check that both stores are whole, each in its place, and nothing else is there."""
    assert sorted(os.listdir(path.parent)) == ["events", "events aside"]
    for folder, number in ((path, 1), (aside(path), EVENTS // 2)):
        assert not [name for name in os.listdir(folder) if name.startswith(".")]
        assert verify(folder, pages=True) == []
        with LMDBEventStore(folder) as store:
            assert len(store) == number
    with LMDBEventStore(path) as store:
        assert [event.id for event in store.search()] == [OTHER]


@pytest.mark.usefixtures("way")
def test_a_compaction_never_lands_on_another_store(path: Path) -> None:
    made(path)
    other_store(path.with_name("other"))
    with (
        LMDBEventStore(path) as store,
        pytest.raises(StoreMoved, match=r"with another store"),
    ):
        store.compact(progress=at_the_start(path))
    assert_untouched(path)


def moved_first(path: Path) -> Callable[..., None]:
    """Return `os.replace`, but so that another store is put at the path before."""
    exchange = os.replace

    def late(new: str, old: str, **folders: int) -> None:
        path.rename(aside(path))
        path.with_name("other").rename(path)
        exchange(new, old, **folders)

    return late


def test_a_compaction_of_a_store_that_moves_at_the_last_moment(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its new file is in its own folder, wherever that is."""
    made(path)
    other_store(path.with_name("other"))
    size = (path / "data.mdb").stat().st_size
    with LMDBEventStore(path) as store:
        monkeypatch.setattr(os, "replace", moved_first(path))
        with pytest.raises(StoreMoved, match="the store that moved was compacted"):
            store.compact()
    assert_untouched(path)
    assert (aside(path) / "data.mdb").stat().st_size < size


@pytest.mark.usefixtures("way")
def test_a_repair_never_lands_on_another_store(path: Path) -> None:
    made(path)
    other_store(path.with_name("other"))
    with pytest.raises(StoreMoved, match="another folder is there; nothing was repaired"):
        repair(path, progress=at_the_start(path))
    assert_untouched(path)


def test_a_repair_of_a_store_that_moves_at_the_last_moment(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(path)
    other_store(path.with_name("other"))
    monkeypatch.setattr(os, "replace", moved_first(path))
    with pytest.raises(StoreMoved, match="the store that moved was repaired"):
        repair(path)
    assert_untouched(path)


@pytest.mark.usefixtures("way")
def test_a_backup_of_a_store_that_moves_is_not_made(path: Path) -> None:
    made(path)
    other_store(path.with_name("other"))
    with (
        LMDBEventStore(path) as store,
        pytest.raises(StoreMoved, match=r"with another store.*no backup was made"),
    ):
        store.backup(path.with_name("backup"), progress=at_the_start(path))
    assert_untouched(path)


def test_a_backup_into_a_folder_that_moves_is_not_made(path: Path) -> None:
    """At its path there is a whole backup, or none."""
    made(path)
    parent = path.with_name("backups")
    parent.mkdir()

    def progress(*_: int) -> None:
        if not aside(parent).exists():
            parent.rename(aside(parent))
            parent.mkdir()
            (parent / "precious").touch()

    with (
        LMDBEventStore(path) as store,
        pytest.raises(StoreMoved, match=r"backups.*another folder is there; no backup was made"),
    ):
        store.backup(parent / "copy", progress=progress)
    assert os.listdir(parent) == ["precious"]
    assert os.listdir(aside(parent)) == []


@pytest.mark.parametrize("work", ["compact", "backup"])
def test_a_temporary_folder_that_is_removed_is_reported(path: Path, work: str) -> None:
    made(path)

    def progress(*_: int) -> None:
        for folder in (path, path.parent):
            for name in os.listdir(folder):
                if name.startswith("."):
                    shutil.rmtree(folder / name)

    with LMDBEventStore(path) as store:
        call = store.compact if work == "compact" else partial(store.backup, path / "../copy")
        with pytest.raises(EventWriteException, match=r"could not be made|temporary folder"):
            call(progress=progress)
        assert len(store) == EVENTS // 2
        store.save(Event())
    assert verify(path, pages=True) == []
    assert os.listdir(path.parent) == ["events"]


# -- the identity of a store ----------------------------------------------------------------------


def identity(path: Path) -> bytes | None:
    with LMDBEventStore(path) as store:
        found = store._session.read(lambda txn, dbs: txn.get(fmt.IDENTITY, db=dbs.meta))
        known = store._session._environment.known.store
    assert fmt.decode_identity(found or b"") == known
    return known


def test_every_store_has_an_identity_of_its_own(path: Path) -> None:
    made(path)
    other_store(path.with_name("other"))
    assert identity(path) != identity(path.with_name("other"))
    assert len(identity(path) or b"") == fmt.IDENTITY_SIZE


def test_compacting_and_repairing_keep_the_identity_and_a_backup_has_another(path: Path) -> None:
    made(path)
    before = identity(path)
    with LMDBEventStore(path) as store:
        store.compact()
        store.backup(path.with_name("backup"))
    assert identity(path) == before
    assert not repair(path).new_identity
    assert identity(path) == before
    assert identity(path.with_name("backup")) not in (before, None)


@pytest.mark.parametrize("found", [None, b"", b"x" * 16, b"x" * 20, b"x" * 21])
def test_a_lost_identity_is_found_and_repaired(path: Path, found: bytes | None) -> None:
    made(path)
    with LMDBEventStore(path) as store:
        environment = store._session._environment
        with environment.lmdb.begin(write=True) as txn:
            txn.put(fmt.TRANSACTION, fmt.encode_checked(txn.id()))
            if found:
                txn.put(fmt.IDENTITY, found, db=environment.databases.meta)
            else:
                txn.delete(fmt.IDENTITY, db=environment.databases.meta)
        (finding,) = store.verify()
        assert str(finding).startswith("identity in meta")
    assert [str(found).partition(":")[0] for found in verify(path)] == ["identity in meta"]
    assert identity(path) is None
    repaired = repair(path)
    assert repaired.new_identity
    assert repaired.left_out == []
    assert verify(path, pages=True) == []
    assert identity(path) is not None
