"""A damaged meta page brings back no deleted events: each state notes its transaction."""

from __future__ import annotations

import io
import os
import random
import shutil
import struct
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import lmdb
import pytest

from lmdbstore import Event, FindingKind, LMDBEventStore, Repaired, StoreOpenError, repair, verify
from lmdbstore.disk import format as fmt
from lmdbstore.disk.last_state import last_state
from lmdbstore.disk.raw_pages import DB_ROOT, NO_ROOT, Pages
from lmdbstore.opening import inspect_file
from lmdbstore.processes.barrier import write_lock
from tests.tools.children import in_child
from tests.tools.planting import writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmdbstore.disk.folder import StoreFolder


PAGE = 4096
MAIN_ROOT, TRANSACTION = 128, 144  # in a meta page
Roots = dict[bytes, int]


class Whole(NamedTuple):
    """The bytes of a store, its events, and the offsets of its last two meta pages."""

    data: bytes
    events: list[Event]
    last: int
    before: int

    def number(self, at: int) -> int:
        return int(struct.unpack_from("Q", self.data, at)[0])

    @property
    def main(self) -> int:
        return self.number(self.last + MAIN_ROOT)

    def roots(self, main: int) -> Roots:
        """Return the roots of the named databases in a page that may be the root of their tree."""
        found = Pages(io.BytesIO(self.data), PAGE, lambda _: None).trees(main)
        return {name: tree.root for name, tree in found.items()}

    def states(self) -> tuple[Roots, Roots]:
        """Return the roots of the last state, and of the state before."""
        return self.roots(self.main), self.roots(self.number(self.before + MAIN_ROOT))

    def former(self) -> list[int]:
        """Return the pages with the named databases of former states."""
        names = {b"meta", b"live"}
        pages = range(2, len(self.data) // PAGE)
        return [n for n in pages if n != self.main and names <= self.roots(n).keys()]

    def noted(self) -> int:
        """Return the offset where the last state notes its transaction."""
        number = fmt.encode_checked(self.number(self.last + TRANSACTION))
        assert self.data.count(fmt.TRANSACTION + number) == 1
        return self.data.index(fmt.TRANSACTION + number) + len(fmt.TRANSACTION)


def whole_of(path: Path, events: int, deletes: list[int]) -> Whole:
    """Make a store whose former states have events that were deleted later.

    Its seed is always the same: it decides which pages a state has.
    """
    with (
        patch.object(os, "urandom", random.Random(events).randbytes),
        LMDBEventStore(path, durability="none") as store,
    ):
        store.save_many(Event(f"e{n}", timestamp=n, tags=["all"]) for n in range(events))
        for n in deletes:
            store.delete(f"e{n}")
    return whole_in(path)


def whole_in(path: Path) -> Whole:
    with LMDBEventStore(path) as store:
        left = list(store.search())
    data = (path / "data.mdb").read_bytes()
    metas = sorted((0, PAGE), key=lambda at: struct.unpack_from("Q", data, at + TRANSACTION)[0])
    return Whole(data, left, metas[1], metas[0])


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Whole]:
    path = tmp_path_factory.mktemp("large") / "events"
    return path, whole_of(path, 300, list(range(0, 300, 4)))


@pytest.fixture
def whole(path: Path, large: tuple[Path, Whole]) -> Whole:
    """Copy a large store, as its many transactions take time."""
    shutil.copytree(large[0], path)
    return large[1]


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> list[Whole]:
    """Make small stores, whose free pages hold mostly former states."""
    chance = random.Random(5)
    folder = tmp_path_factory.mktemp("wholes")
    made = []
    for number in range(40):
        events = chance.choice([20, 60, 150])
        deletes = chance.sample(range(events), chance.randrange(3, 20))
        made.append(whole_of(folder / f"{number}", events, deletes))
    assert {whole.number(whole.last + TRANSACTION) % 4 for whole in made} == {0, 1, 2, 3}
    return made


def roots_read(data: bytes | bytearray) -> Roots:
    """Return the roots of the named databases that are found in a file of these bytes."""
    _, trees = last_state(io.BytesIO(data), lambda _: None, (b"live", b"runs"))
    return {name: tree.root for name, tree in trees.items()}


def changed(whole: Whole, at: int, number: int) -> bytearray:
    data = bytearray(whole.data)
    struct.pack_into("Q", data, at, number)
    return data


def repaired(path: Path, data: bytes | bytearray) -> tuple[Repaired, list[Event]]:
    """Repair a store of these bytes; return the report and the events."""
    (path / "data.mdb").write_bytes(data)
    found = repair(path)
    assert not verify(path, pages=True)
    with LMDBEventStore(path) as store:
        return found, list(store.search())


def refused(path: Path, whole: Whole, data: bytes | bytearray) -> None:
    """Check that a store of these bytes is not opened, except to show what it holds."""
    (path / "data.mdb").write_bytes(data)

    def child() -> None:
        for readonly in (False, True):
            try:
                with LMDBEventStore(path, readonly=readonly) as store:
                    assert list(store.search()) == whole.events
            except StoreOpenError as error:
                assert "repair it" in str(error) or "could not be opened" in str(error)  # noqa: PT017

    in_child(child)


def last_deleted(events: list[Event]) -> list[Event]:
    """Return the events without the one that is only in the state before the last."""
    assert [event.id for event in events].count("e296") == 1
    return [event for event in events if event.id != "e296"]


def is_one_bit(a: int, b: int) -> bool:
    return (a ^ b).bit_count() == 1


def test_a_former_root_is_not_used(path: Path, whole: Whole) -> None:
    former = whole.former()
    assert {is_one_bit(number, whole.main) for number in former} == {True, False}
    for number in former:
        data = changed(whole, whole.last + MAIN_ROOT, number)
        refused(path, whole, data)
        (path / "data.mdb").write_bytes(data)
        assert verify(path, pages=True)
        found, events = repaired(path, data)
        details = [left.detail for left in found.left_out]
        if is_one_bit(number, whole.main):
            assert events == whole.events
            assert [f"points to page {number} " in detail for detail in details] == [True]
        else:
            assert last_deleted(events) == whole.events
            assert "notes that it is of" in details[0]


def test_no_former_root_of_any_store_is_used(wholes: list[Whole]) -> None:
    """Some of them lead to pages that now belong to the last state."""
    tried = mixed = 0
    for whole in wholes:
        last, before = whole.states()
        for number in whole.former():
            expected = last if is_one_bit(number, whole.main) else before
            assert roots_read(changed(whole, whole.last + MAIN_ROOT, number)) == expected
            tried += 1
            mixed += bool(whole.roots(number).items() & last.items())
    assert tried > 50
    assert mixed > 5


def test_one_flipped_bit_of_a_number_loses_nothing_in_any_store(wholes: list[Whole]) -> None:
    for whole in wholes:
        last, _ = whole.states()
        for at in (whole.last + MAIN_ROOT, whole.last + TRANSACTION, whole.before + TRANSACTION):
            for bit in range(64):
                data = changed(whole, at, whole.number(at) ^ 1 << bit)
                assert roots_read(data) == last, (at, bit)
        for bit in range(96):
            data = bytearray(whole.data)
            data[whole.noted() + bit // 8] ^= 1 << bit % 8
            assert roots_read(data) == last, bit


@pytest.mark.parametrize("bit", range(0, 64, 3))
def test_one_flipped_bit_of_a_root_loses_nothing(path: Path, whole: Whole, bit: int) -> None:
    """The last write is kept, too."""
    data = changed(whole, whole.last + MAIN_ROOT, whole.main ^ 1 << bit)
    found, events = repaired(path, data)
    assert events == whole.events
    assert [f"instead of page {whole.main}" in left.detail for left in found.left_out] == [True]


def test_the_state_before_is_used_if_the_root_is_wrong(path: Path, whole: Whole) -> None:
    live = last_state(io.BytesIO(whole.data), pytest.fail)[1][b"live"].root
    for number in (0, 1, live, len(whole.data) // PAGE + 3, 0x7777777777777777, NO_ROOT):
        if is_one_bit(number, whole.main):
            continue
        found, events = repaired(path, changed(whole, whole.last + MAIN_ROOT, number))
        assert last_deleted(events) == whole.events
        assert found.left_out or number == NO_ROOT


@pytest.mark.parametrize("bit", [0, 1, 2, 7, 31, 63])
@pytest.mark.parametrize("meta", ["last", "before"])
def test_one_flipped_bit_of_a_transaction_number_is_refused_and_repaired(
    path: Path, whole: Whole, meta: str, bit: int
) -> None:
    """LMDB may use the state before as the last one, or report a wrong number for the last."""
    at = getattr(whole, meta) + TRANSACTION
    data = changed(whole, at, whole.number(at) ^ 1 << bit)
    (path / "data.mdb").write_bytes(data)
    for readonly in (False, True):
        with pytest.raises(StoreOpenError, match=r"(do not follow|it notes) .*repair it"):
            LMDBEventStore(path, readonly=readonly)
    assert {finding.kind for finding in verify(path)} <= {FindingKind.PAGE, FindingKind.TRANSACTION}
    found, events = repaired(path, data)
    assert events == whole.events
    assert "notes that it is of" in found.left_out[-1].detail


@pytest.mark.parametrize("bit", range(0, 96, 5))
def test_one_flipped_bit_of_the_noted_transaction_is_refused_and_repaired(
    path: Path, whole: Whole, bit: int
) -> None:
    data = bytearray(whole.data)
    data[whole.noted() + bit // 8] ^= 1 << bit % 8
    (path / "data.mdb").write_bytes(data)
    for readonly in (False, True):
        with pytest.raises(StoreOpenError, match="may be a former state; repair it"):
            LMDBEventStore(path, readonly=readonly)
    for pages in (False, True):
        (finding,) = verify(path, pages=pages)
        assert finding[:2] == (FindingKind.TRANSACTION, "data.mdb")
    found, events = repaired(path, data)
    assert events == whole.events
    assert len(found.left_out) == 1


@pytest.mark.parametrize("damage", ["lost", "short"])
def test_a_state_without_a_noted_transaction_is_used(path: Path, damage: str) -> None:
    """The rest of it is sound, so it is likely that only the note is damaged."""
    with LMDBEventStore(path) as store:
        store.save_many([Event("a"), Event("b")])
        store.delete("b")
        with writing(store) as (txn, _):
            txn.delete(fmt.TRANSACTION)
            if damage == "short":
                txn.put(fmt.TRANSACTION, b"7")
        assert [finding.kind for finding in store.verify()] == [FindingKind.TRANSACTION]
    with pytest.raises(StoreOpenError, match="may be a former state; repair it"):
        LMDBEventStore(path)
    assert [finding.kind for finding in verify(path)] == [FindingKind.TRANSACTION]
    found, events = repaired(path, (path / "data.mdb").read_bytes())
    assert [event.id for event in events] == ["a"]
    assert found.left_out


@pytest.mark.parametrize(("older", "kinds"), [(1, [FindingKind.TRANSACTION]), (0, []), (-2, [])])
def test_verify_finds_an_older_number_while_the_store_is_open(
    path: Path, older: int, kinds: list[FindingKind]
) -> None:
    """LMDB shows a later number while other processes write."""
    with LMDBEventStore(path) as store:
        with writing(store) as (txn, _):
            txn.put(fmt.TRANSACTION, fmt.encode_checked(txn.id() - older))
        assert [finding.kind for finding in store.verify()] == kinds
        store.save(Event())
        assert store.verify() == []


def test_another_version_is_not_damage_whatever_it_notes(tmp_path: Path) -> None:
    with LMDBEventStore(tmp_path / "other") as store, writing(store) as (txn, databases):
        txn.put(fmt.FORMAT, fmt.encode_checked(77), db=databases.meta)
        txn.delete(fmt.TRANSACTION)
    for work in (verify, repair, LMDBEventStore):
        with pytest.raises(StoreOpenError, match="format version 77"):
            work(tmp_path / "other")


def test_a_meta_page_that_was_not_written_is_found(path: Path) -> None:
    """The page before it still exists if a snapshot has kept its pages from being reused."""
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"e{n}") for n in range(9))
        with store.snapshot():
            store.delete("e0")
            old = (path / "data.mdb").read_bytes()
            for n in (1, 2, 3, 4):
                store.delete(f"e{n}")
            data = bytearray((path / "data.mdb").read_bytes())
    number = struct.Struct("Q")
    at = max((0, PAGE), key=lambda at: number.unpack_from(data, at + TRANSACTION)[0])
    data[at : at + PAGE] = old[at : at + PAGE]
    (path / "data.mdb").write_bytes(data)
    with pytest.raises(StoreOpenError, match=r"do not follow each other.*repair it"):
        LMDBEventStore(path)
    for pages in (False, True):
        (finding,) = verify(path, pages=pages)
        assert finding[:2] == (FindingKind.TRANSACTION, "data.mdb")
        assert "do not follow each other" in finding.detail
    found, events = repaired(path, data)
    assert {event.id for event in events} == {f"e{n}" for n in (4, 5, 6, 7, 8)}
    assert found.old_file is not None


def test_a_file_that_changes_while_it_is_read_is_read_again(
    path: Path, whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last attempt holds the write lock, as the meta pages are read one after the other."""
    look = inspect_file._look_at
    looks: list[int] = []
    locks: list[str] = []

    def torn(descriptor: int) -> Any:
        looks.append(descriptor)
        found = look(descriptor)
        assert found is not None
        is_last = bool(locks) or len(looks) > seen
        return found if is_last else found._replace(transactions=[7, 12])

    def lock(folder: StoreFolder, **how: Any) -> Any:
        locks.append(folder.path)
        return write_lock(folder, **how)

    monkeypatch.setattr(inspect_file, "_look_at", torn)
    monkeypatch.setattr(inspect_file, "write_lock", lock)
    for seen in (0, 1, inspect_file.LOOKS - 1, inspect_file.LOOKS, 99):
        looks.clear()
        locks.clear()
        with LMDBEventStore(path, readonly=True) as store:
            assert list(store.search()) == whole.events
        assert len(looks) == min(seen, inspect_file.LOOKS) + 1
        assert len(locks) == (seen >= inspect_file.LOOKS)


def test_a_state_that_notes_an_older_number_is_not_used(path: Path, whole: Whole) -> None:
    """A former state looks like that."""
    data = bytearray(whole.data)
    data[whole.noted() : whole.noted() + 12] = fmt.encode_checked(0)
    found, events = repaired(path, data)
    assert last_deleted(events) == whole.events
    assert "notes that it is of 0" in found.left_out[0].detail


@pytest.mark.parametrize("change", ["saved", "deleted"])
def test_a_former_root_of_the_live_events_is_reported(path: Path, change: str) -> None:
    """The page number of its root is damaged, but not the root of the main database."""
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"e{n}", timestamp=n) for n in range(50))
        if change == "saved":
            store.save(Event("late"))
        else:
            store.delete("e7")
    whole = whole_in(path)
    last, before = whole.states()
    place = whole.data.index(b"live", whole.main * PAGE) + len(b"live") + DB_ROOT
    assert whole.number(place) == last[b"live"] != before[b"live"]
    data = changed(whole, place, before[b"live"])
    (path / "data.mdb").write_bytes(data)
    assert verify(path)
    found, events = repaired(path, data)
    assert events == [event for event in whole.events if event.id != "late"]
    kinds = {left.kind for left in found.left_out}
    assert FindingKind.COUNT in kinds
    assert (FindingKind.RECORD_UNCHECKED in kinds) == (change == "deleted")
    assert found.old_file is not None


@pytest.mark.parametrize("state", ["last", "before"])
def test_a_lost_page_of_databases_loses_only_its_state(
    path: Path, whole: Whole, state: str
) -> None:
    root = whole.number(getattr(whole, state) + MAIN_ROOT)
    data = bytearray(whole.data)
    data[root * PAGE : (root + 1) * PAGE] = bytes(PAGE)
    found, events = repaired(path, data)
    assert (events if state == "before" else last_deleted(events)) == whole.events
    assert found.left_out


def test_a_store_that_lmdb_has_compacted_is_sound(path: Path, tmp_path: Path) -> None:
    """Its transactions count from one again, and it notes a later one until the next write."""
    with LMDBEventStore(path) as store:
        events = [Event(f"e{n}", timestamp=float(n), tags=["all"]) for n in range(20)]
        for event in events:
            store.save(event)
        (tmp_path / "copy").mkdir()
        copied: Any = store._session._environment.lmdb
        copied.copy(str(tmp_path / "copy"), compact=True)
    for step in ("opened", "written to", "repaired"):
        if step == "repaired":
            repair(tmp_path / "copy")
        with LMDBEventStore(tmp_path / "copy") as store:
            assert store.verify() == []
            assert list(store.search()) == events
            if step == "written to":
                store.delete(events.pop().id)


def test_a_file_that_another_program_wrote_to_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events"
    LMDBEventStore(path).close()
    with lmdb.open(str(path), max_dbs=8) as environment:
        environment.open_db(b"other")
    with pytest.raises(StoreOpenError, match=r"transaction 2, .* of 1, .*repair it"):
        LMDBEventStore(path)


def test_every_write_notes_its_transaction(path: Path) -> None:
    """The store is opened after each write to see it."""
    work: tuple[Callable[[LMDBEventStore], object], ...] = (
        lambda store: store.save(Event("a", tags=["f"])),
        lambda store: store.save_many(Event(f"e{n}") for n in range(1000)),
        lambda store: store.delete("a"),
        lambda store: store.seal(),
        lambda store: store.purge(max_events=10),
        lambda store: store.compact(),
        lambda store: store.delete("e999"),
    )
    for step in work:
        with LMDBEventStore(path) as store:
            step(store)
        with LMDBEventStore(path) as store:
            number = store._session._environment.lmdb.info()["last_txnid"]
            assert store.verify(pages=True) == []
        data = (path / "data.mdb").read_bytes()
        assert fmt.TRANSACTION + fmt.encode_checked(number) in data


def test_an_empty_store_is_repaired_without_a_finding(path: Path) -> None:
    LMDBEventStore(path).close()
    found, events = repaired(path, (path / "data.mdb").read_bytes())
    assert (found.left_out, events) == ([], [])


def test_a_sound_store_is_read_without_a_message(whole: Whole) -> None:
    _, trees = last_state(io.BytesIO(whole.data), pytest.fail, (b"live", b"runs"))
    assert trees[b"live"].entries == len(whole.events)


def test_a_former_value_of_a_run_brings_no_deleted_event_back(path: Path) -> None:
    """The page number in its entry is damaged, and leads to the run as it was before."""
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"e{n}", timestamp=n) for n in range(600))
        with writing(store) as (txn, databases):
            _, before = next(iter(txn.cursor(db=databases.runs)))
        store.purge(max_events=400)
        events = list(store.search())
        with writing(store) as (txn, databases):
            end, _ = next(iter(txn.cursor(db=databases.runs)))
            txn.put(end, before, db=databases.runs)
    assert verify(path)
    repair(path)
    with LMDBEventStore(path) as store:
        assert [event for event in store.search() if event not in events] == []
