"""The address space: a store takes a part of it, grows with what is left, and names what is short.

The limit is that of a child. Its program stays small, so all sizes are far from each other.
"""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore
from lmdbstore.disk.map_size import DEFAULT_MAP_SIZE
from lmdbstore.engine.registry import MANY
from tests.tools.children import output_of

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 1 << 29  # bytes of address space
DESCRIPTORS = 10  # of one store, at most

START = f"""
import mmap, os, resource, subprocess, sys
from lmdbstore import Event, EventStoreException, LMDBEventStore, StoreFull, StoreOpenError

def limit(size={LIMIT}):
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))

def text(size):
    return ("x" * 99 + " ") * (size // 100)  # of one word, so that its signature is made at once

def events(number, first=0, size=10_000):
    return [Event(f"e{{n}}", content=text(size)) for n in range(first, first + number)]

def fill(store):
    number = len(store)
    try:
        while True:
            store.save_many(events(200, number))
            number += 200
    except StoreFull as error:
        assert len(store) == number, (len(store), number)
        return str(error)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a path for a store; these stores are too large to be checked each time."""
    return tmp_path / "events"


def child(path: Path, code: str) -> str:
    return output_of(
        [sys.executable, "-X", "faulthandler", "-c", f"{START}\npath = {str(path)!r}\n{code}"]
    )


def test_a_store_leaves_most_of_a_limited_address_space_to_the_program(path: Path) -> None:
    child(
        path,
        """
limit()
with LMDBEventStore(path) as store:
    mmap.mmap(-1, 250 << 20).close()
    store.save(Event("a"))
    assert 64 << 20 <= store.stats().map_bytes <= 128 << 20, store.stats()
""",
    )


def test_several_stores_fit_into_a_limited_address_space(path: Path) -> None:
    child(
        path,
        """
limit(1 << 30)
stores = [LMDBEventStore(f"{path}{n}", durability="none") for n in range(6)]
for store in stores:
    store.save_many(events(100))
mmap.mmap(-1, 60 << 20).close()
for store in stores:
    store.close()
""",
    )


def test_a_full_map_grows_and_the_write_is_carried_out(path: Path) -> None:
    """Events of many writes, and of one write that is larger than the first map."""
    child(
        path,
        """
limit()
with LMDBEventStore(path, durability="none") as store:
    first = store.stats().map_bytes
    search = store.search()
    for n in range(0, 16_000, 2000):
        assert store.save_many(events(2000, n)) == 2000
    assert len(store) == 16_000
    assert store.stats().map_bytes > first + (32 << 20)
    before = store.stats().map_bytes
    said = fill(store)
    assert "limited to 536,870,912 bytes" in said and "ulimit -v" in said, said
    assert "map_size" not in said.replace("its map_size", ""), said
    assert store.stats().map_bytes >= before
    mmap.mmap(-1, 64 << 20).close()
    store.delete("e7")
    assert store.purge(max_events=100).left == 100
    store.save_many(events(100, 10_000_000))
    assert store.verify(pages=True) == []
""",
    )


def test_a_full_map_of_single_saves_in_threads_grows(path: Path) -> None:
    child(
        path,
        """
import threading
limit(1 << 30)  # the memory of a thread takes much of it
with LMDBEventStore(path, durability="none") as store:
    first = store.stats().map_bytes
    saved = []
    def work(name):
        for n in range(60):
            store.save(Event(f"{name} {n}", content=text(1_000_000)))
            saved.append(n)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert len(saved) == len(store) == 300
    assert first < store.stats().map_bytes < 700 << 20, store.stats()
""",
    )


def test_a_map_does_not_grow_under_a_snapshot_and_the_error_says_so(path: Path) -> None:
    child(
        path,
        """
limit()
with LMDBEventStore(path, durability="none") as store:
    store.save(Event("first"))
    with store.snapshot() as view:
        said = fill(store)
        assert "close it and write again" in said, said
        assert len(view) == 1 and view.get("first")
        before = store.stats().map_bytes
    number = len(store)
    store.save_many(events(2000, number))
    assert store.stats().map_bytes > before
""",
    )


def test_a_given_map_size_is_kept_and_named(path: Path) -> None:
    child(
        path,
        """
limit()
with LMDBEventStore(path, durability="none", map_size=16 << 20) as store:
    assert store.stats().map_bytes == 16 << 20
    said = fill(store)
    assert "its map_size is 16,777,216 bytes" in said and "larger map_size" in said, said
    assert store.stats().map_bytes == 16 << 20
    store.purge(max_events=10)
    store.save(Event("after"))
""",
    )


def test_a_limited_process_adopts_a_larger_file_of_another_process(path: Path) -> None:
    """LMDB noted the map of 1 TiB of the other process, which does not fit here."""
    code = """
with LMDBEventStore(sys.argv[1], durability="none") as store:
    store.save_many(events(int(sys.argv[3]), int(sys.argv[2]), 1_000_000))
"""
    child(
        path,
        f"""
def elsewhere(*numbers):
    words = [sys.executable, "-c", {START + code!r}, path, *map(str, numbers)]
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    subprocess.run(words, check=True)
    limit()

limit()
with LMDBEventStore(path, durability="none") as store:
    store.save(Event("first"))
    small = store.stats().map_bytes
    number = small // 1_000_000 + 1
    elsewhere(0, number)
    assert len(store) == number + 1
    store.save(Event("last"))
    assert small < store.stats().map_bytes < {LIMIT}
    elsewhere(number, 600 - number)  # more than the whole address space
    try:
        len(store)
    except EventStoreException as error:
        assert "does not fit" in str(error) and "ulimit -v" in str(error), error
    else:
        raise AssertionError("no error")
try:
    LMDBEventStore(path)
except StoreOpenError as error:
    assert "does not fit" in str(error) and "ulimit -v" in str(error), error
else:
    raise AssertionError("no error")
""",
    )


def test_hundreds_of_stores_are_open_in_one_process(path: Path) -> None:
    """Without a limit; the first ones get maps of 1 TiB."""
    number = 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number * DESCRIPTORS + 100
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this user may have {hard} files open at once")
    path.mkdir()
    child(
        path,
        f"""
resource.setrlimit(resource.RLIMIT_NOFILE, (max({soft}, {wanted}), {hard}))
stores = []
for n in range({number}):
    stores.append(LMDBEventStore(f"{{path}}/{{n}}", durability="none", max_readers=126))
    stores[-1].save(Event("a"))
sizes = [store.stats().map_bytes for store in stores]
assert sizes[:{MANY}] == [{DEFAULT_MAP_SIZE}] * {MANY}, sizes
assert sizes == sorted(sizes, reverse=True)
assert sizes[-1] >= 1 << 30, sizes[-1]
mmap.mmap(-1, 1 << 40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ).close()
assert all("a" in store for store in stores)
for store in stores:
    store.close()
""",
    )


@pytest.mark.parametrize("held", [False, True])
def test_a_store_made_with_a_small_map_grows_where_it_is_opened_without(
    path: Path, held: bool
) -> None:
    with LMDBEventStore(path, map_size=1 << 20) as store:
        store.save(Event("a"))
    with LMDBEventStore(path, durability="none") as store:
        view = store.snapshot() if held else store
        store.save_many(Event(content="x" * 1000) for _ in range(3000))
        assert len(view) == (1 if held else 3001)
