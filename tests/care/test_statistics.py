"""The figures of a store, over live events and runs."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore
from tests.tools.children import ROOT
from tests.tools.damages import small_runs

if TYPE_CHECKING:
    from pathlib import Path


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


def test_free_bytes_are_what_new_events_use(store: LMDBEventStore) -> None:
    """The parts add up to what the file has, and the file does not grow while some is free."""
    events = [Event(f"e{n}", timestamp=float(n), content="x" * 500) for n in range(2000)]
    store.save_many(events)
    full = store.stats()
    assert full.used_bytes == sum(full.databases.values())
    assert full.map_used - full.used_bytes - full.free_bytes == 3 * 4096
    store.purge(max_events=0)
    store.save(Event("last"))  # what a purge frees may be used from the next commit but one
    emptied = store.stats()
    assert emptied.free_bytes > full.free_bytes + 500 * 2000
    assert emptied.used_bytes < full.used_bytes / 10
    store.save_many(events[:1000])
    again = store.stats()
    assert again.free_bytes < emptied.free_bytes
    assert again.map_used == emptied.map_used


def test_what_was_ever_saved_is_counted_over_deletions_and_openings(path: Path) -> None:
    with LMDBEventStore(path) as store:
        assert (store.stats().ever_saved, store.stats().saved_rate) == (0, 0.0)
        store.save_many(Event(f"e{n}") for n in range(6))
        store.save_many([Event("e0"), Event("new")], on_duplicate="ignore")
        store.delete("e1")
        stats = store.stats()
        assert (stats.events, stats.ever_saved) == (6, 8)  # an ignored one counts, too
        assert stats.saved_rate * stats.open_seconds == pytest.approx(8)
        assert stats.commit_rate * stats.open_seconds == pytest.approx(3)
    with LMDBEventStore(path) as store:
        stats = store.stats()
        assert (stats.ever_saved, stats.saved_rate, stats.commit_rate) == (8, 0.0, 0.0)
        assert stats.commits >= 3
        with store.snapshot():
            store.save(Event())
        assert store.stats().saved_rate > 0


def test_rates_count_what_other_processes_save(path: Path) -> None:
    with LMDBEventStore(path) as store:
        before = store.stats()
        code = (
            "import sys; from lmdbstore import *; s = LMDBEventStore(sys.argv[1]); s.save(Event())"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=True)
        after = store.stats()
        assert after.ever_saved - before.ever_saved == 1
        assert after.saved_rate * after.open_seconds == pytest.approx(1)
        assert after.open_seconds > before.open_seconds
