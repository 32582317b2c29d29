"""The figures of a store, over live events and runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lmdbstore import Event, LMDBEventStore
from tests.tools.damages import small_runs

if TYPE_CHECKING:
    import pytest


def figures(store: LMDBEventStore) -> tuple[int, float | None, float | None, int, int, int]:
    return store.stats()[:6]


def test_figures_are_over_live_events_and_runs(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_runs(monkeypatch, 16)
    assert figures(store) == (0, None, None, 0, 0, 0)
    store.save(Event("live", timestamp=5.0, tags=["a", "live"]))
    assert figures(store) == (1, 5.0, 5.0, 2, 1, 0)
    store.save_many(Event(f"e{n}", timestamp=float(n), tags=["a", f"f{n % 3}"]) for n in range(48))
    assert figures(store) == (49, 0.0, 47.0, 5, 0, 4)
    store.save(Event("early", timestamp=-3.0, tags=["early", "x" * 600]))
    assert figures(store) == (50, -3.0, 47.0, 7, 1, 4)
    store.save(Event("late", timestamp=99.0, tags=["early"]))
    assert figures(store) == (51, -3.0, 99.0, 7, 2, 4)
    for name in ("early", "late", "e0", "e47", "live"):
        store.delete(name)
    assert figures(store) == (46, 1.0, 46.0, 4, 0, 3)
    assert store.stats().flags == len(store.flags())
    assert (store.stats().checkpoints, store.stats().cursors) == (0, 0)
    for name in ("one", "two", "two"):
        store.save_many([], checkpoint=(name, ""))
    assert (store.stats().checkpoints, store.stats().cursors) == (2, 0)
    store.purge(max_events=0)
    assert figures(store) == (0, None, None, 0, 0, 0)


def test_times_beyond_the_year_5000_are_pointed_out(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are mostly milliseconds; live and sealed ones count, and deleted ones do not."""
    small_runs(monkeypatch, 16)
    year = 95_617_584_000.0
    store.save(Event(id="before", timestamp=math.nextafter(year, 0.0)))
    assert store.stats().beyond_year_5000 == 0
    store.save_many(Event(id=f"e{n}", timestamp=1.7e12 + n) for n in range(40))
    store.save(Event(id="first", timestamp=year))
    assert store.stats().beyond_year_5000 == 41
    store.delete("e3")
    assert store.stats().beyond_year_5000 == 40
    store.purge(max_events=0)
    assert store.stats().beyond_year_5000 == 0
