"""Follow a store: see every event as soon as any process commits it, and go on after a restart.

    python tests/recipes/follow.py

It makes a store in the present folder. Another process saves events into it, some with timestamps
of the past; this one prints them as they come, and notes how far it is in a file.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lmdbstore import LMDBEventStore

WRITER = """
import time
from lmdbstore import Event, LMDBEventStore

with LMDBEventStore("events") as store:
    for n in range(6):
        store.save(Event(source="sensor", timestamp=time.time() - 60 * n, content=f"reading {n}"))
"""
PLACE = Path("place.txt")  # how far this program is


def follow(store: LMDBEventStore, number: int) -> None:
    """Print so many events, from where the program stopped last."""
    after = PLACE.read_text(encoding="utf-8") if PLACE.exists() else "start"
    with store.follow(after, source="sensor", timeout=60) as events:
        for event in events:
            print(event.content)
            # Only after the event is dealt with: after a crash it comes again, and none is lost.
            PLACE.write_text(events.position, encoding="utf-8")
            number -= 1
            if not number:
                break


def main() -> None:
    """Save elsewhere, and follow twice, as a program does that was stopped in between."""
    with (
        LMDBEventStore("events") as store,
        subprocess.Popen([sys.executable, "-c", WRITER]) as writer,
    ):
        follow(store, 4)
        follow(store, 2)
        assert writer.wait() == 0
        since = PLACE.read_text(encoding="utf-8")
        print("arrived since:", len(list(store.changes(since))))


if __name__ == "__main__":
    main()
