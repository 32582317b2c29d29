"""Presence: the file of an open store is not replaced, and a store is not opened during that."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lmdbstore import LMDBEventStore, StoreInUse
from lmdbstore.disk.folder import StoreFolder
from lmdbstore.processes.lock_list import LOCKS
from lmdbstore.processes.presence import alone_in
from tests.tools.children import opened_elsewhere

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.surroundings


LONG = 60  # seconds; ends a hang, decides nothing


@pytest.mark.parametrize("options", ["", ", readonly=True"])
def test_a_process_that_has_the_store_open_is_named(path: Path, options: str) -> None:
    LMDBEventStore(path).close()
    with opened_elsewhere(path, options) as process:
        named = rf"python.*\(process {process}\)" if os.path.exists(LOCKS) else "open elsewhere"
        with pytest.raises(StoreInUse, match=named), alone_in(StoreFolder(str(path))):
            pass
    with alone_in(StoreFolder(str(path))):
        pass


def test_a_store_open_in_this_process_counts_as_in_use(path: Path) -> None:
    with LMDBEventStore(path), pytest.raises(StoreInUse), alone_in(StoreFolder(str(path))):
        pass


def test_a_store_cannot_be_opened_while_its_file_is_replaced(path: Path) -> None:
    LMDBEventStore(path).close()
    with alone_in(StoreFolder(str(path))), pytest.raises(StoreInUse, match="compacted or repaired"):
        LMDBEventStore(path)
    LMDBEventStore(path).close()


def test_a_process_stays_present_after_exclusive_access_was_refused(path: Path) -> None:
    """A shared lock that cannot become exclusive is lost until it is taken again."""
    with LMDBEventStore(path) as store:
        environment = store._session._environment
        with opened_elsewhere(path):
            environment.barrier.lock()
            with pytest.raises(StoreInUse), environment.presence.alone():
                pass
            environment.barrier.unlock()
        with pytest.raises(StoreInUse), alone_in(StoreFolder(str(path))):
            pass
        environment.barrier.lock()
        with environment.presence.alone():
            pass
        environment.barrier.unlock()


@pytest.mark.skipif(not os.path.exists(LOCKS), reason="the system does not list its locks")
def test_a_program_that_uses_lmdb_directly_is_detected(path: Path) -> None:
    LMDBEventStore(path).close()
    code = f"""
import lmdb, sys
with lmdb.open({str(path)!r}):
    print("open", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(StoreInUse, match=str(child.pid)), alone_in(StoreFolder(str(path))):
            pass
        child.communicate(timeout=LONG)


def test_locks_on_other_file_systems_do_not_count(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of two file systems may have the same inode number, mainly small ones of tmpfs."""
    LMDBEventStore(path).close()
    locks = tmp_path / "locks"

    def listed(device: str) -> str:
        folder, lock = path.stat().st_ino, (path / "lock.mdb").stat().st_ino
        return (
            f"1: FLOCK  ADVISORY  WRITE {os.getpid()} 00:27:{folder} 0 EOF\n"
            f"2: FLOCK  ADVISORY  READ 1 {device}:{folder} 0 EOF\n"
            f"3: POSIX  ADVISORY  READ 1 {device}:{lock} 0 0\n"
        )

    monkeypatch.setattr("lmdbstore.processes.lock_list.LOCKS", str(locks))
    locks.write_text(listed("00:28"))
    with alone_in(StoreFolder(str(path))):
        pass
    locks.write_text(listed("00:27"))
    with pytest.raises(StoreInUse, match="process 1"), alone_in(StoreFolder(str(path))):
        pass


def test_a_forked_child_does_not_keep_the_lock(path: Path) -> None:
    ready, go = os.pipe()
    with LMDBEventStore(path):
        pid = os.fork()
        if not pid:
            os.close(go)
            os.read(ready, 1)
            os._exit(0)
    try:
        with alone_in(StoreFolder(str(path))):
            pass
    finally:
        os.close(ready)
        os.close(go)
        os.waitpid(pid, 0)
