"""Descriptors that another part of the program closed: no call harms files opened after that."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore
from tests.tools.children import output_of

if TYPE_CHECKING:
    from pathlib import Path

START = """
import fcntl, os, sys
from lmdbstore import Event, EventStoreException, LMDBEventStore, StoreClosed, StoreOpenError

def lose(number):
    "Close all descriptors, and open files under the same numbers."
    os.closerange(3, 1000)
    found = []
    for n in range(number):
        found.append(os.open(f"{folder}/foreign {n}", os.O_RDWR | os.O_CREAT))
        os.write(found[-1], b"foreign" * 2000)
        fcntl.flock(found[-1], fcntl.LOCK_EX)
    return found

def check(found):
    for n, descriptor in enumerate(found):
        assert os.pread(descriptor, 20_000, 0) == b"foreign" * 2000, n
        other = os.open(f"{folder}/foreign {n}", os.O_RDWR)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            raise AssertionError("the lock is lost")
        finally:
            os.close(other)
"""
CALLS = """
REFUSED = [
    lambda store: store.save(Event("b")),
    lambda store: store.save_many([Event("b")] * 1),
    lambda store: store.delete("a"),
    lambda store: store.stats(),
    lambda store: store.verify(pages=True),
    lambda store: store.compact(),
    lambda store: store.backup(folder + "/copy"),
    lambda store: store.flush(),
    lambda store: store.purge(max_events=0),
    lambda store: store.seal(),
]
HARMLESS = [
    lambda store: store.get("a"),
    lambda store: list(store.search()),
    lambda store: store.count(),
    lambda store: store.snapshot().get("a"),
    lambda store: store.verify(),
    lambda store: store.close(),
]
"""


def child(path: Path, code: str) -> None:
    paths = f"folder, path = {str(path.parent)!r}, {str(path)!r}\n"
    output_of([sys.executable, "-X", "faulthandler", "-W", "error", "-c", START + paths + code])


@pytest.mark.parametrize("foreign", [0, 1, 4, 30])
def test_no_call_harms_the_files_that_have_the_numbers_now(path: Path, foreign: int) -> None:
    path.mkdir()
    code = f"""{CALLS}
for number, call in enumerate(REFUSED + HARMLESS):
    store = LMDBEventStore(f"{{path}}/{{number}}")
    store.save(Event("a"))
    found = lose({foreign})
    try:
        call(store)
    except StoreClosed as error:
        assert call in REFUSED and "closed the file descriptors" in str(error), (number, error)
    else:
        assert call in HARMLESS, number
    check(found)
    store.close()
    check(found)
"""
    child(path, code)
    for place in path.iterdir():
        with LMDBEventStore(place) as store:
            assert [event.id for event in store.search()] == ["a"]
            store.save(Event("b"))


def test_a_store_can_be_opened_again_after_its_descriptors_were_closed(path: Path) -> None:
    """As long as no one has opened a file since; then its number may be one of LMDB's."""
    code = """
store = LMDBEventStore(path)
store.save(Event("a"))
lose(0)
again = LMDBEventStore(path)
again.save(Event("b"))
assert len(again) == 2
try:
    store.save(Event("c"))
except StoreClosed:
    pass
else:
    raise AssertionError("no error")
store.close()
again.save(Event("c"))
again.close()
store = LMDBEventStore(path)
found = lose(30)
try:
    LMDBEventStore(path)
except StoreOpenError as error:
    assert "closed the descriptors of a store" in str(error), error
else:
    raise AssertionError("no error")
check(found)
"""
    child(path, code)
    with LMDBEventStore(path) as store:
        assert len(store) == 3


def test_a_thread_at_work_in_a_store_whose_descriptors_were_closed_is_named(path: Path) -> None:
    code = """
import threading
from lmdbstore import StoreBusy
store = LMDBEventStore(path)
inside, go = threading.Event(), threading.Event()
work = lambda: (inside.set(), go.wait())
run = store._session._environment.gate.run
thread = threading.Thread(target=run, args=[work], daemon=True)
thread.start()
inside.wait()
lose(0)
for call in lambda: store.close(timeout=0.1), lambda: LMDBEventStore(path, timeout=0.1):
    try:
        call()
    except StoreBusy as error:
        assert "another thread of this process" in str(error), error
    else:
        raise AssertionError("no error")
go.set()
thread.join()
store.close()
LMDBEventStore(path).close()
"""
    child(path, code)


def test_a_forgotten_store_whose_descriptors_were_closed_does_no_harm(path: Path) -> None:
    code = """
store = LMDBEventStore(path)
store.save(Event("a"))
view = store.snapshot()
found = lose(30)
del store, view
other = LMDBEventStore(path + " other")
other.close()
check(found)
"""
    child(path, code)


def test_a_child_of_a_process_that_lost_its_descriptors_does_no_harm(path: Path) -> None:
    code = """
store = LMDBEventStore(path)
store.save(Event("a"))
found = lose(30)
if (child := os.fork()) == 0:
    status = 1
    try:
        for n, descriptor in enumerate(found):
            assert os.pread(descriptor, 20_000, 0) == b"foreign" * 2000, n
        status = 0
    finally:
        os._exit(status)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
check(found)
"""
    child(path, code)


LOSE_ALL = "os.closerange(3, 1000); found = [os.open(other, os.O_RDONLY) for n in range(30)]"
LOSE_ONE = "os.dup2(os.open(other, os.O_RDONLY), environment.presence.directory.descriptor)"


@pytest.mark.parametrize("lose", [LOSE_ALL, LOSE_ONE, LOSE_ONE.replace("other", "other + '/file'")])
def test_a_check_of_the_pages_does_not_read_a_folder_that_has_the_number_now(
    path: Path, lose: str
) -> None:
    code = f"""
other = folder + "/other"
os.mkdir(other)
for name in ("data.mdb", "file"):
    with open(f"{{other}}/{{name}}", "wb") as file:
        file.write(b"no store" * 1000)
store = LMDBEventStore(path)
environment = store._session._environment
{lose}
try:
    found = store.verify(pages=True)
except StoreClosed as error:
    assert "closed the file descriptors" in str(error), error
else:
    raise AssertionError(found)
"""
    child(path, code)


def test_a_check_of_the_pages_without_free_descriptors_names_the_limit(path: Path) -> None:
    code = """
import resource
store = LMDBEventStore(path)
resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0), 4096))
try:
    found = store.verify(pages=True)
except EventStoreException as error:
    assert "ulimit -n" in str(error) and "open it again" not in str(error), error
else:
    raise AssertionError(found)
"""
    child(path, code)


def test_the_last_lock_on_another_process_is_not_lost(path: Path) -> None:
    """A store that was lost in one process is in use in another one as before."""
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
        child(path, "LMDBEventStore(path)\nlose(0)\n")
        store.save(Event("b"))
        assert len(store) == 2
    assert os.path.exists(path / "data.mdb")
