"""Stores in a certain state, and questions to a store without its public calls."""

from __future__ import annotations

import stat
import subprocess
import sys
from typing import TYPE_CHECKING

from lmdbstore import Event

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore import LMDBEventStore

__all__ = ["ends_of_runs", "fill", "grow", "rights"]


def fill(store: LMDBEventStore, events: int = 3000) -> list[Event]:
    """Fill a store so that a third of its file is free; return its events."""
    store.save_many(
        Event(f"e{n}", timestamp=float(n), tags=["all"], content=f"content {n} " * 10)
        for n in range(events)
    )
    assert store.purge(max_events=events * 2 // 3).events == events // 3
    return list(store.search())


def grow(path: Path) -> None:
    """Let another process save more in the store than a map of 1 MiB can hold."""
    code = f"""
from lmdbstore import Event, LMDBEventStore
with LMDBEventStore({str(path)!r}, map_size={16 << 20}) as store:
    store.save_many(Event("big%d" % n, timestamp=1e6 + n, content="y" * 1000) for n in range(3000))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def ends_of_runs(store: LMDBEventStore) -> list[bytes]:
    """Return the key of each run."""

    def ends(txn: object, databases: object) -> list[bytes]:
        with txn.cursor(db=databases.runs) as cursor:  # type: ignore[attr-defined]  # of lmdb
            return list(cursor.iternext(values=False))

    return store._session.read(ends)


def rights(path: Path) -> int:
    """Return the rights of a file."""
    return stat.S_IMODE(path.stat().st_mode)
