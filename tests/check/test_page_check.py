"""The check of the pages: a leaf count of posting sets that is too high is no damage."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, FindingKind, LMDBEventStore, verify
from lmdbstore.disk.folder import DATA_FILE

if TYPE_CHECKING:
    from pathlib import Path

SET = 200  # events of one flag: their postings are a tree of their own
LEAF_PAGES, ROOT = 16, 40  # in an MDB_db
LAST_PAGE = 136  # in a page with a meta page
PAGE, META_PAGES = 4096, 2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a store with live events, of which one flag lost all postings one by one."""
    folder = tmp_path / "events"
    with LMDBEventStore(folder, durability="none") as store:
        for n in range(2 * SET):
            store.save(Event(f"e{n}", timestamp=float(n), tags=["new" if n // SET else "old"]))
        for n in range(SET):
            store.delete(f"e{n}")
        assert store.stats().live == SET
    return folder


def count_leaf_pages(path: Path, database: bytes, number: int) -> None:
    """Change the number that LMDB notes of a database, in each state of the file."""
    data = bytearray((path / DATA_FILE).read_bytes())
    changed, at = 0, -1
    while (at := data.find(database, at + 1)) >= 0:
        entry = at + len(database)
        pages, root = (
            struct.unpack_from("Q", data, entry + field)[0] for field in (LEAF_PAGES, ROOT)
        )
        if 0 < pages < META_PAGES * SET and META_PAGES <= root < len(data) // PAGE:
            struct.pack_into("Q", data, entry + LEAF_PAGES, number)
            changed += 1
    assert changed
    (path / DATA_FILE).write_bytes(data)


def lose_page(path: Path) -> None:
    """Add a page to the file that is neither free nor used."""
    data = bytearray((path / DATA_FILE).read_bytes())
    last = max(struct.unpack_from("Q", data, n * PAGE + LAST_PAGE)[0] for n in range(META_PAGES))
    for number in range(META_PAGES):
        struct.pack_into("Q", data, number * PAGE + LAST_PAGE, last + 1)
    (path / DATA_FILE).write_bytes(data.ljust((last + 2) * PAGE, b"\0"))


def test_posting_sets_that_were_emptied_are_no_damage(path: Path) -> None:
    assert verify(path, pages=True) == []


@pytest.mark.parametrize(("database", "number"), [(b"postings", 0), (b"ids", 99), (b"live", 0)])
def test_any_other_wrong_number_of_leaf_pages_is_found(
    path: Path, database: bytes, number: int
) -> None:
    """Too few in a database of pairs, and too few or too many in one without."""
    count_leaf_pages(path, database, number)
    (finding,) = verify(path, pages=True)
    assert finding.kind is FindingKind.PAGE
    assert f"main/{database.decode()} DB" in finding.detail


def test_a_page_that_nothing_leads_to_is_found(path: Path) -> None:
    lose_page(path)
    (finding,) = verify(path, pages=True)
    assert "neither reachable" in finding.detail


def test_a_value_that_the_file_ends_in_is_found(path: Path) -> None:
    """Else reading it would end the process: only its first page is there."""
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"e{n}", timestamp=float(n)) for n in range(20))
        store.save(Event("long", timestamp=99.0, content="x" * 40 * PAGE))
    data = (path / DATA_FILE).read_bytes()
    assert verify(path, pages=True) == []
    for pages in range(1, 35):
        (path / DATA_FILE).write_bytes(data[: -pages * PAGE])
        found = verify(path, pages=True)
        assert found, pages
        assert {finding.kind for finding in found} == {FindingKind.PAGE}
    (path / DATA_FILE).write_bytes(data)
