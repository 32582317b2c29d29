"""A full disk, a file that may not grow, and a disk that fails: the error says which it is."""

from __future__ import annotations

import errno
import os
import re
import resource
import sys
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, EventWriteException, LMDBEventStore
from lmdbstore.care import purge as purging
from lmdbstore.disk import files
from lmdbstore.disk.files import space_advice, space_is_short
from tests.tools.children import output_of
from tests.tools.mounts import mounted, needs_mounts

if TYPE_CHECKING:
    from pathlib import Path

START = """
import os, random, resource, signal, sys
from lmdbstore import Event, EventWriteException, LMDBEventStore

def fill(store, piece, chance):
    number = 0
    try:
        while True:
            store.save_many(
                Event(f"{piece} {n}", "s", chance.random(), chance.sample("abcdefgh", 3), "x" * 300)
                for n in range(number, number + piece)
            )
            number += piece
    except EventWriteException as error:
        return str(error)
"""
PURGE = """
chance = random.Random(1)
with LMDBEventStore(path, durability="none") as store:
    store.save_many(Event(f"first {n}", content="x" * 300) for n in range(2000))
    prepare()
    for piece in (500, 5, 1):
        said = fill(store, piece, chance)
        check(said)
    number = len(store)
    seen = []
    purged = store.purge(max_events=10, progress=lambda done, _: seen.append(done))
    assert purged.events == number - 10 == seen[-1], (purged, number)
    pieces = [after - before for before, after in zip([0, *seen], seen)]
    assert 1000 < max(pieces) <= 8192, pieces
    assert len(store) == 10
    assert store.verify() == []
    store.save(Event("after", content="x" * 3000))
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-X", "faulthandler", "-c", START + code]


@pytest.mark.surroundings
def test_a_purge_on_a_full_disk_deletes_everything_in_smaller_pieces(tmp_path: Path) -> None:
    needs_mounts()
    code = f"""
path = {str(tmp_path / "events")!r}
def prepare():
    pass
def check(said):
    assert "nothing was written" in said, said
    free = os.statvfs(path).f_bfree * os.statvfs(path).f_frsize
    assert "the disk is full" in said and "has 0 bytes free" in said and path[:40] in said, said
{PURGE}"""
    output_of(mounted(tmp_path, python(code), size=5 << 20))


@pytest.mark.surroundings
@pytest.mark.parametrize("size", [3 << 20, 5 << 20])
def test_every_delete_succeeds_on_a_disk_that_single_saves_filled(
    tmp_path: Path, size: int
) -> None:
    """Such saves leave few free pages: those of a delete can be used after an empty commit."""
    needs_mounts()
    code = f"""
with LMDBEventStore({str(tmp_path / "events")!r}, durability="none") as store:
    fill(store, 1, random.Random(1))
    for number, event in enumerate(list(store.search(limit=1000))):
        store.delete(event.id)
    assert number == 999
    store.save(Event("after", content="x" * 3000))
"""
    output_of(mounted(tmp_path, python(code), size=size))


def test_a_purge_of_a_file_that_may_not_grow_deletes_everything(path: Path) -> None:
    code = f"""
path = {str(path)!r}
def prepare():
    resource.setrlimit(resource.RLIMIT_FSIZE, (5 << 20, resource.RLIM_INFINITY))
def check(said):
    assert "may not grow beyond 5,242,880 bytes" in said and "ulimit -f" in said, said
{PURGE}"""
    output_of(python(code))


def test_a_purge_that_must_stop_says_how_many_events_it_deleted(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "PURGE_EVENTS", 2048)
    store.save_many(Event(f"e{n}", timestamp=float(n)) for n in range(12 * 512))
    writes = 0
    write = store._session.write_freeing

    def limited(change: object) -> None:
        nonlocal writes
        writes += 1
        if writes > 2:
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
            try:
                write(change)  # type: ignore[arg-type]  # of the purge
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
        else:
            write(change)  # type: ignore[arg-type]  # of the purge

    monkeypatch.setattr(store._session, "write_freeing", limited)
    with pytest.raises(EventWriteException, match=r"not even one event.*4,096 events were deleted"):
        store.purge(max_events=0)
    assert len(store) == 4 * 512


@pytest.mark.parametrize(
    ("number", "free", "expected"),
    [
        (errno.ENOSPC, 0, (True, "the disk is full.*has 0 bytes free; free some space")),
        (errno.EIO, 4096, (True, "the disk is full.*has 4,096 bytes free; free some space")),
        (errno.EIO, 1 << 30, (False, "the disk is not full.*1,073,741,824 bytes free.*failing")),
        (errno.ENOSPC, 1 << 30, (True, "has 1,073,741,824 bytes free now.*quota")),
        (errno.EDQUOT, 1 << 30, (True, "quota.*free some space")),
        (errno.EFBIG, 1 << 30, (True, "the file system allows no larger file")),
        (errno.EACCES, 0, (False, "^$")),
        (errno.EIO, None, (False, "check whether the disk is full or failing")),
        (errno.ENOSPC, None, (True, "check whether the disk is full$")),
    ],
)
def test_the_advice_says_what_is_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    free: int | None,
    expected: tuple[bool, str],
) -> None:
    full, words = expected
    monkeypatch.setattr(files, "_free_bytes", lambda _: free)

    assert re.search(words, space_advice(number, str(tmp_path)))
    assert space_is_short(number, str(tmp_path)) is full


def test_the_free_bytes_are_those_of_the_file_system(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    free = files._free_bytes(str(tmp_path))
    assert free is not None
    assert 0 <= free <= status.f_blocks * status.f_frsize
    assert files._free_bytes(str(tmp_path / "none")) is None
