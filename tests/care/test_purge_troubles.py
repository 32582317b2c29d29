"""Purge during other work, in a full store, with damage, and with interrupts."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    LMDBEventStore,
    Purged,
    StoreDamaged,
    StoreFull,
)
from lmdbstore.care import choice
from lmdbstore.care import purge as purging
from lmdbstore.engine.environment import Environment
from tests.tools.beside import beside
from tests.tools.damages import small_runs
from tests.tools.ids import drop_entry, entry_of, put_entry
from tests.tools.indexes import assert_indexes_agree
from tests.tools.planting import writing
from tests.tools.purges import event, ids, in_use, names

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore.opening.place import Place
    from lmdbstore.threads.deadline import Deadline
    from lmdbstore.write.change import Change


# -- others at the same time ----------------------------------------------------------------------


@pytest.mark.usefixtures("small_pieces")
def test_events_saved_during_a_purge_are_kept(store: LMDBEventStore) -> None:
    store.save_many(event(n) for n in range(20))
    number = iter(range(100, 200))

    def save(_: int, __: int) -> None:
        n = next(number)
        store.save_many([event(n, at=-1.0), event(n + 1000, at=12.5), event(n + 2000, at=50.0)])

    purged = store.purge(before=15.0, max_events=1, max_bytes=0, progress=save)
    assert (purged.events, purged.newest) == (20, 19.0)
    pieces = next(number) - 100
    assert pieces >= 4
    assert purged.left == len(store) == 3 * pieces
    assert store.purge(before=15.0).events == 2 * pieces


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("how", [{"max_events": 20}, {"max_bytes": 200_000}])
def test_two_concurrent_purges_delete_no_more_than_one(store: LMDBEventStore, how: Any) -> None:
    store.save_many(event(n, "f", text="x" * 1000) for n in range(300))
    inner: list[Purged] = []

    def another(_: int, __: int) -> None:
        if not inner:
            inner.append(store.purge(**how))

    outer = store.purge(**how, progress=another)
    if "max_events" in how:
        assert len(store) == 20
    else:
        assert 150_000 < in_use(store) <= 200_000
    assert outer.events + inner[0].events == 300 - len(store)
    assert 0 < outer.events <= 5


@pytest.mark.usefixtures("small_pieces")
def test_events_deleted_by_others_during_a_purge_are_skipped(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save_many(event(n, "f") for n in range(20))
    write, deleted = store._session.write_freeing, list[str]()

    def late(change: Change, deadline: Deadline | None = None) -> None:
        if isinstance(change, purging._Erase) and not deleted:
            deleted.extend(names([1, 3, 4, 12]))
            for name in deleted:
                store.delete(name)
        write(change, deadline)

    monkeypatch.setattr(store._session, "write_freeing", late)
    assert store.purge(before=15.0, flags=["f"]).events == 15 - 4
    assert ids(store) == names(range(15, 20))


def test_readers_and_writers_continue_during_a_purge(store: LMDBEventStore) -> None:
    """They are many threads; each search finds a part of the timeline without a gap."""
    store.save_many(event(n) for n in range(5000))

    def read(_: int) -> None:
        found = [int(name[1:]) for name in ids(store)]
        assert found[-1] == 4999
        assert [n for n in found if n >= 4000] == list(range(4000, 5000))

    with beside(read, read, read, turns=5) as go_on:
        go_on()
        assert store.purge(before=4000.0, progress=go_on).events == 4000


# -- a store that is full -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 300, 3000, 20_000])
@pytest.mark.parametrize("order", ["timely", "mixed", "many"])
def test_a_completely_full_store_can_be_purged(path: Path, size: int, order: str) -> None:
    chance = random.Random(f"{size} {order}")
    with LMDBEventStore(path, map_size=1 << 20, durability="none") as store:
        number = 0
        for most in (size, 1):  # at the end even the smallest does not fit
            refused = 0
            while refused < 20:
                made = [
                    Event(
                        str(chance.random()),
                        timestamp=chance.random() * 1e6
                        if order == "mixed" or most == 1
                        else float(number + n),
                        tags=chance.sample("abcdefgh", chance.randrange(4)),
                        content="x" * chance.randrange(most),
                    )
                    for n in range(chance.randrange(1, 200) if order == "many" and most > 1 else 1)
                ]
                try:
                    store.save_many(made)
                    number += len(made)
                except StoreFull:
                    refused += 1
        assert len(store) == number
        with pytest.raises(StoreFull):
            store.save(Event("one more", content="x" * 300_000))
        store.delete(next(store.search(order="desc")).id)
        assert store.purge(max_events=number // 2).left == number // 2
        store.save(Event("after", content="x" * 3000))
        assert store.purge(max_events=0).left == 0


def test_pieces_are_halved_if_the_store_is_too_full(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save_many(event(n) for n in range(100))
    write, sizes = Environment.write, list[int]()

    def full(self: Environment, change: Change, place: Place, deadline: Deadline) -> None:
        if isinstance(change, purging._Erase):
            sizes.append(len(change._keys))
            if len(change._keys) > 30:
                raise StoreFull("full")
        write(self, change, place, deadline)

    monkeypatch.setattr(Environment, "write", full)
    assert store.purge(before=90.0).events == 90
    assert sizes == [90, 90, 45, 45, 22, 22, 22, 22, 2]


def test_the_error_says_if_not_even_one_event_can_be_deleted(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save_many(event(n) for n in range(10))

    def full(*_: object) -> None:
        raise StoreFull("full")

    with monkeypatch.context() as patched:
        patched.setattr(Environment, "write", full)
        with pytest.raises(StoreFull, match=r"not even one event.*snapshots.*larger map_size"):
            store.purge(before=5.0)
    assert store.purge(before=5.0).events == 5


# -- what ends a purge ----------------------------------------------------------------------------


class _Stop(Exception):
    pass


@pytest.mark.usefixtures("small_pieces")
def test_an_interrupted_purge_keeps_its_deletes_and_can_be_continued(
    store: LMDBEventStore,
) -> None:
    store.save_many(event(n) for n in range(40))

    def stop(done: int, _: int) -> None:
        if done >= 15:
            raise _Stop

    with pytest.raises(_Stop):
        store.purge(max_events=10, progress=stop)
    assert ids(store) == names(range(15, 40))
    assert_indexes_agree(store)
    assert store.purge(max_events=10).events == 15
    assert ids(store) == names(range(30, 40))


def damage_live(store: LMDBEventStore, change: Any) -> None:
    """Change the record of the event e12 without the store."""
    with writing(store) as (txn, databases):
        key = entry_of(txn, databases, "e12")
        txn.put(key, change(txn.get(key, db=databases.live)), db=databases.live)


def damage_run(store: LMDBEventStore, change: Any) -> None:
    """Change the run of the event e12 without the store."""
    with writing(store) as (txn, databases), txn.cursor(db=databases.runs) as cursor:
        assert cursor.set_range(entry_of(txn, databases, "e12"))
        key, value = cursor.item()
        txn.put(key, change(value), db=databases.runs)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.replace(b'"e12"', b'"e13"'),
        lambda record: record.replace(b'"e12"', b'"e92"'),
        lambda record: record.replace(b'"', b"!"),
        lambda record: record[:2],
    ],
)
def test_a_damaged_event_ends_the_purge_before_its_piece(
    tmp_path: Path, change: Any, *, sealed: bool
) -> None:
    with (
        pytest.MonkeyPatch.context() as patched,
        LMDBEventStore(tmp_path / "events", durability="none") as store,
    ):
        patched.setattr(purging, "PURGE_EVENTS", 5)
        patched.setattr(choice, "SPAN", 5)
        if sealed:
            small_runs(patched, 5)
        store.save_many(event(n, "f") for n in range(20))
        (damage_run if sealed else damage_live)(store, change)
        for _ in range(2):
            with pytest.raises(StoreDamaged):
                store.purge(before=18.0, flags=["f"])
            left = [int(name[1:]) for name in store._session.read(all_ids)]
            # A run that cannot be read at all is found before anything is deleted.
            assert sorted(left) in (list(range(10, 20)), list(range(20)) if sealed else None)


@pytest.mark.parametrize("led_to", [None, "e3"])
def test_an_event_whose_id_is_damaged_ends_the_purge(tmp_path: Path, led_to: str | None) -> None:
    """Otherwise the id would lead to nothing."""
    with LMDBEventStore(tmp_path / "events") as store:
        store.save_many(event(n) for n in range(600))
        with writing(store) as (txn, databases):
            if led_to is None:
                drop_entry(txn, databases, "e12")
            else:
                put_entry(txn, databases, "e12", entry_of(txn, databases, led_to))
        with pytest.raises(
            StoreDamaged, match=r"'e12' does not lead to its event; .*time 0.0 .*repair"
        ):
            store.purge(before=18.0)
        assert len(store) == 600


def all_ids(txn: Any, databases: Any) -> list[str]:
    names = [f"e{n}" for n in range(100)]
    return [name for name in names if entry_of(txn, databases, name) is not None]
