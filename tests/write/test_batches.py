"""`save_many`, batch by batch: what is in memory, and what a late duplicate undoes."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import lmdb
import pytest

from lmdbstore import DuplicateEvent, Event, LMDBEventStore
from lmdbstore.engine.open_file import OpenFile
from lmdbstore.records.record import Row
from lmdbstore.write import save as saving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmdbstore.records.events import Events
    from lmdbstore.write.transaction import WriteTransaction


def test_a_batch_of_events_is_in_memory_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the events nor the written rows stay in memory while the next are read."""
    monkeypatch.setattr(saving, "BATCH_EVENTS", 100)
    alive: list[int] = []
    place: Callable[..., None] = vars(saving)["place_or_keep"]

    def measured(txn: WriteTransaction, events: Events) -> None:
        place(txn, events)
        parts = [known for known in gc.get_objects() if isinstance(known, saving.Batch)]
        assert not any(isinstance(known, Row) for known in gc.get_objects())
        alive.append(sum(len(known.rows.headers) for known in parts))

    monkeypatch.setattr(saving, "place_or_keep", measured)

    def events() -> Iterator[Event]:
        for number in range(1000):
            if number == 550:
                objects = gc.get_objects()
                mine = [one for one in objects if isinstance(one, Event) and one.source == "once"]
                assert len(mine) == 50, "those of this part"
            yield Event(f"e{number}", "once", tags=["shared"])

    gc.collect()
    with LMDBEventStore(path, durability="none") as store:
        assert store.save_many(events()) == len(store) == 1000
    assert alive == list(range(1000, 0, -100))


def test_a_duplicate_in_a_late_part_undoes_the_earlier_parts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All parts are in one transaction."""
    monkeypatch.setattr(saving, "BATCH_EVENTS", 10)
    with LMDBEventStore(path, durability="none") as store:
        store.save(Event("e75"))
        with pytest.raises(DuplicateEvent, match="e75"):
            store.save_many(Event(f"e{n}") for n in range(100))
        assert len(store) == 1
        store.save_many(Event(f"f{n}", timestamp=float(-n), tags=["f"]) for n in range(100))
        assert store.count(flags=["f"]) == 100


def test_events_keep_their_order_when_the_map_grows_in_the_middle(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are written again from the first part on."""
    monkeypatch.setattr(saving, "BATCH_EVENTS", 10)
    monkeypatch.setattr(OpenFile, "make_room", lambda *_: "")
    place: Callable[..., None] = vars(saving)["place_or_keep"]
    parts: list[int] = []

    def full_once(txn: WriteTransaction, events: Events) -> None:
        parts.append(len(events.keys))
        if len(parts) == 3:
            raise lmdb.MapFullError("full")
        place(txn, events)

    monkeypatch.setattr(saving, "place_or_keep", full_once)
    with LMDBEventStore(path, map_size=1 << 24, durability="none") as store:
        store.save_many(Event(f"e{n:02}", timestamp=1.0) for n in range(50))
        assert len(parts) == 3 + 5
        assert [event.id for event in store.search()] == [f"e{n:02}" for n in range(50)]
