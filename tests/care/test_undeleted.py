"""A copy has no text of deleted events: not in records, postings, ids, or free pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, EventWriteException, LMDBEventStore, StoreDamaged
from lmdbstore.care import copy as copying
from lmdbstore.care import undeleted
from tests.tools.damages import small_runs
from tests.tools.indexes import assert_indexes_agree
from tests.tools.planting import writing

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = 200


def event(n: int) -> Event:
    return Event(f"id-{n}-", f"source-{n}-", float(n), ["all", f"flag-{n}-"], f"secret-{n}-\n")


def texts(n: int) -> list[bytes]:
    """Return what tells of an event."""
    return [b"id-%d-" % n, b"source-%d-" % n, b"flag-%d-" % n, b"secret-%d-" % n]


@pytest.fixture
def deleted(store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fill a store, delete events of runs and live ones, and return their numbers."""
    small_runs(monkeypatch, 32)
    monkeypatch.setattr(copying, "COPY_BYTES", 1 << 10)
    store.save_many(event(n) for n in range(EVENTS - 10))
    store.save_many(event(n) for n in range(EVENTS - 10, EVENTS))
    gone = [3, 31, 32, 40, 64, 65, 66, 127, 128, 185, 195, 199]
    for n in gone:
        store.delete(event(n).id)
    with writing(store) as (txn, databases):
        assert txn.stat(databases.dead)["entries"] >= 3
    return gone


@pytest.mark.parametrize("work", ["backup", "compact"])
def test_deleted_text_is_not_in_a_copy(
    store: LMDBEventStore, path: Path, tmp_path: Path, deleted: list[int], work: str
) -> None:
    events = list(store.search())
    data = path.joinpath("data.mdb").read_bytes()
    assert all(text in data for n in deleted for text in texts(n)), "else this shows nothing"
    copy = path if work == "compact" else tmp_path / "copy"
    if work == "backup":
        store.backup(copy)
        assert list(store.search()) == events
    else:
        store.compact()
    data = copy.joinpath("data.mdb").read_bytes()
    assert not [text for n in deleted for text in texts(n) if text in data]
    assert all(text in data for text in texts(4))
    with LMDBEventStore(copy) as copied:
        assert list(copied.search()) == events
        assert assert_indexes_agree(copied) == len(events)
        assert copied.verify(pages=True) == []
        with writing(copied) as (txn, databases):
            assert txn.stat(databases.dead)["entries"] == 0
        for flag in ("flag-3-", "flag-32-"):
            assert copied.count(flags=[flag]) == 0
        assert copied.count(flags=["flag-4-"]) == copied.count(source="source-4-") == 1
        assert copied.count(match="secret-33-") == 1
        copied.save(event(3))
        copied.delete(event(4).id)


def test_positions_stay_when_a_store_is_compacted(
    store: LMDBEventStore, deleted: list[int]
) -> None:
    """A search that was begun before goes on after it."""
    search = store.search(limit=None)
    first = [next(search) for _ in range(20)]
    store.compact()
    rest = list(search)
    numbers = [int(one.timestamp) for one in first + rest]
    assert numbers == [n for n in range(EVENTS) if n not in deleted]


def test_a_run_without_deleted_events_is_copied_as_it_is(
    store: LMDBEventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is decoded or packed."""
    store.save_many(event(n) for n in range(2000))

    def never(*_: object) -> None:
        pytest.fail("it was packed again")

    monkeypatch.setattr(undeleted, "pack", never)
    store.backup(tmp_path / "copy")
    with writing(store) as (txn, databases):
        runs = list(txn.cursor(db=databases.runs))
    with LMDBEventStore(tmp_path / "copy") as copied, writing(copied) as (txn, databases):
        assert list(txn.cursor(db=databases.runs)) == runs


@pytest.mark.usefixtures("deleted")
@pytest.mark.parametrize("work", ["backup", "compact"])
def test_a_damaged_run_is_not_copied(store: LMDBEventStore, tmp_path: Path, work: str) -> None:
    """It is refused, whether the run would be packed again or not."""
    with writing(store) as (txn, databases):
        runs = list(txn.cursor(db=databases.runs))
        dead = {end for end, _ in txn.cursor(db=databases.dead)}
    for end, value in runs[:2] + runs[-1:]:
        with writing(store) as (txn, databases):
            txn.put(end, value.replace(b"secret-", b"s3cret-", 1), db=databases.runs)
        with pytest.raises(EventWriteException, match="damaged") as raised:
            store.backup(tmp_path / "copy") if work == "backup" else store.compact()
        assert isinstance(raised.value.__cause__, StoreDamaged) == (end in dead)
        with writing(store) as (txn, databases):
            txn.put(end, value, db=databases.runs)
