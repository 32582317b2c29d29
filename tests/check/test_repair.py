"""Repair: damaged indexes are rebuilt; losses are reported, and the damaged file is kept."""

from __future__ import annotations

import os
import shutil
import stat
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    EventWriteException,
    FindingKind,
    LMDBEventStore,
    StoreInUse,
    StoreOpenError,
    repair,
    verify,
)
from lmdbstore.check import repair as repairing
from lmdbstore.disk import format as fmt
from lmdbstore.disk import raw_pages as salvage
from lmdbstore.engine.environment import Environment
from lmdbstore.engine.session import Session
from lmdbstore.opening.options import Options
from lmdbstore.write.change import Change
from lmdbstore.write.save import Batch
from tests.tools.damages import (
    DAMAGES,
    EVENTS,
    change_content,
    change_version,
    key,
    lose_id,
    lose_next,
    make_small,
    move_to_no_local_id,
)
from tests.tools.indexes import assert_indexes_agree
from tests.tools.planting import writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmdbstore.write.transaction import WriteTransaction

LEFT_OUT = {FindingKind.RECORD_UNREADABLE, FindingKind.RECORD_CHANGED, FindingKind.ID_TWICE}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


def make(path: Path, events: int = EVENTS) -> list[Event]:
    """Make a store with a gap in its local ids; return its events."""
    with LMDBEventStore(path) as store:
        store.save_many(
            Event(f"e{n}", timestamp=float(n), tags=["all", f"f{n}"], content=f"content {n}")
            for n in range(events)
        )
        store.save(Event("last", timestamp=1e9, tags=["", "x" * 600], content="é\n" * 5000))
        store.save(Event("gone"))
        store.delete("gone")
        return list(store.search())


def content(path: Path) -> tuple[list[Event], list[tuple[bytes, bytes]], bytes | None]:
    """Return the events, the commits and the next local id of a store."""
    with LMDBEventStore(path, create=False) as store:
        assert store.verify(pages=True) == []
        assert_indexes_agree(store)
        commits: list[tuple[bytes, bytes]] = store._session.read(
            lambda txn, dbs: list(txn.cursor(db=dbs.commits))
        )
        following = store._session.read(lambda txn, dbs: txn.get(fmt.NEXT, db=dbs.meta))
        return list(store.search()), commits, following


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


def test_a_sound_store_is_not_changed(path: Path) -> None:
    make(path)
    (path / "data.mdb").chmod(0o640)
    before, progress_seen = content(path), list[int]()
    found = repair(path, progress=lambda done, _: progress_seen.append(done))
    assert (found.events, found.left_out, found.old_file) == (EVENTS + 1, [], None)
    assert content(path) == before
    assert progress_seen[-1] == EVENTS + 1
    assert names(path) == ["barrier", "data.mdb", "lock.mdb", "snapshots"]
    assert stat.S_IMODE((path / "data.mdb").stat().st_mode) == 0o640
    with LMDBEventStore(path) as store:
        assert store.stats().databases["signatures"] > 0
        assert "leave out" in store.explain(match="content 7")


def test_an_empty_store_stays_empty(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("gone"))
        store.delete("gone")
    before = content(path)
    assert repair(path).events == 0
    assert content(path) == before


@pytest.mark.parametrize(
    ("plant", "kind"),
    [damage[:2] for damage in DAMAGES if damage[0] is not change_version],  # that is refused
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_kind_of_damage_is_repaired(
    path: Path, plant: Callable[[Any, Any], None], kind: FindingKind
) -> None:
    events = make(path)
    before = content(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        plant(txn, databases)
    found = repair(path)
    after, commits, following = content(path)
    if kind in LEFT_OUT:
        assert [finding.kind for finding in found.left_out] == [kind]
        events = [event for event in events if event.id != "e7" or kind is FindingKind.ID_TWICE]
        assert found.old_file is not None
        shutil.copy(found.old_file, path.parent / "old")
        os.unlink(found.old_file)
    else:
        assert (found.left_out, found.old_file) == ([], None)
    assert after == events
    if plant is not move_to_no_local_id:
        kept = [commit for commit in before[1] if commit[0] != key(7)[8:] or events == before[0]]
        assert commits == kept, "an event has another local id"
    assert following is not None
    assert following >= fmt.encode_number(EVENTS + 2 if plant.__name__ != "cut_next" else 1)


def test_the_local_id_of_a_lost_event_is_not_reused(path: Path) -> None:
    """This holds while the next local id is known."""
    make(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        lose_id(txn, databases)
    repair(path)
    assert content(path)[2] == fmt.encode_number(EVENTS + 3)
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        lose_next(txn, databases)
    repair(path)
    assert content(path)[2] == fmt.encode_number(EVENTS + 2)


def test_changed_records_are_kept_on_request(path: Path) -> None:
    events = make(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        change_content(txn, databases)
    found = repair(path, keep_changed=True)
    assert (found.left_out, found.old_file) == ([], None)
    changed = {"e7": events[7]._replace(content="content 6")}
    assert content(path)[0] == [changed.get(event.id, event) for event in events]


def test_a_record_without_a_checksum_is_left_out(path: Path) -> None:
    events = make(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        txn.delete(b"e7", db=databases.ids)
        txn.delete(key(7)[8:], db=databases.commits)
    before = (path / "data.mdb").read_bytes()
    found = repair(path)
    assert [finding.kind for finding in found.left_out] == [FindingKind.RECORD_UNCHECKED]
    assert content(path)[0] == [event for event in events if event.id != "e7"]
    assert found.old_file is not None
    os.replace(found.old_file, path / "data.mdb")
    assert (path / "data.mdb").read_bytes() == before
    found = repair(path, keep_changed=True)
    assert found.left_out == []
    assert content(path)[0] == events


def test_a_changed_byte_in_a_page_of_records_loses_only_records_of_the_page(path: Path) -> None:
    """Whatever the value of the byte, no other record is lost, and no record is changed."""
    events = make(path, 200)
    whole = (path / "data.mdb").read_bytes()
    at = whole.find(b'"e150"') // 4096 * 4096
    in_page = {
        event.id for event in events if whole.find(f'"{event.id}"'.encode(), at, at + 4096) > 0
    }
    for place in range(at, at + 4096, 241):
        data = bytearray(whole)
        data[place] ^= 0xFF
        (path / "data.mdb").write_bytes(data)
        found = repair(path)
        after = content(path)[0]
        assert {event.id for event in events} - {event.id for event in after} <= in_page
        assert [event for event in events if event in after] == after
        assert len(after) == len(events) or found.old_file is not None
        if found.old_file is not None:
            with open(found.old_file, "rb") as old:
                assert old.read() == bytes(data)
            os.unlink(found.old_file)


@pytest.mark.parametrize("name", ["ids", "flags", "commits", "signatures", "meta"])
def test_an_index_that_is_completely_lost_is_rebuilt(path: Path, name: str) -> None:
    events = make(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        txn.drop(getattr(databases, name), delete=False)
    repair(path)
    assert content(path)[0] == events


def test_a_store_is_repaired_from_one_meta_page(path: Path) -> None:
    """LMDB then shows the last state, or the state before the last write."""
    events = make(path)
    whole = (path / "data.mdb").read_bytes()
    for at in (16, 4096 + 16):
        data = bytearray(whole)
        data[at : at + 4] = bytes(4)
        (path / "data.mdb").write_bytes(data)
        assert verify(path, pages=True)
        found = repair(path)
        assert found.left_out
        after = content(path)[0]
        assert [event for event in after if event.id != "gone"] == events
        assert found.old_file is not None
        os.unlink(found.old_file)


def test_the_state_before_is_used_if_the_last_has_no_timeline(path: Path) -> None:
    events = make(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        txn.drop(databases.timeline)
    found = repair(path)
    assert ["no timeline" in finding.detail for finding in found.left_out] == [True]
    assert content(path)[0] == events
    assert found.old_file is not None


@pytest.mark.parametrize("where", [9, 3, 1 << 62])
def test_a_wrong_local_id_without_an_index_entry_is_replaced(path: Path, where: int) -> None:
    """Another event has it, or no event can; the event and the ids of its neighbours are kept."""
    events = make(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, dbs):
        wrong = key(7)[:8] + fmt.encode_number(where)
        txn.put(wrong, txn.pop(key(7), db=dbs.timeline), db=dbs.timeline)
        txn.delete(b"e7", db=dbs.ids)
        txn.delete(key(7)[8:], db=dbs.commits)
        commits = dict(txn.cursor(db=dbs.commits))
        following = txn.get(fmt.NEXT, db=dbs.meta)
    found = repair(path, keep_changed=True)
    assert (found.events, found.left_out) == (len(events), [])
    after, given, _ = content(path)
    assert after == events
    assert {**commits, following: dict(given)[following]} == dict(given)


def test_the_second_of_two_events_with_one_local_id_gets_another(path: Path) -> None:
    """No index entry says to which event it belongs."""
    events = make(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, dbs):
        txn.put(key(8)[:8] + key(7)[8:], txn.pop(key(8), db=dbs.timeline), db=dbs.timeline)
        txn.delete(b"e8", db=dbs.ids)
        for n in (7, 8):
            txn.delete(key(n)[8:], db=dbs.commits)
    found = repair(path, keep_changed=True)
    assert (found.events, found.left_out) == (len(events), [])
    after, commits, _ = content(path)
    assert after == events
    local_ids = {time[:8]: local_id for local_id, time in commits}
    assert local_ids[key(7)[:8]] == key(7)[8:]
    assert local_ids[key(8)[:8]] == fmt.encode_number(EVENTS + 3)


def test_of_two_records_with_one_id_the_one_in_the_index_is_kept(path: Path) -> None:
    """This holds also if the other record is first."""
    make(path)
    with LMDBEventStore(path) as store:
        store.delete("e3")
        events = list(store.search())
        with writing(store) as (txn, dbs):
            record = txn.get(key(7), db=dbs.timeline)
            txn.put(key(7)[:8] + key(3)[8:], record, db=dbs.timeline)
            txn.put(key(3)[8:], key(7)[:8] + fmt.checksum(record), db=dbs.commits)
    found = repair(path)
    assert [finding.kind for finding in found.left_out] == [FindingKind.ID_TWICE]
    after, commits, _ = content(path)
    assert after == events
    assert key(7)[8:] in dict(commits)
    assert key(3)[8:] not in dict(commits)


def test_an_index_entry_with_a_wrong_time_is_not_used(path: Path) -> None:
    events = make(path)
    before = content(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, dbs):
        txn.put(b"e7", b"\x40" + txn.get(b"e7", db=dbs.ids)[1:], db=dbs.ids)
        txn.delete(key(7)[8:], db=dbs.commits)
    assert repair(path).events == len(events)
    assert content(path) == before


def test_of_two_records_with_one_id_the_undamaged_one_is_kept(path: Path) -> None:
    events = make(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, dbs):
        txn.put(fmt.FIRST_KEY, txn.get(key(7), db=dbs.timeline), db=dbs.timeline)
        change_content(txn, dbs)
    found = repair(path)
    assert [finding.kind for finding in found.left_out] == [FindingKind.RECORD_CHANGED]
    assert content(path)[0] == events


def test_two_repairs_in_one_second_keep_both_files(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(path)
    monkeypatch.setattr(time, "gmtime", lambda: time.struct_time((2026, 1, 2, 3, 4, 5, 4, 2, 0)))
    kept = []
    for n in (7, 8, 9):
        with LMDBEventStore(path) as store, writing(store) as (txn, dbs):
            txn.put(key(n), b"broken", db=dbs.timeline)
        before = (path / "data.mdb").read_bytes()
        found = repair(path)
        assert found.old_file is not None
        kept.append(os.path.basename(found.old_file))
        assert (path / kept[-1]).read_bytes() == before
    assert kept == [f"damaged-20260102T030405{n}.mdb" for n in ("", "-1", "-2")]


STEPS: list[tuple[Any, str]] = [
    (repairing, "check_space"),
    (salvage.Pages, "walk"),
    (repairing._Restore, "apply"),
    (repairing, "sign_all"),
    (Environment, "flush"),
    (repairing, "verify_session"),
    (os, "link"),
    (os, "replace"),
]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[name for _, name in STEPS])
def test_an_interrupted_repair_changes_nothing(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    error: type[BaseException],
) -> None:
    make(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        txn.put(key(9), b"broken", db=databases.timeline)
    before = (path / "data.mdb").read_bytes()
    files = names(path)

    def broken(*_: Any, **__: Any) -> Any:
        raise error("made to fail")

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, broken)
        with pytest.raises((error, EventWriteException)):
            repair(path)
    assert (path / "data.mdb").read_bytes() == before
    assert names(path) == files
    repair(path)
    for left in set(names(path)) - set(files):
        (path / left).unlink()


def test_a_repaired_file_that_does_not_verify_does_not_replace_the_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(path)
    before = (path / "data.mdb").read_bytes()

    with monkeypatch.context() as patch:
        patch.setattr(Batch, "_put_postings", lambda *_: None)
        with pytest.raises(EventWriteException, match=r"does not verify.*flag missing"):
            repair(path)
    assert (path / "data.mdb").read_bytes() == before


def test_repair_refuses_what_it_cannot_repair(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreOpenError, match="there is no store"):
        repair(path)
    with LMDBEventStore(path), pytest.raises(StoreInUse):
        repair(path)
    for data in (b"", b"not a store", bytes(1 << 16)):
        other = tmp_path / f"other{len(data)}"
        LMDBEventStore(other).close()
        (other / "data.mdb").write_bytes(data)
        with pytest.raises(StoreOpenError, match="cannot be repaired"):
            repair(other)
        assert (other / "data.mdb").read_bytes() == data
    with monkeypatch.context() as patch:
        patch.setattr(fmt, "VERSION", 99)
        LMDBEventStore(tmp_path / "newer").close()
    with pytest.raises(StoreOpenError, match="format version"):
        repair(tmp_path / "newer")
    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", lambda _: os.statvfs_result((1,) * 10))
        with pytest.raises(EventWriteException, match=r"1 bytes free.*needed"):
            repair(path)


@pytest.mark.parametrize(
    ("events", "size", "most"), [(4000, 4000, 9_000_000), (60, 1_000_000, 11_000_000)]
)
def test_memory_does_not_grow_with_the_store(
    path: Path, events: int, size: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # pieces are as large as ever
    with LMDBEventStore(path, durability="none", signatures=False) as store:
        store.save_many(
            Event(f"e{n}", tags=["f"], content="word " * (size // 5)) for n in range(events)
        )
    tracemalloc.start()
    try:
        assert repair(path).events == events
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most  # bytes; the events are 16 or 60 million


def test_a_record_that_is_left_out_takes_no_local_id(path: Path) -> None:
    """The record that shares its local id keeps it, and new events get the next one."""

    def kept(time: float, local_id: int, event_id: str) -> repairing._Kept:
        event = Event(event_id, timestamp=time)
        key = fmt.join_key(fmt.encode_time(time), fmt.encode_number(local_id))
        return repairing._Kept(key, event, fmt.encode(event, fmt.TextKeys()).record)

    change = repairing._Restore([kept(1.0, 1, "a"), kept(2.0, 900, "a"), kept(3.0, 2, "b")], 1)
    same = repairing._Restore([kept(4.0, 700, "a"), kept(5.0, 700, "c"), kept(6.0, 2, "d")], 3)
    with Session(str(path), Options(), create=True) as session:
        session.write(change)
        session.write(same)
        assert [one.key for one in change.twice] == [kept(2.0, 900, "a").key]
        assert [one.event.id for one in same.twice] == ["a"]
        assert [one.event.id for one in same.unplaced] == ["d"]
        assert (change.unplaced, change.next_local_id, same.next_local_id) == ([], 3, 701)
    with LMDBEventStore(path) as store:
        assert [event.id for event in store.search()] == ["a", "b", "c"]


def test_records_of_one_time_whose_local_ids_fall_are_written_in_order(
    store: LMDBEventStore,
) -> None:
    """Repair writes records at the keys that they had, in whatever order it finds them."""
    environment = store._session._environment
    events = [Event(f"e{n}", timestamp=7.0, tags=["f"]) for n in range(50)]
    rows = [fmt.encode(event, fmt.TextKeys()) for event in events]
    keys = [fmt.encode_time(7.0) + fmt.encode_number(100 - n) for n in range(50)]

    class AtKeys(Change):
        alone = True

        def apply(self, txn: WriteTransaction) -> None:
            Batch(fmt.Rows.of(rows)).write(txn, keys, append=False)
            txn.next_local_id = 101
            txn.changed = True

    environment.write(AtKeys(), store._session.place)
    assert [event.id for event in store.search(flags=["f"])] == [f"e{n}" for n in range(49, -1, -1)]
    assert store.verify(pages=True) == []
