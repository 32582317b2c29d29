"""While `save_many` writes, other threads go on, and as little as possible is done in its write."""

from __future__ import annotations

import builtins
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore
from lmdbstore.records import events as records
from lmdbstore.write import save as saving
from lmdbstore.write.seal import RUN
from lmdbstore.write.transaction import WriteTransaction
from tests.tools.children import LONG

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = 7


def events(number: int) -> list[Event]:
    chance = random.Random(number)
    return [
        Event(f"{chance.random()}", "s", chance.random() * 1e6, [f"f{n % FLAGS}"], "x" * 50)
        for n in range(number)
    ]


def test_a_batch_is_sorted_before_its_transaction(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writers and strict readers of all processes wait for the transaction."""
    inside: list[int] = []
    outside: list[int] = []
    writer = store._session._environment.writer

    def noted(values: Any, **how: Any) -> list[Any]:
        found = builtins.sorted(values, **how)
        (inside if writer.writing_here else outside).append(len(found))
        return found

    monkeypatch.setattr(saving, "sorted", noted, raising=False)
    monkeypatch.setattr(records, "sorted", noted, raising=False)
    assert store.save_many(events(25_000)) == 25_000
    assert max(inside, default=0) <= 3 * RUN, "more than a run and what is merged into it"
    assert sum(outside) >= 2 * 25_000


@pytest.mark.parametrize("order", [1, -1])
def test_what_was_sorted_before_is_in_order(store: LMDBEventStore, order: int) -> None:
    made = sorted(events(2500), key=lambda event: order * event.timestamp)
    store.save_many(made[:2000:2])
    store.save_many(made[1:2000:2] + made[2000:])
    by_time = sorted(made, key=lambda event: event.timestamp)
    assert [event.id for event in store.search()] == [event.id for event in by_time]
    for n in range(FLAGS):
        expected = [event.id for event in by_time if event.tags == [f"f{n}"]]
        assert [event.id for event in store.search(flags=[f"f{n}"])] == expected
    assert store.verify() == []


def test_threads_and_snapshot_readers_go_on_inside_the_transaction(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction does not end before another thread has read many times."""
    done, stop, reads = threading.Event(), threading.Event(), list[bool]()
    inside = threading.Event()
    put_many = WriteTransaction.put_many

    def waits(*arguments: Any, **how: Any) -> int:
        inside.set()
        assert done.wait(LONG)
        return put_many(*arguments, **how)

    with LMDBEventStore(path, durability="none") as store:
        store.save(Event("a"))
        with LMDBEventStore(path, durability="none", consistency="snapshot") as reader:

            def read() -> None:
                inside.wait(LONG)
                while len(reads) < 100 and not stop.is_set():
                    reads.append("a" in reader)
                done.set()

            thread = threading.Thread(target=read)
            thread.start()
            monkeypatch.setattr(WriteTransaction, "put_many", waits)
            store.save_many(events(5000))
            stop.set()
            thread.join()
            assert reads == [True] * 100
            assert len(reader) == 5001
