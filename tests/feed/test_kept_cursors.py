"""Named cursors and the care of a store: what keeps them, and what they hold from a purge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    EventWriteException,
    LMDBEventStore,
    ReadOnlyStore,
    StoreDamaged,
    repair,
)
from lmdbstore.care import purge as purges
from tests.tools.cursors import events, ids
from tests.tools.planting import writing

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kept", ["reopened", "backup", "compact", "repair", "seal"])
def test_care_keeps_a_cursor(path: Path, kept: str) -> None:
    with LMDBEventStore(path) as store:
        store.save_many(events(10))
        with store.cursor("a", flags=["x"], hold=True, timeout=0) as cursor:
            assert [next(cursor).id, next(cursor).id] == ["e1", "e3"]
            cursor.ack()
        before = store.cursors()["a"]
        if kept == "backup":
            store.backup(path.with_name("copy"))
        if kept in ("compact", "seal"):
            getattr(store, kept)()
    if kept == "repair":
        assert repair(path).left_out == []
    with LMDBEventStore(path.with_name("copy") if kept == "backup" else path) as store:
        assert store.verify(pages=True) == []
        found = store.cursors()["a"]
        assert found.position.partition(":")[0] == before.position.partition(":")[0]
        assert found._replace(position="", lag=before.lag) == before._replace(position="")
        assert ids(store.cursor("a", timeout=0)) == ["e5", "e7", "e9"]


def test_a_damaged_cursor_is_named(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.cursor("a").close()
        with writing(store) as (txn, databases):
            txn.put(b"a", txn.get(b"a", db=databases.cursors)[:-1] + b"!", db=databases.cursors)
        for call in (lambda: store.cursor("a"), store.cursors, lambda: store.purge(before=1.0)):
            with pytest.raises(StoreDamaged, match="the cursor 'a' is not what was written"):
                call()
    repair(path)


def test_a_store_that_only_reads_lists_cursors(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save_many(events(3))
        store.cursor("a").close()
    with LMDBEventStore(path, readonly=True) as reader:
        assert reader.cursors()["a"].lag.events == 3
        with pytest.raises(ReadOnlyStore):
            reader.cursor("b")
        with reader.cursor("a", timeout=0) as cursor, pytest.raises(ReadOnlyStore):
            next(cursor)


# -- purges ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [{"before": 1.0}, {"max_events": 0}, {"max_bytes": 0}])
@pytest.mark.parametrize("dry_run", [True, False])
def test_purge_leaves_what_a_cursor_holds_and_says_so(
    store: LMDBEventStore, limit: dict[str, Any], *, dry_run: bool
) -> None:
    saved = events(10)
    store.save_many(saved)
    with store.cursor("free", timeout=0), store.cursor("b", hold=True, timeout=0) as cursor:
        for _ in range(4):
            next(cursor)
        assert store.purge(**limit, dry_run=True).events == 0
        cursor.ack()
        purged = store.purge(**limit, dry_run=dry_run)
        assert (purged.events, purged.held) == (4, 6)
        if dry_run:
            return
        assert list(store.changes("start")) == saved[4:]
        assert ids(cursor) == ids(saved)[4:]
        cursor.ack()
    assert store.purge(**limit).events == 6
    assert len(store) == 0


def test_purge_of_what_no_cursor_holds_says_nothing(store: LMDBEventStore) -> None:
    store.save_many(events(10))
    store.cursor("a", hold=True).close()
    store.cursor("a", hold=False).close()
    assert store.purge(max_events=3)[:1] == (7,)
    assert store.purge(max_events=3).held == 0


def test_a_cursor_that_begins_to_hold_stops_a_purge(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sees every event that was there when it was made."""
    monkeypatch.setattr(purges, "PURGE_EVENTS", 4)
    store.save_many(events(20))
    there: list[int] = []

    def progress(_: int, __: int) -> None:
        if not there:
            store.cursor("a", hold=True).close()
            there.append(len(store))

    with pytest.raises(EventWriteException, match="began to hold"):
        store.purge(before=1.0, progress=progress)
    assert len(store) == there[0] == 16
    assert len(ids(store.cursor("a", timeout=0))) == 16
    assert store.purge(before=1.0).held == 16


def test_an_acknowledgement_works_in_a_full_store(path: Path) -> None:
    with LMDBEventStore(path, map_size=1 << 20) as store:
        with store.cursor("a", timeout=0, hold=True) as cursor:
            for size in (1000, 1):  # until not even a small one fits
                with pytest.raises(EventWriteException):
                    store.save_many(Event(content="x" * size) for _ in range(1 << 14))
                with pytest.raises(EventWriteException):  # noqa: PT012
                    while True:
                        store.save(Event(content="x" * size))
            assert len(list(cursor)) == len(store)
            cursor.ack()
        assert store.purge(max_events=0).held == 0
        store.save(Event())
