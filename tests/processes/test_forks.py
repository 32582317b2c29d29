"""Processes: forks at any moment, spawn, and many processes that share a store."""

from __future__ import annotations

import multiprocessing
import multiprocessing.resource_tracker
import os
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore, StoreClosed
from tests.tools.beside import beside
from tests.tools.children import in_child, needs_semaphores

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = [pytest.mark.surroundings, pytest.mark.usefixtures("resource_tracker")]
LONG = 60  # seconds; ends a hang, decides nothing


def test_a_forked_child_reads_and_writes(store: LMDBEventStore) -> None:
    store.save(Event("a", timestamp=1.0))

    def child() -> None:
        assert store.get("a").timestamp == 1.0
        store.save(Event("b", timestamp=2.0))
        assert [event.id for event in store.search()] == ["a", "b"]
        store.close()
        with pytest.raises(StoreClosed):
            len(store)

    in_child(child)
    store.save(Event("c", timestamp=3.0))
    assert [event.id for event in store.search()] == ["a", "b", "c"]


def test_a_half_read_search_continues_in_parent_and_child(store: LMDBEventStore) -> None:
    store.save_many(Event(f"e{n}", timestamp=float(n)) for n in range(3000))
    search = store.search()
    first = [next(search).id for _ in range(100)]

    def rest() -> None:
        assert first + [event.id for event in search] == [f"e{n}" for n in range(3000)]

    in_child(rest)
    rest()


def test_a_child_does_not_change_the_snapshot_of_its_parent(store: LMDBEventStore) -> None:
    """Closing it in the child must not free the parent's slot in the reader table."""
    store.save_many(Event(f"e{n}", content="x" * 500) for n in range(200))
    with store.snapshot() as view:
        search = view.search()
        next(search)

        def child() -> None:
            with pytest.raises(StoreClosed, match="parent"):
                view.get("e1")
            store.delete("e0")
            store.close()

        in_child(child)
        for n in range(1, 200):
            store.delete(f"e{n}")
        store.save_many(Event(f"f{n}", content="y" * 500) for n in range(200))
        assert store.stats().readers == 1
        assert len(view) == 200
        assert [event.id for event in search] == [f"e{n}" for n in range(1, 200)]
    assert store.stats().readers == 0


def test_a_child_that_outlives_its_parent_reads_correctly(path: Path) -> None:
    code = f"""
import os, sys
from lmdbstore import Event, LMDBEventStore
store = LMDBEventStore({str(path)!r})
store.save(Event("a", content="right"))
ready, go = os.pipe()
if os.fork():
    os._exit(0)
os.close(go)
os.read(ready, 1)
for n in range(50):
    store.save(Event(content="x" * 500))
assert store.get("a").content == "right"
assert len(store) == 51
print("done", flush=True)
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LONG, check=False
    )
    assert (found.stdout, found.stderr) == ("done\n", "")


def test_a_fork_works_while_other_threads_read_and_write(store: LMDBEventStore) -> None:
    store.save_many(Event(f"e{n}", timestamp=float(n), tags=["f"]) for n in range(1000))

    def search(_: int) -> None:
        assert sum(1 for _ in store.search(flags=["f"])) == 1000

    def child() -> None:
        assert store.get("e7").timestamp == 7.0
        assert store.count(flags=["f"]) == 1000
        store.save(Event(tags=["child"]))

    with beside(
        lambda n: store.save(Event(f"w{n}", tags=["g"])),
        lambda n: store.get(f"e{n % 1000}"),
        search,
        turns=100,
    ) as go_on:
        for _ in range(20):
            go_on()
            in_child(child)
    assert store.count(flags=["child"]) == 20


def test_a_fork_without_hooks_is_detected(store: LMDBEventStore) -> None:
    """A fork in C runs no hooks; the store detects it by the process id."""
    ctypes = pytest.importorskip("ctypes")
    store.save(Event("a"))
    pid = ctypes.PyDLL(None).fork()
    if not pid:
        status = 1
        try:
            assert store.get("a").id == "a"
            store.save(Event("b"))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert "b" in store


def save_in_worker(store: LMDBEventStore, name: str) -> int:
    """Use a store that came through pickle, or through a fork."""
    with store:
        for n in range(20):
            store.save(Event(f"{name}-{n}", tags=[name]))
        return store.count(flags=[name])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_share_a_store(store: LMDBEventStore, method: str) -> None:
    needs_semaphores()
    context = multiprocessing.get_context(method)
    with context.Pool(3) as pool:
        counts = pool.starmap(save_in_worker, [(store, name) for name in "abc"])
        pool.close()
        pool.join()
    assert counts == [20, 20, 20]
    assert len(store) == 60
    if method == "forkserver":
        stop = multiprocessing.forkserver._forkserver._stop  # type: ignore[attr-defined]  # it would outlive the test
        stop()


def test_many_processes_can_write_and_nothing_is_lost(path: Path, store: LMDBEventStore) -> None:
    code = f"""
import sys, threading
from lmdbstore import Event, LMDBEventStore
name = sys.argv[1]
def work(store, thread):
    for n in range(25):
        store.save(Event(f"{{name}}-{{thread}}-{{n}}", timestamp=float(n), tags=[name, "all"]))
        assert f"{{name}}-{{thread}}-{{n}}" in store
        if n % 5 == 0:
            store.delete(f"{{name}}-{{thread}}-{{n}}")
            assert f"{{name}}-{{thread}}-{{n}}" not in store
with LMDBEventStore({str(path)!r}) as store:
    threads = [threading.Thread(target=work, args=(store, t)) for t in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
"""
    children = [subprocess.Popen([sys.executable, "-c", code, name]) for name in "xyz"]
    try:
        while any(child.poll() is None for child in children):
            events = list(store.search(flags=["all"]))
            assert len({event.id for event in events}) == len(events)
    finally:
        codes = [child.wait(LONG) for child in children]
    assert codes == [0, 0, 0]
    assert store.flags() == {"all": 240, "x": 80, "y": 80, "z": 80}


def forked_in_check_of_pages(path: Path, call: str, then: str) -> subprocess.Popen[str]:
    """Run a program that forks in the middle of a check of the pages; the child prints its id."""
    code = f"""
import os, time
import lmdbstore.check.page_check as check
from lmdbstore import Event, LMDBEventStore, verify

store = LMDBEventStore({str(path)!r})
store.save(Event("a"))

def forking(way, errors=check.page_errors):
    if os.fork() == 0:  # as another thread may do at this moment
        print(os.getpid(), flush=True)
        time.sleep({LONG})
        os._exit(0)
    {then}
    return errors(way)

check.page_errors = forking
{call}
store.save(Event("b"), timeout={LONG})
"""
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("then", ["pass", "os.kill(os.getpid(), 9)"])
@pytest.mark.parametrize(
    "call",
    [
        "store.verify(pages=True)",
        "store.close(); verify(store._path, pages=True); store = LMDBEventStore(store._path)",
    ],
)
def test_a_child_that_is_forked_in_a_check_of_the_pages_keeps_no_lock(
    path: Path, call: str, then: str
) -> None:
    """Neither that which keeps writers out, nor that of the folder, also if the parent dies."""
    parent = forked_in_check_of_pages(path, call, then)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        assert parent.wait(LONG) == (0 if then == "pass" else -9)
        with LMDBEventStore(path, timeout=LONG / 10) as store:
            store.save(Event("c"))
            store.compact()
            assert {event.id for event in store.search()} >= {"a", "c"}
    finally:
        os.kill(child, 9)
        parent.stdout.close()


def test_a_child_that_is_forked_in_a_backup_keeps_no_lock_on_the_copy(
    path: Path, tmp_path: Path
) -> None:
    target = tmp_path / "copy"
    parent = forked_in_check_of_pages(path, f"store.backup({str(target)!r})", "pass")
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        assert parent.wait(LONG) == 0
        with LMDBEventStore(target, timeout=LONG / 10) as store:
            store.save(Event("c"))
            store.compact()
    finally:
        os.kill(child, 9)
        parent.stdout.close()
