"""Repair: damaged indexes are rebuilt; losses are reported, and the damaged file is kept."""

from __future__ import annotations

import os
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
from lmdbstore.check.damaged_file import Kept
from lmdbstore.check.restore import Restore
from lmdbstore.check.walk import LocalIds
from lmdbstore.disk import format as fmt
from lmdbstore.disk import raw_pages as salvage
from lmdbstore.engine.environment import Environment
from lmdbstore.engine.session import Session
from lmdbstore.opening.options import Options
from lmdbstore.records.record import TermKeys, encode
from lmdbstore.write.runs import Runs
from tests.tools.damages import (
    DAMAGES,
    EVENTS,
    change_content,
    change_sealed_content,
    change_sealed_header,
    change_version,
    cut_run,
    double,
    fill,
    forget_record,
    key,
    lose_id,
    lose_next,
    lose_run,
    made,
    make_small,
    move_to_no_local_id,
    share_local_id,
)
from tests.tools.ids import drop_entry, entry_of, put_entry
from tests.tools.indexes import assert_indexes_agree
from tests.tools.planting import writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOST = {  # what is left out; of other events nothing is lost
    FindingKind.RECORD_UNREADABLE,
    FindingKind.RECORD_CHANGED,
    FindingKind.RECORD_UNCHECKED,
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


def make(path: Path) -> list[Event]:
    """Make a store with a gap in its local ids; return its events."""
    with LMDBEventStore(path) as store:
        fill(store)
        store.save(Event("last", timestamp=1e9, tags=["", "x" * 600], content="é\n" * 5000))
        store.save(Event("gone"))
        store.delete("gone")
        return list(store.search())


def content(path: Path) -> tuple[list[Event], dict[str, bytes | None], bytes | None]:
    """Return the events, the timeline keys by id, and the next local id of a store."""
    with LMDBEventStore(path, create=False) as store:
        assert store.verify(pages=True) == []
        assert_indexes_agree(store)
        names = [event.id for event in store.search()]
        ids: dict[str, bytes | None] = store._session.read(
            lambda txn, dbs: {name: entry_of(txn, dbs, name) for name in names}
        )
        following = store._session.read(lambda txn, dbs: txn.get(fmt.NEXT, db=dbs.meta))
        return list(store.search()), ids, following


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


def test_a_sound_store_is_not_changed(path: Path) -> None:
    make(path)
    (path / "data.mdb").chmod(0o640)
    before, progress_seen = content(path), list[int]()
    found = repair(path, progress=lambda done, _: progress_seen.append(done))
    assert (found.events, found.left_out, found.old_file) == (EVENTS, [], None)
    assert content(path) == before
    assert progress_seen[-1] == EVENTS
    assert names(path) == ["barrier", "data.mdb", "lock.mdb", "snapshots"]
    assert stat.S_IMODE((path / "data.mdb").stat().st_mode) == 0o640
    with LMDBEventStore(path) as store:
        assert (store.stats().live, store.stats().runs) == (0, 5), "it is sealed"
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
    """Only what was damaged itself is left out, and it is named; no deleted event comes back."""
    events = make(path)
    before = content(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        plant(txn, databases)
    found = repair(path)
    after, ids, following = content(path)
    kinds = [finding.kind for finding in found.left_out]
    lost = lost_by(plant, kind)
    assert after == [event for event in events if event.id not in lost]
    if lost:
        assert set(kinds) <= LOST | {FindingKind.RUN_DAMAGED, FindingKind.RUN_MISSING}
        assert len(kinds) == 1, "each loss is named once"
    elif kind is not FindingKind.RUN_MISSING and plant is not double:
        assert kinds == []
    assert (found.old_file is None) == (kinds == [])
    if found.old_file is not None:
        os.unlink(found.old_file)
    if plant not in {move_to_no_local_id, share_local_id}:
        kept = {i: key for i, key in before[1].items() if i not in lost}
        assert ids == kept, "an event has another local id"
    assert following is not None
    assert following >= fmt.encode_number(EVENTS + 2 if plant.__name__ != "cut_next" else 1)


def lost_by(plant: Callable[[Any, Any], None], kind: FindingKind) -> set[str]:
    """Return the events that cannot be kept."""
    if plant in {cut_run, lose_run}:
        return {f"e{n}" for n in range(32)}
    if plant in {change_sealed_content, change_sealed_header}:
        return {"e7"}
    return {"e130"} if kind in LOST else set()


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


@pytest.mark.parametrize(
    ("plant", "changed"),
    [
        (change_content, made(130)._replace(content="content 131")),
        (change_sealed_content, made(7)._replace(content="content 9")),
        (change_sealed_header, made(7)._replace(tags=["all", "g7"])),
        (forget_record, made(130)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_changed_records_are_kept_on_request(
    path: Path, plant: Callable[[Any, Any], None], changed: Event
) -> None:
    events = make(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        plant(txn, databases)
    found = repair(path, keep_changed=True)
    assert (found.left_out, found.old_file) == ([], None)
    assert content(path)[0] == [changed if event.id == changed.id else event for event in events]


def test_a_live_record_that_no_index_has_is_left_out(path: Path) -> None:
    """Its event may have been deleted: a page of a former state would look the same."""
    events = make(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        forget_record(txn, databases)
    before = (path / "data.mdb").read_bytes()
    found = repair(path)
    assert [finding.kind for finding in found.left_out] == [FindingKind.RECORD_UNCHECKED]
    assert content(path)[0] == [event for event in events if event.id != "e130"]
    assert found.old_file is not None
    with open(found.old_file, "rb") as old:
        assert old.read() == before
    os.unlink(found.old_file)


@pytest.mark.parametrize("live", [False, True])
def test_a_changed_byte_in_a_page_of_records_loses_only_records_of_the_page(
    path: Path, *, live: bool
) -> None:
    """Whatever the value of the byte, no other record is lost, and no record is changed."""
    events = make(path)
    whole = (path / "data.mdb").read_bytes()
    at = whole.rfind(b'"e130"' if live else b'"e50"') // 4096 * 4096
    in_page = {f"e{n}" for n in (range(128, 140) if live else range(32, 64))} | {"last"}
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


@pytest.mark.parametrize(
    "name",
    [*("ids", "postings", "run_postings", "totals", "summaries", "dead", "commits", "meta")],
)
def test_an_index_that_is_completely_lost_is_rebuilt(path: Path, name: str) -> None:
    events = make(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        txn.drop(getattr(databases, name), delete=False)
    found = repair(path)
    assert content(path)[0] == events
    assert found.left_out == []


LOST_TOGETHER = [
    ("dead", "summaries"),
    ("totals", "commits", "run_postings"),
    # Then no id can be looked up, and the local ids in `ids` decide.
    ("dead", "summaries", "meta"),
]


@pytest.mark.parametrize("names", LOST_TOGETHER)
def test_indexes_that_are_lost_together_are_rebuilt(path: Path, names: tuple[str, ...]) -> None:
    """What `ids` has decides on the deleted events of runs."""
    events = make(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        for name in names:
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


@pytest.mark.parametrize("name", ["live", "runs"])
def test_the_state_before_is_used_if_the_last_has_no_events(path: Path, name: str) -> None:
    events = make(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        txn.drop(getattr(databases, name))
    found = repair(path)
    assert [f"no {name}" in finding.detail for finding in found.left_out] == [True]
    assert content(path)[0] == events
    assert found.old_file is not None


@pytest.mark.parametrize("where", [130, 7, 1 << 62])
def test_a_wrong_local_id_without_an_index_entry_is_replaced(path: Path, where: int) -> None:
    """Another event has it, or no event can; the event and the ids of its neighbours are kept."""
    events = make(path)
    before = content(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, dbs):
        forget_record(txn, dbs)
        wrong = key(130)[:8] + fmt.encode_number(where)
        txn.put(wrong, txn.pop(key(130), db=dbs.live), db=dbs.live)
    found = repair(path, keep_changed=True)
    assert (found.events, found.left_out) == (len(events), [])
    after, ids, _ = content(path)
    assert after == events
    assert before[2] is not None
    assert ids == before[1] | {"e130": key(130)[:8] + before[2]}


def test_the_second_of_two_events_with_one_local_id_gets_another(path: Path) -> None:
    """No index entry says to which event it belongs."""
    events = make(path)
    before = content(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, dbs):
        txn.put(key(131)[:8] + key(130)[8:], txn.pop(key(131), db=dbs.live), db=dbs.live)
        drop_entry(txn, dbs, "e131")
    found = repair(path, keep_changed=True)
    assert (found.events, found.left_out) == (len(events), [])
    after, ids, _ = content(path)
    assert after == events
    assert ids == before[1] | {"e131": key(131)[:8] + fmt.encode_number(EVENTS + 3)}


def test_of_two_records_with_one_id_the_one_in_the_index_is_kept(path: Path) -> None:
    """This holds also if the other record is first."""
    make(path)
    with LMDBEventStore(path) as store:
        store.delete("e129")
        events = list(store.search())
        with writing(store) as (txn, dbs):
            txn.put(key(130)[:8] + key(129)[8:], txn.get(key(130), db=dbs.live), db=dbs.live)
    found = repair(path)
    assert [finding.kind for finding in found.left_out] == [FindingKind.ID_TWICE]
    after, ids, _ = content(path)
    assert after == events
    assert ids["e130"] == key(130)


@pytest.mark.parametrize("n", [7, 130])
def test_an_index_entry_with_a_wrong_time_is_not_used(path: Path, n: int) -> None:
    events = make(path)
    before = content(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, dbs):
        put_entry(txn, dbs, f"e{n}", b"\x40" + key(n)[1:])
    assert repair(path).events == len(events)
    assert content(path) == before


def test_of_two_records_with_one_id_the_undamaged_one_is_kept(path: Path) -> None:
    events = make(path)
    with LMDBEventStore(path) as store, writing(store) as (txn, dbs):
        txn.put(fmt.FIRST_KEY, txn.get(key(130), db=dbs.live), db=dbs.live)
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
    for n in (130, 131, 132):
        with LMDBEventStore(path) as store, writing(store) as (txn, dbs):
            txn.put(key(n), b"broken", db=dbs.live)
        before = (path / "data.mdb").read_bytes()
        found = repair(path)
        assert found.old_file is not None
        kept.append(os.path.basename(found.old_file))
        assert (path / kept[-1]).read_bytes() == before
    assert kept == [f"damaged-20260102T030405{n}.mdb" for n in ("", "-1", "-2")]


STEPS: list[tuple[Any, str]] = [
    (repairing, "check_space"),
    (salvage.Pages, "walk"),
    (Restore, "apply"),
    (repairing, "seal_all"),
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
        txn.put(key(139), b"broken", db=databases.live)
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
        patch.setattr(Runs, "_write_totals", lambda *_: None)
        with pytest.raises(EventWriteException, match=r"does not verify.*total wrong"):
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
    ("events", "size", "most"), [(4000, 4000, 9_000_000), (60, 1_000_000, 22_000_000)]
)
def test_memory_does_not_grow_with_the_store(
    path: Path, events: int, size: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # pieces are as large as ever
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(
            Event(f"e{n}", tags=["f"], content=f"word {n}".ljust(size)) for n in range(events)
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

    def kept(time: float, local_id: int, event_id: str) -> Kept:
        event = Event(event_id, timestamp=time)
        where = fmt.join_key(fmt.encode_time(time), fmt.encode_number(local_id))
        row = encode(event, TermKeys())
        return Kept(where, event, b"%b\n%b" % (row.header, row.content))

    taken = LocalIds()
    first = [kept(1.0, 1, "a"), kept(2.0, 900, "a"), kept(3.0, 2, "b")]
    change = Restore(first, 1, taken)
    second = [
        *(kept(4.0, 700, "a"), kept(5.0, 700, "c"), kept(6.0, 2, "d")),
        kept(1.0, 1, "a"),  # the same event again
    ]
    same = Restore(second, 3, taken)
    with Session(str(path), Options(), create=True) as session:
        session.write(change)
        for local_id in (1, 2):
            assert taken.take(local_id)
        session.write(same)
        assert [one.key for one in change.twice] == [kept(2.0, 900, "a").key]
        assert [one.event.id for one in same.twice] == ["a"]
        assert [one.event.id for one in same.unplaced] == ["d"]
        assert (change.unplaced, change.next_local_id, same.next_local_id) == ([], 3, 701)
    with LMDBEventStore(path) as store:
        assert [event.id for event in store.search()] == ["a", "b", "c"]


def test_records_of_one_time_whose_local_ids_fall_are_written_in_order(path: Path) -> None:
    """Repair writes records at the keys that they had, in whatever order it finds them."""
    kept = []
    for n in range(50):
        event = Event(f"e{n}", timestamp=7.0, tags=["f"])
        row = encode(event, TermKeys())
        where = fmt.encode_time(7.0) + fmt.encode_number(100 - n)
        kept.append(Kept(where, event, b"%b\n%b" % (row.header, row.content)))
    with Session(str(path), Options(), create=True) as session:
        session.write(Restore(kept, 101, LocalIds()))
    with LMDBEventStore(path) as store:
        found = [event.id for event in store.search(flags=["f"])]
        assert found == [f"e{n}" for n in range(49, -1, -1)]
        assert store.verify(pages=True) == []
