"""Objects that a program forgets: half-read searches cost nothing, and garbage is released."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.rounds import Rounds

BATCH = 200  # events
LONG = 60  # seconds; ends a hang, decides nothing


@pytest.mark.endurance("Events are saved and deleted beside forgotten searches", rounds=30)
def test_forgotten_searches_do_not_make_the_file_grow(path: Path, rounds: Rounds) -> None:
    """The file keeps the size that it had after the first rounds."""
    searches: list[Any] = []
    largest = 0
    with LMDBEventStore(path, durability="none") as store:
        for number in rounds:
            store.save_many(
                Event(f"{number} {n}", timestamp=float(number), tags=["f"], content="x" * 400)
                for n in range(BATCH)
            )
            for query in ({}, {"flags": ["f"]}, {"match": "x+", "order": "desc"}):
                search = store.search(**query)
                next(search)
                searches.append(search)
            for n in range(BATCH if number else 0):
                store.delete(f"{number - 1} {n}")
            used = store.stats().map_used
            if number < 10:
                largest = max(largest, used)
            assert used <= largest * 5 // 4, (number, used, largest)
            assert store.stats().readers == 0
            del searches[:-300]
            rounds.add("events saved and deleted", BATCH)
            rounds.add("searches forgotten", 3)


class Circle:
    """An object that refers to itself, so that only the garbage collector can release it."""

    def __init__(self, thing: object) -> None:
        """Refer to a thing, too."""
        self.thing = thing
        self.itself = self


@pytest.mark.endurance("Searches and snapshots become garbage, in several threads", rounds=1)
def test_what_the_collector_finds_is_given_back(path: Path, rounds: Rounds) -> None:
    """Also where it runs inside of another call into the store."""
    errors: list[BaseException] = []
    thresholds = gc.get_threshold()
    with LMDBEventStore(path, durability="none", max_readers=300) as store:
        store.save_many(Event(f"e{n}", tags=["f"], content=f"text {n}") for n in range(1500))

        def run(seed: int) -> None:
            try:
                for n in range(60):
                    view = store.snapshot()
                    search = (view if n % 2 else store).search(match="text")
                    next(search)
                    Circle((view, search))
                    if n % 20 == seed:
                        store.save(Event(tags=["new"]))
            except BaseException as error:
                errors.append(error)

        try:
            for _ in rounds:
                gc.set_threshold(50, 2, 2)
                threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(LONG)
                    assert not thread.is_alive()
                assert not errors
                gc.collect()
                assert store.stats().readers == 0
                assert store.count(flags=["f"]) == 1500
                rounds.add("snapshots and searches dropped", 4 * 60)
        finally:
            gc.set_threshold(*thresholds)
