"""Ids with the same id key: they are told apart by the events, whatever is damaged."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    DuplicateEvent,
    Event,
    EventNotFound,
    FindingKind,
    LMDBEventStore,
    StoreDamaged,
    StoreOpenError,
    repair,
    verify,
)
from lmdbstore.disk import format as fmt
from lmdbstore.records.ids import entries_in, id_entry, id_key
from lmdbstore.write.save import SaveMany
from tests.tools.damages import small_runs
from tests.tools.ids import all_entries, put_entry, share_keys
from tests.tools.indexes import assert_indexes_agree
from tests.tools.planting import writing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENTS = 150


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events"


@pytest.fixture
def store(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LMDBEventStore]:
    """A store of sealed and live events, some of them deleted, with two id keys."""
    share_keys(monkeypatch)
    small_runs(monkeypatch, 32)
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(made(n) for n in range(100))
        for n in range(100, EVENTS):
            store.save(made(n))
        for n in range(0, EVENTS, 10):
            store.delete(f"e{n}")
        yield store


def made(n: int) -> Event:
    return Event(f"e{n}", timestamp=float(n), tags=["f"], content=f"content {n}")


def left() -> list[Event]:
    return [made(n) for n in range(EVENTS) if n % 10]


def test_every_event_is_found_by_its_own_id(store: LMDBEventStore) -> None:
    for event in left():
        assert store.get(event.id) == event
    for n in range(0, EVENTS, 10):
        assert store.get(f"e{n}", None) is None
        with pytest.raises(EventNotFound):
            store.delete(f"e{n}")
    assert store.verify() == []
    assert_indexes_agree(store)


def test_only_the_same_id_is_refused(store: LMDBEventStore) -> None:
    for n in (1, 148):
        with pytest.raises(DuplicateEvent):
            store.save(Event(f"e{n}"))
        with pytest.raises(DuplicateEvent):
            store.save_many([Event("new"), Event(f"e{n}")])
    store.save_many([made(n) for n in (0, 10)])
    assert store.get("e10") == made(10)
    assert "new" not in store
    assert_indexes_agree(store)


def test_purge_repair_compact_and_backup_keep_them_apart(store: LMDBEventStore, path: Path) -> None:
    store.purge(before=50.0)
    store.seal()
    store.backup(path.with_name("copy"))
    store.compact()
    expected = [event for event in left() if event.timestamp >= 50]
    assert list(store.search()) == expected
    store.close()
    assert verify(path.with_name("copy"), pages=True) == []
    for each in (path, path.with_name("copy")):
        assert repair(each)[:2] == (len(expected), [])
        with LMDBEventStore(each) as repaired:
            assert [repaired.get(event.id) for event in expected] == expected
            assert_indexes_agree(repaired)


def test_a_backup_and_a_compacted_store_have_the_seed(path: Path) -> None:
    def seed(store: LMDBEventStore) -> int:
        return store._session.seed

    with LMDBEventStore(path) as store, LMDBEventStore(path.with_name("other")) as other:
        store.save(made(1))
        store.backup(path.with_name("copy"))
        before = seed(store)
        assert before != seed(other)
        store.compact()
        assert seed(store) == before
        with LMDBEventStore(path.with_name("copy")) as copy:
            assert seed(copy) == before
            assert copy.get("e1") == made(1)


def test_two_events_with_one_id_are_found(path: Path) -> None:
    """Even if both have an entry."""
    with LMDBEventStore(path, durability="none") as store:
        store.save_many([made(1), made(2)])
        key = fmt.encode_time(1.0) + fmt.encode_number(3)
        with writing(store) as (txn, dbs):
            first = fmt.encode_time(1.0) + fmt.encode_number(1)
            txn.put(key, txn.get(first, db=dbs.live), db=dbs.live)
            txn.put(fmt.source_key(""), key, db=dbs.postings)
            txn.put(fmt.flag_key("f"), key, db=dbs.postings)
            txn.put(fmt.NEXT, fmt.encode_number(4), db=dbs.meta)
            ((last, group),) = txn.cursor(db=dbs.ids)
            txn.put(last, group + id_entry(id_key("e1", dbs.seed), key), db=dbs.ids)
        assert [found[:2] for found in store.verify()] == [(FindingKind.ID_TWICE, "live")]


def test_a_damaged_event_with_the_same_id_key_gives_an_error_or_a_right_answer(
    store: LMDBEventStore,
) -> None:
    with writing(store) as (txn, dbs):
        key = fmt.encode_time(149.0) + fmt.encode_number(150)
        txn.put(key, txn.get(key, db=dbs.live)[:-1], db=dbs.live)
    answers = {store_get(store, event) for event in left()}
    assert answers == {"right", "damaged"}
    for n in (0, 148):
        with pytest.raises((DuplicateEvent, StoreDamaged)):
            save_twice(store, made(n))
    assert {finding.kind for finding in store.verify()} == {FindingKind.RECORD_CHANGED}


def test_flipped_bits_in_entries_give_errors_or_right_answers(store: LMDBEventStore) -> None:
    """One of a key hides an event, and `verify` finds it."""
    chance = random.Random(7)
    with writing(store) as (txn, dbs):
        groups = list(txn.cursor(db=dbs.ids))
    for _ in range(60):
        last, group = chance.choice(groups)
        bit = chance.randrange(len(group) * 8)
        changed = bytearray(group)
        changed[bit // 8] ^= 1 << bit % 8
        with writing(store) as (txn, dbs):
            txn.put(last, bytes(changed), db=dbs.ids)
        answers = [store_get(store, event) for event in left()]
        assert set(answers) <= {"right", "damaged", "none"}
        assert answers.count("none") <= 1
        assert store.verify() != []
        with writing(store) as (txn, dbs):
            txn.put(last, group, db=dbs.ids)
    assert store.verify() == []


def save_twice(store: LMDBEventStore, event: Event) -> None:
    store.save(event)
    store.save(event)


def store_get(store: LMDBEventStore, event: Event) -> str:
    try:
        found = store.get(event.id, None)
    except StoreDamaged:
        return "damaged"
    return "none" if found is None else "right" if found == event else "wrong"


@pytest.mark.parametrize("cut", [1, 20, 22])
def test_a_group_that_is_cut_off_is_damage(path: Path, cut: int) -> None:
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(made(n) for n in range(5))
        with writing(store) as (txn, dbs):
            ((last, group),) = txn.cursor(db=dbs.ids)
            txn.put(last, group[:-cut], db=dbs.ids)
        answers = [store_get(store, made(n)) for n in range(5)]
        assert answers.count("right") == 4 - cut // 21
        assert answers.count("damaged") == 1 + cut // 21
        for event in (made(0), Event("new")):
            with pytest.raises((DuplicateEvent, StoreDamaged)):
                store.save(event)
        assert {finding.kind for finding in store.verify()} >= {FindingKind.ID_MISSING}
    assert repair(path)[:2] == (5, [])


@pytest.mark.parametrize("damage", ["lose", "change"])
def test_a_store_without_its_seed_is_refused_and_repaired(path: Path, damage: str) -> None:
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(made(n) for n in range(600))
        store.delete("e3")
        with writing(store) as (txn, dbs):
            if damage == "lose":
                txn.delete(fmt.SEED, db=dbs.meta)
            else:
                seed = txn.get(fmt.SEED, db=dbs.meta)
                txn.put(fmt.SEED, bytes([seed[0] ^ 1]) + seed[1:], db=dbs.meta)
        assert [found.kind for found in store.verify()] == [FindingKind.SEED]
    with pytest.raises(StoreOpenError, match="seed is lost; repair it"):
        LMDBEventStore(path)
    assert [found.kind for found in verify(path)] == [FindingKind.SEED]
    assert repair(path)[:2] == (599, [])
    with LMDBEventStore(path) as store:
        assert store.get("e4") == made(4)
        assert store.get("e3", None) is None
        assert_indexes_agree(store)


def test_ids_of_one_millisecond_are_spread_over_groups(path: Path) -> None:
    """A flood of them costs no search of all."""
    ids = [f"01890a5d-ac96-7{n >> 12:03x}-8{n & 4095:03x}-000000000000" for n in range(10_000)]
    random.Random(7).shuffle(ids)
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(Event(event_id, timestamp=1.0) for event_id in ids[:9_000])
        for event_id in ids[9_000:]:
            store.save(Event(event_id, timestamp=1.0))
        groups: list[tuple[bytes, bytes]] = store._session.read(
            lambda txn, dbs: list(txn.cursor(db=dbs.ids))
        )
        assert max(len(entries_in(group)) for _, group in groups) <= 31
        keys = [key for key, _ in all_entries(groups)]
        assert len(keys) - len(set(keys)) < 200
        assert store.verify() == []


def test_a_batch_that_was_made_for_another_seed_is_sorted_again(path: Path) -> None:
    """The store may have been repaired since, while this process was forked."""
    with LMDBEventStore(path) as store:
        change: Any = SaveMany([made(n) for n in range(100)], store._session.seed + 1)
        store._session.write(change)
        assert store.get("e7") == made(7)
        assert_indexes_agree(store)


def test_an_entry_with_another_time_deletes_nothing_without_a_word(path: Path) -> None:
    """An event of a run is found by its local id, and at no other time than its own."""
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(made(n) for n in range(5))
        store.seal()
        with writing(store) as (txn, dbs):
            put_entry(txn, dbs, "e2", fmt.encode_time(1.5) + fmt.encode_number(3))
        with pytest.raises(StoreDamaged, match=r"^the id 'e2' leads to another time"):
            store.delete("e2")
        with pytest.raises(StoreDamaged, match=r"^the id 'e2' leads to another time"):
            store.search(after=made(2))
        assert list(store.search()) == [made(n) for n in range(5)]
        assert store.get("e2") == made(2)
        assert [found.kind for found in store.verify()] == [FindingKind.ID_WRONG]


@pytest.mark.parametrize("time", [2.0, 1.5, 3.5])
def test_an_entry_too_many_is_found(path: Path, time: float) -> None:
    """The same one again, or one with another time."""
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(made(n) for n in range(5))
        store.seal()
        with writing(store) as (txn, dbs):
            ((last, group),) = txn.cursor(db=dbs.ids)
            entry = id_entry(id_key("e2", dbs.seed), fmt.encode_time(time) + fmt.encode_number(3))
            txn.put(last, group + entry, db=dbs.ids)
        assert [found.kind for found in store.verify()] == [FindingKind.ID_STRAY]
