"""Faults of the disk with one outcome: it is full, read-only, or fails at one call."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore
from tests.tools.children import output_of
from tests.tools.crash.faulty import FILLER
from tests.tools.mounts import mounted, needs_mounts
from tests.tools.strace import needs_strace, traced

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.surroundings

IMPORTS = """
import os
from lmdbstore import Event, EventWriteException, LMDBEventStore, StoreDamaged, StoreOpenError
def error(call, kind):
    try:
        call()
    except kind as caught:
        return str(caught)
    raise AssertionError("no error")
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-X", "faulthandler", "-c", IMPORTS + code]


def full(folder: Path) -> str:
    """Return code with which a child fills its disk."""
    return f"""
status = os.statvfs({str(folder)!r})
with open({str(folder / FILLER)!r}, "wb") as file:
    os.posix_fallocate(file.fileno(), 0, max(1, status.f_bfree * status.f_bsize))
"""


def test_creating_a_store_on_a_full_disk_leaves_no_files(tmp_path: Path) -> None:
    needs_mounts()
    code = f"""
path = {str(tmp_path / "store")!r}
failed = 0
{full(tmp_path)}
while True:  # with room for another page each time
    try:
        LMDBEventStore(path).close()
        break
    except StoreOpenError as caught:
        assert "disk" in str(caught), caught
    assert os.listdir({str(tmp_path)!r}) == [{FILLER!r}]
    failed += 1
    size = os.stat({str(tmp_path / FILLER)!r}).st_size
    os.truncate({str(tmp_path / FILLER)!r}, size - 4096)
with LMDBEventStore(path) as store:
    assert len(store) == 0
assert failed > 10
"""
    output_of(mounted(tmp_path, python(code), size=1 << 20))


@pytest.mark.parametrize("missing", ["", "lock.mdb", "barrier"])
def test_opening_on_a_full_disk_does_not_kill_the_process(tmp_path: Path, missing: str) -> None:
    """LMDB maps a lock file with holes; a process that fills a hole on a full disk dies."""
    needs_mounts()
    code = f"""
path = {str(tmp_path / "store")!r}
with LMDBEventStore(path) as store:
    store.save(Event("a"))
if {missing!r}:
    os.unlink(os.path.join(path, {missing!r}))
{full(tmp_path)}
if {missing!r}:
    assert "the disk is full" in error(lambda: LMDBEventStore(path), StoreOpenError)
    os.unlink({str(tmp_path / FILLER)!r})
with LMDBEventStore(path) as store:
    assert "a" in store
assert sorted(os.listdir(path)) == ["barrier", "data.mdb", "lock.mdb", "snapshots"]
"""
    output_of(mounted(tmp_path, python(code), size=1 << 20))


def test_a_new_lock_file_has_the_rights_of_the_data_file(path: Path) -> None:
    LMDBEventStore(path).close()
    (path / "data.mdb").chmod(0o640)
    (path / "lock.mdb").unlink()
    before = os.umask(0o022)
    try:
        LMDBEventStore(path).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((path / "lock.mdb").stat().st_mode) == 0o640


def test_the_lock_file_has_room_for_all_readers_on_a_full_disk(tmp_path: Path) -> None:
    needs_mounts()
    code = f"""
from contextlib import ExitStack
with LMDBEventStore({str(tmp_path / "store")!r}, max_readers=1000) as store, ExitStack() as open_:
    store.save(Event("a"))
    {full(tmp_path).replace(chr(10), chr(10) + "    ")}
    for _ in range(1000):
        assert "a" in open_.enter_context(store.snapshot())
"""
    output_of(mounted(tmp_path, python(code), size=1 << 20))


def test_a_store_on_a_read_only_medium_can_be_read_but_not_written(tmp_path: Path) -> None:
    """No process can write there, so LMDB needs no lock file."""
    needs_mounts()
    path = str(tmp_path / "store")
    make = f"""
with LMDBEventStore({path!r}) as store:
    store.save_many(Event(f"e{{n}}", tags=["f"], content="x" * n) for n in range(1000))
"""
    read = f"""
assert "pass readonly=True" in error(lambda: LMDBEventStore({path!r}), StoreOpenError)
with LMDBEventStore({path!r}, readonly=True) as store:
    assert len(store) == len(list(store.search(match="x?", flags=["f"]))) == 1000
    with store.snapshot() as view:
        assert view.get("e7").content == "x" * 7
    assert store.stats().events == 1000
    assert "readonly=True" in error(lambda: store.save(Event()), EventWriteException)
"""
    disk, file = shlex.quote(str(tmp_path)), shlex.quote(f"{path}/lock.mdb")
    lock = f"mount -o remount,rw none {disk} && rm {file}"
    only = f"mount -o remount,ro none {disk}"
    commands: list[list[str] | str] = [python(make), only, python(read), lock, only, python(read)]
    output_of(mounted(tmp_path, *commands, size=4 << 20))


# `pwrite64` writes the meta page; the data pages of this commit go in one `writev`.
@pytest.mark.parametrize(
    ("call", "known"), [("fdatasync", True), ("writev", True), ("pwrite64", False)]
)
def test_a_failed_write_says_whether_its_outcome_is_known(
    path: Path, call: str, *, known: bool
) -> None:
    """If the meta page could not be written, LMDB refuses all calls until the store is reopened."""
    needs_strace()
    with LMDBEventStore(path) as store:
        store.save(Event("a", content="x" * 100))
    code = f"""
with LMDBEventStore({str(path)!r}) as store:
    said = error(lambda: store.save(Event("b", content="x" * 100)), EventWriteException)
    if {known}:
        assert "nothing was written" in said and "the disk is not full" in said, said
        assert "a" in store and "b" not in store
        store.save(Event("b"))
    else:
        assert "not known" in said and "close the store" in said, said
        assert "close the store" in error(lambda: store.get("a"), StoreDamaged)
with LMDBEventStore({str(path)!r}) as store:
    assert "a" in store
    if "b" not in store:
        store.save(Event("b"))
"""
    options = ["-P", str(path / "data.mdb"), "-e", f"trace={call}"]
    options += ["-e", f"inject={call}:error=EIO:when=1"]
    output_of(traced(path.parent / "trace", python(code), *options))
    with LMDBEventStore(path) as store:
        assert len(store) == 2


def test_the_error_names_a_limit_on_the_size_of_files(path: Path) -> None:
    code = f"""
import resource, signal
with LMDBEventStore({str(path)!r}) as store:
    size = os.stat({str(path / "data.mdb")!r}).st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    for call in (store.save, lambda event: store.save_many([event] * 1)):
        said = error(lambda: call(Event(content="x" * 100_000)), EventWriteException)
        assert "nothing was written" in said and "ulimit -f" in said, said
        assert f"beyond {{size:,}} bytes" in said, said
    assert len(store) == 0
"""
    done = subprocess.run(python(code), capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
