"""Opening: the creation of a store, refusals and their messages, and sharing in a process."""

from __future__ import annotations

import os
import pickle
import resource
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import lmdb
import pytest

from lmdbstore import (
    Event,
    EventStoreException,
    InvalidOption,
    LMDBEventStore,
    ReadOnlyStore,
    StoreClosed,
    StoreOpenError,
    repair,
    verify,
)
from lmdbstore.disk import files
from lmdbstore.disk import format as fmt
from lmdbstore.disk.folder import TEMPORARY
from lmdbstore.disk.map_size import DEFAULT_MAP_SIZE
from lmdbstore.engine.registry import _registry
from lmdbstore.opening import create as creation
from lmdbstore.processes.write_set import SIZE
from tests.tools.planting import writing
from tests.tools.users import BECOME_ANOTHER, folder_for_all, needs_another_user

pytestmark = pytest.mark.surroundings


def test_a_new_store_is_a_folder_for_its_owner_only(path: Path) -> None:
    with LMDBEventStore(path):
        assert sorted(os.listdir(path)) == ["barrier", "data.mdb", "lock.mdb", "snapshots"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for name in os.listdir(path):
        assert stat.S_IMODE((path / name).stat().st_mode) == 0o600
    assert os.listdir(path.parent) == [path.name], "the folder it was made in is left over"


def test_the_address_of_a_server_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for scheme in ("postgresql", "postgres"):
        with pytest.raises(InvalidOption, match=r"address of a server.*open_store") as info:
            LMDBEventStore(f"{scheme}://me:secret@host/db")
        assert "secret" not in str(info.value)
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_becomes_a_store(path: Path) -> None:
    path.mkdir()
    with LMDBEventStore(str(path)) as store:
        store.save(Event("a"))
    assert os.listdir(path.parent) == [path.name]


def test_an_existing_folder_keeps_its_rights_and_may_be_a_link(path: Path) -> None:
    target = path.parent / "target"
    target.mkdir(mode=0o770)
    target.chmod(0o770)
    inode = target.stat().st_ino
    path.symlink_to(target)
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
        with LMDBEventStore(target) as same:
            assert same._session._environment is store._session._environment
    assert (target.stat().st_ino, stat.S_IMODE(target.stat().st_mode)) == (inode, 0o770)
    assert sorted(os.listdir(target)) == ["barrier", "data.mdb", "lock.mdb", "snapshots"]


def test_leftovers_of_a_killed_creation_do_not_prevent_opening(path: Path) -> None:
    path.mkdir()
    (path / f"{TEMPORARY}123").mkdir()
    (path / "barrier").write_bytes(b"\0")
    with LMDBEventStore(path) as store:
        store.save(Event("a"))


@pytest.mark.parametrize("pages", [2, 3, 5, -1])
def test_a_data_file_that_is_cut_off_is_refused(path: Path, pages: int) -> None:
    """A read of it would end the process."""
    with LMDBEventStore(path) as store:
        store.save_many(Event(content="x" * 500) for _ in range(100))
    whole = (path / "data.mdb").read_bytes()
    end = pages * 4096 if pages > 0 else len(whole) - 4096
    os.truncate(path / "data.mdb", end)
    with pytest.raises(StoreOpenError, match="cut off"):
        LMDBEventStore(path)
    (path / "data.mdb").write_bytes(whole)


def test_the_next_opening_releases_a_dropped_store(path: Path) -> None:
    store: LMDBEventStore | None = LMDBEventStore(path)
    assert store is not None
    del store
    with LMDBEventStore(path, durability="none") as other:
        other.save(Event("a"))


def test_a_path_that_is_not_valid_text_works(path: Path) -> None:
    odd = os.fsdecode(os.fsencode(path.parent) + b"/\xff\xfe")
    with LMDBEventStore(odd) as store:
        store.save(Event("a"))
    with LMDBEventStore(odd, readonly=True) as store:
        assert "a" in store


@pytest.mark.parametrize("inside", [False, True])
def test_a_path_through_folders_whose_names_are_not_text_works(path: Path, inside: bool) -> None:
    """This holds for all calls: some of them make another store inside the folder."""
    odd = os.fsdecode(os.fsencode(path.parent) + b"/\xff\xfe")
    os.mkdir(odd)
    place = os.path.join(odd, "events") if inside else odd
    copy = os.path.join(path.parent if not inside else odd, "copy\udcff")
    with LMDBEventStore(place) as store:
        store.save_many(Event(f"e{n}") for n in range(9))
        store.seal()
        store.compact()
        store.backup(copy)
        store.backup(f"{copy} too")
        assert store.verify(pages=True) == []
        with store.snapshot():
            assert len(store.stats().snapshots) == 1
        assert store.purge(max_events=5).events == 4
    for made, events in ((place, 5), (copy, 9), (f"{copy} too", 9)):
        assert verify(made, pages=True) == []
        assert repair(made).events == events
        with pytest.raises(StoreOpenError) as refused:
            LMDBEventStore(f"{made}/none/none", create=False)
        assert str(refused.value).isprintable()


def test_saved_events_are_there_after_reopening(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("a", content="x"))
    with LMDBEventStore(path, create=False) as store:
        assert store.get("a").content == "x"
        store.save(Event("b"))
        assert [event.id for event in store.search()] == ["a", "b"]


def test_local_ids_are_not_reused_after_the_last_event_is_deleted(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save_many([Event("a", timestamp=1.0), Event("b", timestamp=1.0)])
        (token,) = [search.token for search in [store.search(order="desc")] if next(search)]
        store.delete("b")
    with LMDBEventStore(path) as store:
        store.save(Event("c", timestamp=1.0))
        assert [event.id for event in store.search(after=token)] == ["c"]


def test_a_relative_path_does_not_follow_the_current_folder(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    with LMDBEventStore(path.name) as store:
        monkeypatch.chdir("/")
        assert repr(store) == f"<LMDBEventStore {str(path)!r}>"
        with LMDBEventStore(path) as other:
            assert other._session._environment is store._session._environment


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda path: path.write_text("x"), "not a folder"),
        (lambda path: (path.mkdir(), (path / "notes.txt").write_text("x")), "holds other things"),
        (lambda path: path.symlink_to("/dev/null"), "not a folder"),
        (lambda path: lmdb.open(str(path)).close(), "not a store of lmdbstore"),
        (lambda path: (path.mkdir(), (path / "data.mdb").write_bytes(b"x" * 9000)), "not an LMDB"),
        (lambda path: (path.mkdir(), (path / "data.mdb").write_bytes(b"")), "not an LMDB"),
    ],
)
def test_a_path_that_is_not_a_store_is_refused_and_unchanged(
    tmp_path: Path, made: Any, words: str
) -> None:
    path = tmp_path / "there"
    made(path)
    before = sorted(os.walk(tmp_path))
    with pytest.raises(StoreOpenError, match=words):
        LMDBEventStore(path)
    assert sorted(os.walk(tmp_path)) == before
    assert not _registry


def test_a_missing_store_is_refused_without_create(tmp_path: Path) -> None:
    with pytest.raises(StoreOpenError, match="create=True"):
        LMDBEventStore(tmp_path / "none", create=False)
    with pytest.raises(StoreOpenError, match="there is no store"):
        LMDBEventStore(tmp_path / "none", readonly=True)
    for options in ({"create": False}, {"readonly": True}):
        with pytest.raises(StoreOpenError, match="there is no store"):
            LMDBEventStore(tmp_path / "no" / "folder", **options)  # type: ignore[arg-type]  # bools
    assert not os.listdir(tmp_path)


def test_missing_parent_folders_are_made_with_the_usual_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    flush = files.flush_folder

    def noted(folder: files.Directory) -> None:
        flushed.append(folder.path)
        flush(folder)

    monkeypatch.setattr(files, "flush_folder", noted)
    before = os.umask(0o027)
    try:
        with LMDBEventStore(tmp_path / "a" / "b" / "events") as store:
            store.save(Event("a"))
    finally:
        os.umask(before)
    assert flushed[:2] == [str(tmp_path), str(tmp_path / "a")]
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        assert (stat.S_IMODE(folder.stat().st_mode), len(os.listdir(folder))) == (0o750, 1)
    assert stat.S_IMODE((tmp_path / "a" / "b" / "events").stat().st_mode) == 0o700


def test_parent_folders_of_a_store_that_could_not_be_made_are_removed(tmp_path: Path) -> None:
    with pytest.raises(StoreOpenError, match="pass a smaller map_size"):
        LMDBEventStore(tmp_path / "a" / "b" / "events", map_size=1 << 50)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreOpenError, match="could not be"):
        LMDBEventStore(tmp_path / "file" / "b" / "events")
    assert os.listdir(tmp_path) == ["file"]


def test_a_store_of_another_version_is_refused_with_both_versions(path: Path) -> None:
    LMDBEventStore(path).close()
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        txn.put(fmt.FORMAT, fmt.encode_checked(99), db=databases.meta)
    with pytest.raises(StoreOpenError, match=r"version 99.*version 8"):
        LMDBEventStore(path)
    with lmdb.open(str(path), max_dbs=8) as environment, environment.begin(write=True) as txn:
        meta = environment.open_db(fmt.META, txn)
        txn.put(fmt.FORMAT, fmt.encode_checked(fmt.VERSION), db=meta)
        txn.put(fmt.TRANSACTION, fmt.encode_checked(txn.id()))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"durability": "some"}, "durability"),
        ({"durability": None}, "durability"),
        ({"consistency": "eventual"}, "consistency"),
        ({"map_size": 0}, "map_size"),
        ({"map_size": 1.5}, "map_size"),
        ({"map_size": 1 << 70}, "map_size"),
        ({"max_readers": -1}, "max_readers"),
        ({"max_readers": 1 << 31}, "max_readers"),
        ({"map_size": 4096}, "map_size"),
        ({"readonly": "no"}, "readonly"),
        ({"create": 1}, "create"),
        ({"max_readers": True}, "max_readers"),
        ({"mode": True}, "mode"),
        ({"mode": "600"}, "mode"),
        ({"mode": 0o400}, "mode"),
        ({"mode": 0o777}, "mode"),
        ({"mode": 0o100600}, "mode"),
        ({"mode": -1}, "mode"),
    ],
)
def test_the_refusal_of_an_option_names_it(
    tmp_path: Path, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidOption, match=rf"^{field}: .*pass") as caught:
        LMDBEventStore(tmp_path / "s", **options)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, StoreOpenError)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("path", [None, 5, "", "a\0b", ["x"]])
def test_a_bad_path_is_refused(path: Any) -> None:
    with pytest.raises(InvalidOption, match=r"^path: "):
        LMDBEventStore(path)


def test_stores_of_one_path_share_one_environment_in_a_process(path: Path) -> None:
    first = LMDBEventStore(path)
    second = LMDBEventStore(path.parent / "." / path.name, consistency="snapshot")
    first.save(Event("a"))
    assert second.get("a").id == "a"
    first.close()
    with pytest.raises(StoreClosed):
        first.get("a")
    second.save(Event("b"))
    assert len(second) == 2
    second.close()
    second.close()


@pytest.mark.parametrize("options", [{"durability": "none"}, {"map_size": 1 << 20}])
def test_the_refusal_of_contradicting_options_names_them(
    path: Path, options: dict[str, Any]
) -> None:
    with LMDBEventStore(path) as store:
        with pytest.raises(InvalidOption, match=next(iter(options))):
            LMDBEventStore(path, **options)
        store.save(Event("a"))
    with LMDBEventStore(path, **options) as store:
        assert "a" in store


def test_files_that_the_process_opened_with_lmdb_are_refused(path: Path) -> None:
    LMDBEventStore(path).close()
    with (
        lmdb.open(str(path), max_dbs=8),
        pytest.raises(StoreOpenError, match="opened the same files with lmdb itself"),
    ):
        LMDBEventStore(path)


def test_a_readonly_store_can_be_read_but_not_written(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
    with LMDBEventStore(path, readonly=True) as store:
        assert [event.id for event in store.search()] == ["a"]
        writes: list[Any] = [lambda: store.save(Event("b")), lambda: store.delete("a")]
        writes += [lambda: store.save_many([Event("b")]), lambda: store.save_many([])]
        for write in writes:
            with pytest.raises(ReadOnlyStore, match="readonly=True"):
                write()
        with store.snapshot() as view:
            assert len(view) == 1


def test_a_reader_without_the_right_to_write_is_told_about_the_lock_file() -> None:
    """In a folder that an ordinary user can reach, as root may write to everything."""
    needs_another_user()
    with folder_for_all() as folder:
        path = folder / "events"
        LMDBEventStore(path).close()
        path.chmod(0o755)
        for file in path.iterdir():
            file.chmod(0o444)
        code = f"""{BECOME_ANOTHER}
try:
    lmdbstore.LMDBEventStore({str(path)!r}, readonly=True)
except lmdbstore.StoreOpenError as error:
    print(error)
"""
        assert "a reader too must be allowed to write the store's lock.mdb" in python(code)


def test_a_short_address_space_gets_a_smaller_map(path: Path) -> None:
    code = f"""
import resource, lmdbstore
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
with lmdbstore.LMDBEventStore({str(path)!r}) as store:
    store.save(lmdbstore.Event("a"))
    print(store.stats().map_bytes)
"""
    assert resource.getrlimit(resource.RLIMIT_AS)
    assert 1 << 30 <= int(python(code)) < DEFAULT_MAP_SIZE


def test_a_too_large_map_is_an_error_with_the_remedy(path: Path) -> None:
    with pytest.raises(StoreOpenError, match="pass a smaller map_size"):
        LMDBEventStore(path, map_size=1 << 50)
    assert not os.listdir(path.parent)  # and nothing was made


def test_a_store_is_pickled_as_its_path_and_options(path: Path) -> None:
    with LMDBEventStore(path, consistency="snapshot", max_readers=100) as store:
        store.save(Event("a"))
        with pickle.loads(pickle.dumps(store)) as copy:
            assert copy.get("a").id == "a"
            assert copy._session.options == store._session.options
            assert not copy._session.strict
            assert copy._session._environment is store._session._environment


def test_processes_that_create_one_store_at_once_share_it(path: Path) -> None:
    code = f"""
import sys, lmdbstore
sys.stdin.readline()
with lmdbstore.LMDBEventStore({str(path)!r}) as store:
    store.save(lmdbstore.Event())
"""
    children = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) for _ in range(6)
    ]
    for child in children:
        assert child.stdin
        child.stdin.write(b"\n")
        child.stdin.close()
    assert [child.wait(60) for child in children] == [0] * 6
    with LMDBEventStore(path, create=False) as store:
        assert len(store) == 6
    assert os.listdir(path.parent) == [path.name]


def test_a_failed_creation_leaves_no_files(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(creation, "create_barrier_file", fail)
    with pytest.raises(StoreOpenError, match="No space left"):
        LMDBEventStore(path)
    assert not os.listdir(path.parent)
    assert issubclass(StoreOpenError, EventStoreException)


@pytest.mark.parametrize("readonly", [False, True])
def test_an_empty_barrier_is_filled(path: Path, *, readonly: bool) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
    (path / "barrier").write_bytes(b"")
    with LMDBEventStore(path, readonly=readonly) as store:
        assert "a" in store


@pytest.mark.parametrize("readonly", [False, True])
def test_a_missing_side_file_is_recreated(path: Path, *, readonly: bool) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
    (path / "barrier").unlink()
    with LMDBEventStore(path, readonly=readonly) as store:
        assert "a" in store
    assert (path / "barrier").read_bytes() == bytes(SIZE)


@pytest.mark.parametrize("readonly", [False, True])
def test_a_barrier_that_is_too_short_is_made_longer_by_a_store_that_may_write(
    path: Path, *, readonly: bool
) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
    (path / "barrier").write_bytes(b"\0")
    with LMDBEventStore(path, readonly=readonly) as store:
        assert "a" in store
    assert (path / "barrier").stat().st_size == (1 if readonly else SIZE)


def python(code: str) -> str:
    """Run code in another process, and return its output."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
