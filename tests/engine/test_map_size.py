"""The map: a full map, a larger map of another process, and files that must not grow."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import lmdb.verify
import pytest

from lmdbstore import Event, EventReadException, LMDBEventStore, StoreFull, StoreOpenError
from lmdbstore.disk.folder import StoreFolder
from lmdbstore.opening.inspect_file import inspect_data_file
from tests.tools.stores import grow

SMALL = 1 << 20  # bytes of map: full after a few hundred events
TEXT = "x" * 1000
SET = 200  # events whose postings are a tree of their own


def fill(store: LMDBEventStore) -> int:
    number = 0
    with pytest.raises(StoreFull, match="larger map_size"):  # noqa: PT012  the save that fails
        while True:
            store.save(Event(f"e{number}", timestamp=float(number), tags=["f"], content=TEXT))
            number += 1
    return number


def test_a_full_store_can_be_read_and_takes_more_after_opening_larger(path: Path) -> None:
    with LMDBEventStore(path, map_size=SMALL, durability="none") as store:
        number = fill(store)
        assert number > 100
        with pytest.raises(StoreFull):
            store.save_many(Event(content=TEXT) for _ in range(100))
        assert len(store) == store.count(flags=["f"]) == number
        assert [event.id for event in store.search(limit=2)] == ["e0", "e1"]
        assert not store._session._environment.barrier.up
        for n in range(50):
            store.delete(f"e{n}")
        store.save(Event("in the space of what was deleted", content=TEXT))
    with LMDBEventStore(path, map_size=4 * SMALL, durability="none") as store:
        store.save_many(Event(content=TEXT) for _ in range(1000))
        assert len(store) == number - 50 + 1 + 1000


def test_a_reader_adopts_a_larger_map_of_another_process(path: Path) -> None:
    with LMDBEventStore(path, map_size=SMALL, durability="none") as store:
        store.save_many(Event(f"e{n}", timestamp=float(n), content=TEXT) for n in range(300))
        search = store.search()
        assert next(search).id == "e0"
        grow(path)
        assert store.get("big7").content.startswith("yy")
        assert [event.id for event in search] == [f"e{n}" for n in range(1, 300)]
        assert len(store) == 3300


def test_a_writer_adopts_a_larger_map_of_another_process(path: Path) -> None:
    with LMDBEventStore(path, map_size=SMALL, consistency="snapshot") as store:
        grow(path)
        store.save(Event("new"))
        assert "new" in store
        assert "big2999" in store


def test_a_larger_map_ends_a_snapshot_with_an_error_that_says_so(path: Path) -> None:
    with LMDBEventStore(path, map_size=SMALL, durability="none") as store:
        store.save(Event("a"))
        with store.snapshot() as view:
            search = view.search()
            grow(path)
            assert "a" in view
            assert "big7" in store
            with pytest.raises(EventReadException, match="larger map; take a new one"):
                view.get("a")
            with pytest.raises(EventReadException, match="larger map"):
                next(search)
        with store.snapshot() as view:
            assert "big7" in view


def churn(store: LMDBEventStore, rounds: int) -> None:
    for _ in range(rounds):
        store.save_many(Event(f"c{n}", timestamp=5.0, content=TEXT) for n in range(50))
        for n in range(50):
            store.delete(f"c{n}")


def test_a_forgotten_search_does_not_make_the_file_grow(path: Path) -> None:
    """The pages of deleted events are used again, since no transaction stays open."""
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(Event(f"e{n}", timestamp=float(n), content=TEXT) for n in range(500))
        churn(store, 5)
        forgotten = [store.search(), store.search(order="desc")]
        for search in forgotten:
            next(search)
        assert store.stats().readers == 0
        before = store.stats().map_used
        churn(store, 20)
        assert store.stats().map_used <= before * 1.2
        assert [sum(1 for _ in search) for search in forgotten] == [499, 499]


def test_an_open_snapshot_is_shown_in_the_figures(store: LMDBEventStore, path: Path) -> None:
    store.save(Event("a", timestamp=1.5, tags=["f", "g"]))
    store.save(Event("b", timestamp=-2.5, tags=["f"]))
    with store.snapshot():
        figures = store.stats()
        assert figures.readers == 1
    figures = store.stats()
    assert (figures.events, figures.oldest, figures.newest, figures.flags) == (2, -2.5, 1.5, 2)
    used = {"live", "ids", "postings", "meta"}
    of_runs = {"runs", "run_postings", "totals", "summaries", "dead", "commits"}
    named = {"checkpoints", "cursors"}
    assert set(figures.databases) == used | of_runs | named
    assert all(figures.databases[name] >= 4096 for name in used)
    # No run is complete, and nothing has a name.
    assert all(figures.databases[name] == 0 for name in of_runs | named)
    assert figures.file_bytes == os.stat(path / "data.mdb").st_size
    assert figures.file_bytes <= figures.map_used <= figures.map_bytes
    assert (figures.readers, figures.max_readers) == (0, 4096)


def test_readers_beyond_the_table_get_an_error_with_the_remedy(path: Path) -> None:
    with LMDBEventStore(path, max_readers=10) as store, ExitStack() as snapshots:
        store.save(Event("a"))
        slots = store.stats().max_readers
        for _ in range(slots):
            snapshots.enter_context(store.snapshot())
        with pytest.raises(EventReadException, match="larger max_readers"):
            store.get("a")
        snapshots.close()
        assert "a" in store


def test_slots_of_dead_readers_are_reused(path: Path) -> None:
    code = f"""
import os
from contextlib import ExitStack
from lmdbstore import EventReadException, LMDBEventStore
store, snapshots = LMDBEventStore({str(path)!r}, max_readers=10), ExitStack()
try:
    while True:
        snapshots.enter_context(store.snapshot())
except EventReadException:
    os._exit(7)
"""
    with LMDBEventStore(path, max_readers=10) as store:
        store.save(Event("a"))
        child = subprocess.run([sys.executable, "-c", code], check=False, timeout=120)
        assert child.returncode == 7
        assert "a" in store


def unwritten(path: Path) -> int:
    """Make a store whose last pages were never written; return the length that it needs.

    An event saved and deleted in one group commit leaves such pages.
    """
    with LMDBEventStore(path) as store:
        for name in "abc":
            store.save(Event(name, content=TEXT))
        store.delete("a")
        works = [lambda: store.save(Event("big", content=TEXT * 1000)), lambda: store.delete("big")]
        threads = [threading.Thread(target=work) for work in works]

        def queue_up() -> None:
            for number, thread in enumerate(threads, 1):
                thread.start()
                while len(store._session._environment.writer._queue) < number:
                    time.sleep(0.001)  # until it is waiting, however long that takes

        store._session._environment.writer.while_idle(queue_up)
        for thread in threads:
            thread.join()
        used = store.stats().map_used
        assert (path / "data.mdb").stat().st_size < used
    return used


def test_a_file_whose_last_pages_were_never_written_is_sound(path: Path) -> None:
    used = unwritten(path)
    for readonly in (True, False):
        with LMDBEventStore(path, readonly=readonly) as store:
            assert [event.id for event in store.search()] == ["b", "c"]
    assert (path / "data.mdb").stat().st_size == used, "every opening would look through all of it"
    with LMDBEventStore(path) as store:
        store.save(Event("after", content=TEXT * 1000))


def test_a_file_of_which_lmdb_counts_too_many_pages_besides_is_sound(path: Path) -> None:
    """As it does of a posting set that lost its events one by one."""
    with LMDBEventStore(path, durability="none") as store:
        for n in range(2 * SET):
            store.save(Event(f"e{n}", timestamp=float(n), tags=["new" if n // SET else "old"]))
        for n in range(SET):
            store.delete(f"e{n}")
    unwritten(path)
    with LMDBEventStore(path) as store:
        assert len(store) == SET + 2


@pytest.mark.parametrize("sound", [True, False])
def test_the_check_of_a_short_file_is_of_the_open_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, sound: bool
) -> None:
    """Whatever is put at its path in the meantime is neither judged nor made longer."""
    if not os.path.exists("/proc/self/fd"):
        pytest.skip("the system has no /proc/self/fd")
    used = unwritten(path)
    data, short, cut = path / "data.mdb", path / "short", path / "cut"
    whole = data.read_bytes()
    short.write_bytes(whole)
    cut.write_bytes(whole[: 3 * 4096])
    opened, put = (short, cut) if sound else (cut, short)
    os.replace(opened, data)

    def exchanged(*arguments: Any, **options: Any) -> Any:
        data.rename(opened)
        put.rename(data)
        return verify(*arguments, **options)

    verify: Any = lmdb.verify.verify
    monkeypatch.setattr(lmdb.verify, "verify", exchanged)
    before = put.read_bytes()
    descriptor = os.open(data, os.O_RDONLY)
    try:
        with nullcontext() if sound else pytest.raises(StoreOpenError, match="cut off"):
            inspect_data_file(StoreFolder(str(path)), descriptor, readonly=False)
    finally:
        os.close(descriptor)
    assert data.read_bytes() == before
    assert opened.stat().st_size == (used if sound else 3 * 4096)
    data.write_bytes(whole)


def test_a_file_that_may_not_grow_is_an_error_and_does_not_end_the_process(path: Path) -> None:
    code = f"""
import resource, signal
from lmdbstore import Event, EventWriteException, LMDBEventStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with LMDBEventStore({str(path)!r}) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    saved = 0
    try:
        while True:
            store.save(Event(f"e{{saved}}", content="x" * 1000))
            saved += 1
    except EventWriteException as error:
        print(error)
    assert [event.id for event in store.search()] == [f"e{{n}}" for n in range(saved)]
    assert saved > 50
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.save(Event("after"))
    assert len(store) == saved + 1
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing was written" in done.stdout
    assert "may not grow beyond 300,000 bytes" in done.stdout
