"""Each side of following, in a process of its own: a writer that saves now and then, a follower.

    python -m bench.follow.sides write|follow|wait PEER FOLDER NUMBER SECONDS

Rules: every side reads the same clock, the machine's monotonic one. A writer notes the time in each
event before it saves it, durably; it pauses in between, so that the processor is not always busy. A
follower prints a line when it is ready, and at the end its figures, as JSON.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from lmdbstore import Event, LMDBEventStore
from lmdbstore.threads.notices import Notices

__all__ = ["FOLLOWERS", "LOOKS", "SQLITE", "make"]

LOOKS, SQLITE = "lmdbstore, without inotify", "SQLite, asked every 10 ms"
FOLLOWERS = ("lmdbstore", LOOKS, SQLITE)
PAUSE = 0.02  # seconds between two saves of a writer, in the mean
INTERVAL = 0.01  # seconds between two questions to SQLite
START = 0.5  # seconds until a follower waits, and nothing else
WAIT = 60.0  # seconds for a write of another process


def _sqlite(folder: Path) -> sqlite3.Connection:
    db = sqlite3.connect(folder / "events.db", timeout=WAIT, isolation_level=None)
    db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
    return db


def make(peer: str, folder: Path) -> None:
    """Make an empty store."""
    if peer == SQLITE:
        db = _sqlite(folder)
        db.execute("CREATE TABLE event (n INTEGER PRIMARY KEY, content TEXT)")
        db.close()
    else:
        LMDBEventStore(folder / "events").close()


def _saver(peer: str, folder: Path) -> Callable[[str], object]:
    if peer == SQLITE:
        db = _sqlite(folder)
        return lambda text: db.execute("INSERT INTO event (content) VALUES (?)", [text])
    store = LMDBEventStore(folder / "events")
    return lambda text: store.save(Event(content=text))


def _followed(peer: str, folder: Path, timeout: float | None = None) -> Iterator[str]:
    """Give the contents of all events as they come."""
    if peer == SQLITE:
        yield from _asked(_sqlite(folder), timeout)
        return
    if peer == LOOKS:
        setattr(Notices, "make", lambda: None)  # noqa: B010  for this process
    with LMDBEventStore(folder / "events", create=False) as store:
        for event in store.follow("start", timeout=timeout):
            yield event.content


def _asked(db: sqlite3.Connection, timeout: float | None) -> Iterator[str]:
    last = 0
    since = time.monotonic()
    while timeout is None or time.monotonic() < since + timeout:
        rows = db.execute("SELECT n, content FROM event WHERE n > ? ORDER BY n", [last]).fetchall()
        for number, content in rows:
            last, since = number, time.monotonic()
            yield content
        if not rows:
            time.sleep(INTERVAL)


def _write(peer: str, folder: Path, number: int, _: float) -> dict[str, float]:
    """Save events; return the seconds that each save took, by what is in the event."""
    save, chance = _saver(peer, folder), random.Random()
    taken = {}
    for _n in range(number):
        time.sleep(chance.uniform(0, 2 * PAUSE))
        begin = time.monotonic()
        save(repr(begin))
        taken[repr(begin)] = time.monotonic() - begin
    return taken


def _follow(peer: str, folder: Path, number: int, _: float) -> dict[str, float]:
    """Follow so many events; return the seconds from before each save until it came."""
    print("ready", flush=True)
    found = islice(_followed(peer, folder), number)
    return {content: time.monotonic() - float(content) for content in found}


def _wait(peer: str, folder: Path, _: int, seconds: float) -> list[float]:
    """Follow while nothing comes; return the share of the time in which a processor is used."""
    begun: list[tuple[float, float]] = []
    timer = threading.Timer(START, lambda: begun.append((time.monotonic(), time.process_time())))
    timer.start()
    for _event in _followed(peer, folder, START + seconds):
        raise AssertionError("something came")
    begin, used = begun[0]
    return [(time.process_time() - used) / (time.monotonic() - begin)]


def main(arguments: list[str]) -> None:
    """Run one side."""
    what, peer, folder, number, seconds = arguments
    work: Any = {"write": _write, "follow": _follow, "wait": _wait}[what]
    print(json.dumps(work(peer, Path(folder), int(number), float(seconds))))


if __name__ == "__main__":
    main(sys.argv[1:])
