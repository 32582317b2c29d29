"""Verify: each kind of damage, planted by hand, is found as exactly that kind."""

from __future__ import annotations

import fcntl
import itertools
import os
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import lmdb
import lmdb.verify
import pytest

from lmdbstore import (
    Event,
    Finding,
    FindingKind,
    LMDBEventStore,
    StoreClosed,
    StoreDamaged,
    StoreInUse,
    StoreOpenError,
    repair,
    verify,
)
from lmdbstore.check import walk as walking
from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import Databases
from lmdbstore.disk.folder import StoreFolder
from lmdbstore.processes.presence import alone_in
from tests.tools.children import in_child
from tests.tools.damages import (
    DAMAGES,
    add_commit,
    add_id,
    add_posting_of_nothing,
    change_version,
    empty_filter,
    exchange_totals,
    fill,
    flipped,
    key,
    lose_next,
    lose_posting,
    make_small,
    record,
    run_end,
)
from tests.tools.ids import drop_entry, put_entry
from tests.tools.planting import writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LMDBEventStore]:
    """Yield a store that a test may damage."""
    make_small(monkeypatch)
    with LMDBEventStore(tmp_path / "events") as store:
        fill(store)
        assert store.verify(pages=True) == []
        yield store


@pytest.mark.parametrize(
    ("plant", "kind", "where", "event_id"),
    DAMAGES,
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_kind_of_damage_is_found_as_that_kind(
    damaged: LMDBEventStore,
    plant: Callable[[Any, Any], None],
    kind: FindingKind,
    where: str,
    event_id: str | None,
) -> None:
    with writing(damaged) as (txn, databases):
        plant(txn, databases)
    (finding,) = damaged.verify(pages=True)
    assert finding[:2] == (kind, where)
    assert finding.event_id == event_id
    assert str(finding).startswith(f"{kind} in {where}")
    assert "\n" not in str(finding)


def test_an_unknown_database_is_found(damaged: LMDBEventStore) -> None:
    with writing(damaged) as (txn, _):
        damaged._session._environment.lmdb.open_db(b"foreign", txn=txn)
    (finding,) = damaged.verify()
    assert finding.kind is FindingKind.DATABASE
    assert "foreign" in finding.where


def test_exchanged_totals_are_found(damaged: LMDBEventStore) -> None:
    """Their sum is right."""
    with writing(damaged) as (txn, databases):
        exchange_totals(txn, databases)
    assert [finding[:2] for finding in damaged.verify()] == [
        (FindingKind.TOTAL_WRONG, "totals")
    ] * 2


def test_all_damages_are_found_together(damaged: LMDBEventStore) -> None:
    """No damage hides another; each is planted at another event or run."""
    plants = (lose_posting, lose_next, add_commit, add_id, add_posting_of_nothing, empty_filter)
    with writing(damaged) as (txn, databases):
        for plant in plants:
            plant(txn, databases)
        for n in (128, 139):
            txn.put(key(n), b"broken", db=databases.live)
        drop_entry(txn, databases, "e30")
        txn.delete(run_end(40)[8:], db=databases.commits)
        txn.put(
            run_end(80), flipped(txn.get(run_end(80), db=databases.runs), 200), db=databases.runs
        )
    kinds = sorted(finding.kind for finding in damaged.verify())
    assert kinds == sorted(
        [
            *(FindingKind.RECORD_UNREADABLE, FindingKind.RECORD_UNREADABLE),
            *(FindingKind.POSTING_MISSING, FindingKind.POSTING_STRAY, FindingKind.NEXT_LOCAL_ID),
            *(FindingKind.COMMIT_WRONG, FindingKind.COMMIT_WRONG, FindingKind.ID_STRAY),
            *(FindingKind.ID_MISSING, FindingKind.SIGNATURE_WRONG, FindingKind.RUN_DAMAGED),
        ]
    )


def test_a_damaged_run_is_one_finding_with_its_parts(damaged: LMDBEventStore) -> None:
    """Whatever is damaged in it, and however many events it has."""
    with writing(damaged) as (txn, databases):
        for end in (run_end(0), run_end(40)):
            value = txn.get(end, db=databases.runs)
            value = value.replace(b"content 7", b"content 9").replace(b'"f7"', b'"g7"')
            txn.put(end, flipped(value.replace(b"content 4", b"kontent 4"), 50), db=databases.runs)
    first, second = damaged.verify()
    assert first.kind is second.kind is FindingKind.RUN_DAMAGED
    assert "the front and the headers and the contents of" in first.detail
    assert "30 of 32 records are what was written" in first.detail
    assert "the front and the contents of" in second.detail
    assert "22 of 32 records are what was written" in second.detail


def test_the_local_id_of_a_deleted_event_is_not_given_twice(damaged: LMDBEventStore) -> None:
    with writing(damaged) as (txn, databases):
        where = fmt.encode_time(500.0) + key(20)[8:]
        txn.put(where, record(Event("other", timestamp=500.0)), db=databases.live)
        put_entry(txn, databases, "other", where)
        txn.put(fmt.source_key(""), where, db=databases.postings)
    (finding,) = damaged.verify()
    assert finding.kind is FindingKind.LOCAL_ID_TWICE


def test_an_impossible_next_local_id_stops_writes(damaged: LMDBEventStore) -> None:
    with writing(damaged) as (txn, databases):
        txn.put(fmt.NEXT, b"\xff" * 8, db=databases.meta)
    with pytest.raises(StoreDamaged, match=r"next local id is 18,446.*repair"):
        damaged.save(Event())
    (finding,) = damaged.verify()
    assert finding.kind is FindingKind.NEXT_LOCAL_ID


@pytest.mark.parametrize("pages", [False, True])
@pytest.mark.parametrize("names", [*((name,) for name in Databases._fields), ("ids", "postings")])
def test_missing_databases_are_found(
    tmp_path: Path, names: tuple[str, ...], *, pages: bool
) -> None:
    """Without them the store cannot be opened, and the error says why."""
    path = tmp_path / "events"
    with LMDBEventStore(path) as store:
        store.save(Event())
        with writing(store) as (txn, databases):
            for name in names:
                txn.drop(getattr(databases, name))
    found = verify(path, pages=pages)
    assert [finding[:2] for finding in found] == [
        (FindingKind.DATABASE, name) for name in sorted(names)
    ]
    with pytest.raises(StoreOpenError, match=r"is damaged: its database .* is missing; repair it"):
        LMDBEventStore(path)


@pytest.mark.parametrize("bit", [None, *range(96)])
def test_a_lost_format_version_is_found_and_repaired(tmp_path: Path, bit: int | None) -> None:
    """It is not read as another version, which would be neither opened nor repaired."""
    path = tmp_path / "events"
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
        with writing(store) as (txn, databases):
            version = txn.pop(fmt.FORMAT, db=databases.meta)
            if bit is not None:
                txn.put(fmt.FORMAT, flipped(version, bit // 8, 1 << bit % 8), db=databases.meta)
    with pytest.raises(StoreOpenError, match="format version is lost; repair it"):
        LMDBEventStore(path)
    for pages in (False, True):
        (finding,) = verify(path, pages=pages)
        assert finding[:2] == (FindingKind.FORMAT, "meta")
    assert repair(path).left_out == []
    with LMDBEventStore(path) as store:
        assert "a" in store


def test_verify_does_not_wait_for_a_store_that_is_being_replaced(path: Path) -> None:
    def child() -> None:
        for pages in (False, True):
            with alone_in(StoreFolder(os.fspath(path))), pytest.raises(StoreInUse):
                verify(path, pages=pages)

    LMDBEventStore(path).close()
    in_child(child)


def test_a_file_that_is_not_a_store_of_this_version_is_an_error(tmp_path: Path) -> None:
    """It has another version, or other databases."""
    path = tmp_path / "events"
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        change_version(txn, databases)
    for pages in (False, True):
        with pytest.raises(StoreOpenError, match="format version 77"):
            verify(path, pages=pages)
    (tmp_path / "foreign").mkdir()
    with lmdb.open(str(tmp_path / "foreign"), max_dbs=2) as foreign:
        foreign.open_db(b"ids")
        foreign.open_db(b"meta")
    with pytest.raises(StoreOpenError, match="not a store"):
        verify(tmp_path / "foreign")


def test_a_file_that_is_cut_off_is_found_without_opening_it_in_lmdb(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with LMDBEventStore(path) as store:
        store.save_many(Event(content="x" * 1000) for _ in range(100))
    os.truncate(path / "data.mdb", 20 * 4096)
    for pages in (False, True):
        assert {finding.kind for finding in verify(path, pages=pages)} == {FindingKind.PAGE}


def patched(path: Path, find: bytes, put: bytes, *, once: bool = True) -> None:
    """Change bytes of the data file without LMDB."""
    data = (path / "data.mdb").read_bytes()
    assert data.count(find) == 1 or not once
    (path / "data.mdb").write_bytes(data.replace(find, put))


def test_a_wrong_order_of_keys_is_found(tmp_path: Path) -> None:
    """The keys of two groups of ids are swapped: lookups find neither."""
    path = tmp_path / "events"
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"unlikely-{n}") for n in range(150))
        groups = store._session.read(lambda txn, databases: list(txn.cursor(db=databases.ids)))
    nodes = [key + group for key, group in groups[1:3]]
    data = (path / "data.mdb").read_bytes()
    assert [data.count(node) for node in nodes] == [1, 1]
    assert len(nodes[0]) == len(nodes[1])
    swapped = data.replace(nodes[0], b"?" * len(nodes[0])).replace(nodes[1], nodes[0])
    (path / "data.mdb").write_bytes(swapped.replace(b"?" * len(nodes[0]), nodes[1]))
    kinds = {finding.kind for finding in verify(path)}
    assert FindingKind.ORDER in kinds
    assert {finding.kind for finding in verify(path, pages=True)} == {FindingKind.PAGE}


def test_a_wrong_number_of_entries_is_found(tmp_path: Path) -> None:
    """LMDB's record of `live` in its main database holds the number of entries."""
    path = tmp_path / "events"
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"e{n}") for n in range(77))
    data = bytearray((path / "data.mdb").read_bytes())
    number = (77).to_bytes(8, "little")
    at = -1
    while (at := data.find(b"live", at + 1)) >= 0:
        if data[at + 4 + 32 : at + 4 + 40] == number:  # struct MDB_db: md_entries is at 32
            data[at + 4 + 32] = 78
    (path / "data.mdb").write_bytes(data)
    (finding,) = verify(path)
    assert finding[:2] == (FindingKind.COUNT, "live")
    assert {finding.kind for finding in verify(path, pages=True)} == {FindingKind.PAGE}


@pytest.mark.parametrize("at", [0, 10, 12, 16])
def test_a_damaged_page_is_found_without_opening_the_file_in_lmdb(tmp_path: Path, at: int) -> None:
    """LMDB would trust a leaf's page number, flags and end of its table."""
    path = tmp_path / "events"
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"e{n}", content="x" * 500) for n in range(100))
    data = bytearray((path / "data.mdb").read_bytes())
    place = data.find(b'"e50"') // 4096 * 4096
    data[place + at] ^= 0x55
    (path / "data.mdb").write_bytes(data)
    findings = verify(path, pages=True)
    assert {finding.kind for finding in findings} == {FindingKind.PAGE}


@pytest.mark.parametrize("data", [b"", b"not a store", bytes(1 << 20)])
def test_a_file_that_is_not_of_lmdb_is_found(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "events"
    LMDBEventStore(path).close()
    (path / "data.mdb").write_bytes(data)
    for pages in (False, True):
        assert [finding.kind for finding in verify(path, pages=pages)] == [FindingKind.PAGE]


def test_verify_refuses_a_missing_or_closed_store(tmp_path: Path) -> None:
    for pages in (False, True):
        with pytest.raises(StoreOpenError, match="there is no store"):
            verify(tmp_path, pages=pages)
        with pytest.raises(StoreOpenError, match="there is no store"):
            verify(tmp_path / "none", pages=pages)
    with LMDBEventStore(tmp_path / "events") as store:
        pass
    with pytest.raises(StoreClosed):
        store.verify(pages=True)


def test_verify_during_writes_finds_nothing(path: Path) -> None:
    """It reads the records of one state, and the pages while no process writes."""
    done = threading.Event()
    with LMDBEventStore(path, durability="none") as store:

        def write() -> None:
            for n in itertools.count():
                if done.is_set():
                    return
                store.save_many(Event(f"{n} {i}", tags=["f"], content="x" * 100) for i in range(50))
                store.delete(f"{n} 7")
                store.purge(max_events=1000)  # so that no machine makes a large store

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(5):
                assert store.verify(pages=True) == []
        finally:
            done.set()
            writer.join()


def test_pages_are_checked_while_no_process_can_write(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    def look(name: str, *, subdir: bool) -> list[str]:
        with open(path / "barrier", "rb") as barrier, pytest.raises(BlockingIOError):
            fcntl.flock(barrier, fcntl.LOCK_EX | fcntl.LOCK_NB)
        looked.append((os.path.samefile(name, path / "data.mdb"), subdir))
        return []

    monkeypatch.setattr(lmdb.verify, "verify", look)
    with LMDBEventStore(path) as store:
        assert store.verify(pages=True) == []
    assert verify(path, pages=True) == []
    assert looked == [(True, False)] * 2
    with open(path / "barrier", "rb") as barrier:
        fcntl.flock(barrier, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_verify_reports_progress_and_needs_little_memory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "PIECE_ENTRIES", 50)
    reported: list[tuple[int, int]] = []
    with LMDBEventStore(path, durability="none") as store:
        content = "x" * 100 + " " * 2400  # more words take more time, and not more memory
        store.save_many(Event(f"e{n}", tags=["f"], content=content) for n in range(4000))
        tracemalloc.start()
        try:
            assert store.verify(progress=lambda done, total: reported.append((done, total))) == []
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert reported[-1] == (4000, 4000)
    assert [done for done, _ in reported] == sorted(done for done, _ in reported)
    assert peak < 2_000_000  # bytes; the events are 10 million


def test_memory_does_not_grow_with_the_events(path: Path) -> None:
    """This holds also for runs of large events."""
    with LMDBEventStore(path, durability="none") as store:
        blank = " " * 1_000_000
        store.save_many(Event(f"e{n}", content=f"{blank}number {n}") for n in range(60))
        store.seal()
        tracemalloc.start()
        try:
            assert store.verify() == []
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 20_000_000  # bytes; the events are 60 million


def test_the_text_of_a_finding_names_kind_place_and_event() -> None:
    finding = Finding(FindingKind.ID_WRONG, "ids", "it leads to nothing", "e7")
    assert str(finding) == "id wrong in ids of the event 'e7': it leads to nothing"
    assert lmdb.version()[0] == 0, "lmdb.verify and the offsets here are those of LMDB 0.9"
