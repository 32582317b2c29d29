"""Positions: of which store they are, after copies, repairs and restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lmdbstore import (
    Event,
    InvalidQuery,
    LMDBEventStore,
    StoreDamaged,
    repair,
    verify,
)
from lmdbstore.disk import format as fmt
from tests.tools.planting import writing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def copied(path: Path, tmp_path: Path) -> Iterator[tuple[LMDBEventStore, LMDBEventStore]]:
    """Yield a store and a copy of it, which both have one more event since."""
    with LMDBEventStore(path) as store:
        store.save_many([Event("a"), Event("b")])
        store.backup(tmp_path / "copy")
        with LMDBEventStore(tmp_path / "copy") as copy:
            store.save(Event("c"))
            copy.save(Event("d"))
            yield store, copy


def test_a_position_from_before_a_copy_is_one_of_the_copy(
    copied: tuple[LMDBEventStore, LMDBEventStore],
) -> None:
    store, copy = copied
    first, branch = positions(store)[1:3]
    assert [event.id for event in copy.changes(first)] == ["b", "d"]
    assert [event.id for event in copy.changes(branch)] == ["d"]
    assert [event.id for event in copy.changes(first, branch)] == ["b"]
    assert copy.changes(first).position == positions(copy)[1]
    assert [event.id for event in copy.follow(branch, timeout=0)] == ["d"]


def positions(store: LMDBEventStore) -> list[str]:
    found = store.changes("start")
    return [found.position, *(found.position for _ in found)]


def test_a_position_from_after_a_copy_is_refused_and_the_branch_is_named(
    copied: tuple[LMDBEventStore, LMDBEventStore],
) -> None:
    store, copy = copied
    branch = positions(store)[2]
    for call in (copy.changes, copy.follow, lambda after: copy.changes("start", after)):
        with pytest.raises(InvalidQuery, match=f"branched off before, at '{branch}'"):
            call(store.position())
    for after in positions(copy):
        with pytest.raises(InvalidQuery, match="another store has given it"):
            store.changes(after)


def test_a_copy_of_a_copy_knows_both(
    copied: tuple[LMDBEventStore, LMDBEventStore], tmp_path: Path
) -> None:
    store, copy = copied
    copy.backup(tmp_path / "again")
    copy.save(Event("e"))
    with LMDBEventStore(tmp_path / "again") as again:
        again.compact()
        again.save(Event("f"))
        assert [event.id for event in again.changes(positions(store)[2])] == ["d", "f"]
        assert [event.id for event in again.changes(positions(copy)[3])] == ["f"]
        for late in (store.position(), copy.position()):
            with pytest.raises(InvalidQuery, match="branched off before"):
                again.changes(late)
        again.backup(tmp_path / "last")
    with LMDBEventStore(tmp_path / "last") as last:
        for call in (last.changes, last.follow):
            with pytest.raises(InvalidQuery, match="another store has given it; it is a copy of '"):
                call("0:" + "5" * 32)


def test_a_repaired_store_keeps_its_positions(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save_many([Event("a"), Event("b")])
        store.delete("b")
        before, last = positions(store)[1], store.position()
    assert not repair(path).new_identity
    with LMDBEventStore(path) as store:
        assert store.position() == last
        store.save(Event("c"))
        assert [event.id for event in store.changes(before)] == ["c"]


def test_a_store_that_may_give_numbers_again_is_another_one(path: Path) -> None:
    """Its next local id was lost, and with it how far it was."""
    with LMDBEventStore(path) as store:
        store.save_many([Event("a"), Event("b"), Event("c")])
        first, _, third = positions(store)[1:]
        with store.cursor("all", timeout=0) as cursor, store.cursor("some", timeout=0) as some:
            assert len(list(cursor)) == 3
            cursor.ack()
            next(some)
            some.ack()
        store.delete("c")
        with writing(store) as (txn, databases):
            assert txn.delete(fmt.NEXT, db=databases.meta)
    assert verify(path)
    assert repair(path).new_identity
    with LMDBEventStore(path) as store:
        store.save(Event("d"))
        assert [event.id for event in store.changes(first)] == ["b", "d"]
        with pytest.raises(InvalidQuery, match="branched off before"):
            store.changes(third)
        assert [event.id for event in store.cursor("all", timeout=0)] == ["d"]
        assert [event.id for event in store.cursor("some", timeout=0)] == ["b", "d"]


def test_a_store_without_an_identity_has_no_positions(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
        with writing(store) as (txn, databases):
            assert txn.delete(fmt.IDENTITY, db=databases.meta)
        for call in (store.position, store.follow, lambda: store.changes("start")):
            with pytest.raises(StoreDamaged, match="repair it"):
                call()
        store.backup(path.with_name("copy"))
    with LMDBEventStore(path.with_name("copy")) as copy:
        assert [event.id for event in copy.changes("start")] == ["a"]
    repair(path)


def test_positions_survive_a_restart(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save_many([Event("a"), Event("b")])
        found = store.follow("start")
        next(found)
    with LMDBEventStore(path) as store:
        assert [event.id for event in store.follow(found.position, timeout=0)] == ["b"]
