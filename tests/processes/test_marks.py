"""Marks: a process whose side files are others is refused, and so is an unlisted reader."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import subprocess
import sys
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from lmdbstore import (
    Event,
    EventWriteException,
    LMDBEventStore,
    StoreInUse,
    StoreOpenError,
    verify,
)
from lmdbstore.disk.files import open_directory
from lmdbstore.processes.marks import READERS, UNLISTED, WRITERS, Marks
from lmdbstore.processes.ofd_locks import REGION, SUPPORTED
from tests.tools.children import LONG, ROOT, in_child, opened_elsewhere, output_of
from tests.tools.mounts import mounted, needs_mounts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.surroundings,
    pytest.mark.skipif(not SUPPORTED, reason="the system has no locks of open descriptions"),
]

END = REGION * 5  # behind all marks


def marked(path: Path) -> int:
    """Return the place of any mark that another description has set; 0 if there is none."""
    with open_directory(str(path)) as folder, closing(Marks(folder)) as seen:
        return seen._mark_in(WRITERS, END)


# -- side files that were removed ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lock.mdb", "barrier"])
@pytest.mark.parametrize("present", ["", ", readonly=True"])
@pytest.mark.parametrize("readonly", [False, True])
def test_a_process_with_other_side_files_is_refused(
    path: Path, name: str, present: str, *, readonly: bool
) -> None:
    """Both would write at once, and lose half of what they acknowledge."""
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
    with opened_elsewhere(path, present) as process:
        (path / name).unlink()
        for _ in range(2):  # the second one finds the file that the first one may have made
            with pytest.raises(StoreInUse, match=rf"{name}.*close it there.*process {process}"):
                LMDBEventStore(path, readonly=readonly)
        with pytest.raises(StoreInUse, match=name):
            verify(path)
    with LMDBEventStore(path) as store:
        store.save(Event("b"))
        with opened_elsewhere(path), opened_elsewhere(path, ", readonly=True"):
            store.save(Event("c"))


WRITES = """
import sys
from lmdbstore import Event, LMDBEventStore, StoreInUse, StoreMoved
path, name = sys.argv[1:]
saved = 0
try:
    with LMDBEventStore(path) as store:
        print("open", flush=True)
        sys.stdin.readline()
        for n in range(500):
            store.save(Event(f"{name}{n}"))
            saved += 1
except StoreInUse:
    print("refused", flush=True)
except StoreMoved as error:  # one change at most, and it is in the data file
    saved += error.committed
print(saved)
"""


def test_no_acknowledged_write_is_lost_when_a_lock_file_was_removed(path: Path) -> None:
    LMDBEventStore(path).close()
    command = [sys.executable, "-c", WRITES, str(path)]
    with subprocess.Popen(
        [*command, "a"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as first:
        assert first.stdout
        assert first.stdout.readline() == "open\n"
        (path / "lock.mdb").unlink()
        with subprocess.Popen(
            [*command, "b"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as second:
            assert second.stdout
            second.stdout.readline()
            for child in (first, second):
                assert child.stdin
                with suppress(BrokenPipeError):  # it was refused, and has ended
                    child.stdin.write("\n")
                    child.stdin.flush()
            outputs = [child.stdout.read() for child in (first, second) if child.stdout]
    saved = sum(int(output.split()[-1]) for output in outputs)
    with LMDBEventStore(path) as store:
        assert len(store) == saved


@pytest.mark.parametrize("restored", [True, False])
@pytest.mark.parametrize("present", ["", ", readonly=True"])
def test_a_process_with_another_data_file_is_refused(
    path: Path, present: str, *, restored: bool
) -> None:
    """It would share LMDB's lock file, and with it the number of the last transaction."""
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
        store.backup(path.with_name("backup"))
        store.save(Event("b"))
    with opened_elsewhere(path, present) as process:
        if restored:
            path.with_name("backup").joinpath("data.mdb").replace(path / "data.mdb")
        else:
            (path / "data.mdb").unlink()
        for _ in range(2):
            with pytest.raises(StoreInUse, match=rf"data.mdb was removed.*process {process}"):
                LMDBEventStore(path)
    with LMDBEventStore(path) as store:
        store.save(Event("c"))
        assert {event.id for event in store.search()} == ({"a", "c"} if restored else {"c"})
        store.compact()  # the locks follow the file
        with opened_elsewhere(path):
            assert len(store) == 1 + restored


def test_processes_with_the_same_side_files_open_the_store(path: Path) -> None:
    with LMDBEventStore(path) as store, opened_elsewhere(path, ", readonly=True"):
        with opened_elsewhere(path), opened_elsewhere(path, ", readonly=True"):
            store.save(Event("a"))

        def child() -> None:
            assert store.get("a").id == "a"

        in_child(child)
        assert marked(path)
    assert not marked(path)


def test_several_processes_open_a_bare_copy_at_once(path: Path) -> None:
    """None of them takes the files that another one makes for others."""
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
    for name in ("lock.mdb", "barrier", "snapshots"):
        (path / name).unlink()
    code = f"""
import sys, lmdbstore
sys.stdin.readline()
with lmdbstore.LMDBEventStore({str(path)!r}, readonly=bool(int(sys.argv[1]))) as store:
    assert "a" in store
    print("open", flush=True)
    sys.stdin.readline()
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(n % 2)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(6)
    ]
    for child in children:
        assert child.stdin
        child.stdin.write("\n")
        child.stdin.flush()
    lines = [child.stdout.readline() for child in children if child.stdout]
    for child in children:
        child.communicate("\n", timeout=LONG)
    assert (lines, [child.returncode for child in children]) == (["open\n"] * 6, [0] * 6)


def raw_fork() -> int:
    """Fork as a library in C does, which runs no hooks of Python."""
    pid: int = ctypes.PyDLL(None).fork()
    return pid


@pytest.mark.parametrize("fork", [os.fork, raw_fork])
def test_a_forked_child_does_not_keep_the_marks(path: Path, fork: Callable[[], int]) -> None:
    ready, go = os.pipe()
    with LMDBEventStore(path):
        pid = fork()
        if not pid:
            os.close(go)
            os.read(ready, 1)
            os._exit(0)
    try:
        assert not marked(path)
        LMDBEventStore(path).close()
    finally:
        os.close(ready)
        os.close(go)
        os.waitpid(pid, 0)


def test_marks_move_to_the_file_of_a_compaction(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"e{n}") for n in range(100))
        store.compact()
        assert marked(path)
        (path / "lock.mdb").unlink()
        code = f"""
import lmdbstore
try:
    lmdbstore.LMDBEventStore({str(path)!r})
except lmdbstore.StoreInUse as error:
    print(error)
"""
        assert "lock.mdb" in output_of([sys.executable, "-c", code])


def test_other_locks_of_the_data_file_do_not_count(path: Path) -> None:
    LMDBEventStore(path).close()
    with (path / "data.mdb").open("rb") as file:
        fcntl.lockf(file, fcntl.LOCK_SH)
        with LMDBEventStore(path) as store:
            store.save(Event("a"))


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOLCK])
def test_a_file_system_without_such_locks_is_used_without_marks(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = fcntl.fcntl

    def refusing(descriptor: int, command: int, *rest: bytes) -> object:
        if command in (fcntl.F_OFD_SETLK, fcntl.F_OFD_GETLK):
            raise OSError(number, os.strerror(number))
        return real(descriptor, command, *rest)

    monkeypatch.setattr(fcntl, "fcntl", refusing)
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
        store.compact()
        assert len(store) == 1


def test_the_marks_of_writers_and_readers_are_in_different_regions(path: Path) -> None:
    LMDBEventStore(path).close()
    with opened_elsewhere(path):
        assert WRITERS <= marked(path) < READERS
    with opened_elsewhere(path, ", readonly=True"):
        assert READERS <= marked(path) < UNLISTED


# -- read-only mounts ------------------------------------------------------------------------------

OPEN = """
import sys
import lmdbstore
path, readonly = sys.argv[1], sys.argv[2] == "reader"
try:
    with lmdbstore.LMDBEventStore(path, readonly=readonly) as store:
        print("open", sorted(event.id for event in store.search()), flush=True)
        sys.stdin.readline()
except lmdbstore.StoreInUse as error:
    print(error, flush=True)
"""


def read_only(path: Path, mount: Path, *commands: list[str] | str) -> list[str]:
    """Return the command that runs others with the store mounted read-only at `mount`."""
    mount.mkdir(exist_ok=True)
    bind = ["mount", "--bind", str(path), str(mount)]
    remount = ["mount", "-o", "remount,bind,ro", str(mount)]
    other = mount.parent / "small"
    other.mkdir(exist_ok=True)
    return mounted(other, bind, remount, *commands, size=1 << 20)


@pytest.mark.parametrize("names", [[], ["lock.mdb"], ["lock.mdb", "barrier", "snapshots"]])
def test_readers_on_a_read_only_mount_exclude_writers(
    path: Path, tmp_path: Path, names: list[str]
) -> None:
    """A store without its side files is read there, too, and nothing is made."""
    needs_mounts()
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
    for name in names:
        (path / name).unlink()
    mount = tmp_path / "mount"
    command = read_only(path, mount, [sys.executable, "-c", OPEN, str(mount), "reader"])
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == "open ['a']\n"
        with pytest.raises(StoreInUse, match=r"through a read-only mount.*python.*process"):
            LMDBEventStore(path)
        assert "open ['a']" in output_of(command), "a second reader there"
        child.communicate("\n", timeout=LONG)
    with LMDBEventStore(path) as store:
        store.save(Event("b"))


def test_a_reader_on_a_read_only_mount_is_refused_beside_a_writer(
    path: Path, tmp_path: Path
) -> None:
    """LMDB ended such a reader (SIGABRT), or it read pages that were used again."""
    needs_mounts()
    mount = tmp_path / "mount"
    command = read_only(path, mount, [sys.executable, "-c", OPEN, str(mount), "reader"])
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
        assert f"process {os.getpid()}" in (refusal := output_of(command))
        assert "is open for writing" in refusal
        store.save(Event("b"))
    assert "open ['a', 'b']" in output_of(command)


def test_a_reader_with_a_slot_does_not_exclude_one_on_a_read_only_mount(
    path: Path, tmp_path: Path
) -> None:
    needs_mounts()
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
    mount = tmp_path / "mount"
    with LMDBEventStore(path, readonly=True) as store:
        command = read_only(path, mount, [sys.executable, "-c", OPEN, str(mount), "reader"])
        assert "open ['a']" in output_of(command)
        assert "a" in store


# -- other programs, and refusals ------------------------------------------------------------------


LOCKS = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["barrier", "data.mdb"])
@pytest.mark.parametrize("readonly", [False, True])
def test_a_file_that_another_program_locks_is_an_error_of_the_package(
    path: Path, name: str, *, readonly: bool
) -> None:
    LMDBEventStore(path).close()
    with subprocess.Popen(
        [sys.executable, "-c", LOCKS, str(path / name)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(StoreOpenError, match="could not be marked as open"):
            LMDBEventStore(path, readonly=readonly)
        other.communicate(timeout=LONG)
    LMDBEventStore(path).close()


def test_a_refused_writer_is_marked_as_a_reader_again(path: Path) -> None:
    LMDBEventStore(path).close()
    with LMDBEventStore(path, readonly=True) as reader:
        places = reader._session._environment.marks._places
        with LMDBEventStore(path, consistency="snapshot") as store:
            with open_directory(str(path)) as folder, closing(Marks(folder)) as unlisted:
                unlisted.read_unlisted()
                with pytest.raises(EventWriteException, match="read-only mount"):
                    store.save(Event("a"))
            assert [READERS <= place < UNLISTED for place in places] == [True]
            store.save(Event("a"))
            assert [WRITERS <= place < READERS for place in places] == [True]


def test_a_store_that_lost_the_descriptor_of_its_marks_can_be_closed(path: Path) -> None:
    store = LMDBEventStore(path)
    os.close(store._session._environment.marks.descriptor)
    store.close()
    with LMDBEventStore(path) as again:
        again.save(Event("a"))
