"""A damaged event does not keep others from being saved, though sealing reads it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore, StoreDamaged
from lmdbstore.write import damage, seal
from tests.tools.planting import writing
from tests.tools.sealing import make_tiny_runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a path for a store that is damaged, so that it is not checked at the end."""
    return tmp_path / "events"


@pytest.fixture
def damaged(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LMDBEventStore]:
    """Yield a store in which the record of the event "b" is damaged, and will soon be sealed."""
    make_tiny_runs(monkeypatch)
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(
            Event(name, timestamp=float(n), content="text") for n, name in enumerate("abc")
        )
        with writing(store) as (txn, databases), txn.cursor(db=databases.live) as cursor:
            assert cursor.first()
            assert cursor.next()
            value = bytearray(cursor.value())
            value[-1] ^= 1
            assert cursor.put(cursor.key(), bytes(value))
        yield store


def later(number: int, first: int = 0) -> list[Event]:
    return [Event(f"e{n}", timestamp=100.0 + n) for n in range(first, first + number)]


def check(store: LMDBEventStore, events: list[Event]) -> None:
    assert [store.get(event.id) for event in events] == events
    with pytest.raises(StoreDamaged):
        store.get("b")
    assert {finding.kind for finding in store.verify()} == {"record changed"}


def test_single_saves_go_on(damaged: LMDBEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealing is tried again from time to time."""
    monkeypatch.setattr(damage, "REST", 7)
    tries = 0
    seal_due = seal.seal_due

    def counted(*arguments: object) -> None:
        nonlocal tries
        tries += 1
        seal_due(*arguments)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(damage, "seal_due", counted)
    events = later(10 * seal.RUN)
    for event in events:
        damaged.save(event)
    check(damaged, events)
    assert 2 <= tries < len(events)


def test_saves_of_several_threads_go_on(damaged: LMDBEventStore) -> None:
    events = later(40)
    threads = [
        threading.Thread(target=lambda some=some: [*map(damaged.save, some)])
        for some in (events[:10], events[10:20], events[20:30], events[30:])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(damaged, events)


def test_many_events_are_saved_at_the_second_try(damaged: LMDBEventStore) -> None:
    events = later(5 * seal.RUN)
    with pytest.raises(StoreDamaged) as caught:
        damaged.save_many(events)
    assert type(caught.value) is StoreDamaged
    with pytest.raises(StoreDamaged):  # it is not taken for damage that sealing met
        damaged.delete("b")
    assert len(damaged) == 3
    damaged.save_many(events)
    check(damaged, events)


def test_sealing_all_reports_it(damaged: LMDBEventStore) -> None:
    with pytest.raises(StoreDamaged):
        damaged.seal()
    check(damaged, [damaged.get("a"), damaged.get("c")])
