"""Ship events with several workers: a named cursor hands them out, and none is lost.

    python tests/recipes/ship.py

It makes a store in the present folder. Two workers share the cursor "shipper"; the first one is
killed in its work, and the events that it did not acknowledge come again, to the second one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lmdbstore import Event, LMDBEventStore

SHIPPED = Path("shipped.txt")  # where the events go: another machine, say
WORKER = """
import os, sys
from lmdbstore import LMDBEventStore

with (
    LMDBEventStore("events") as store,
    store.cursor("shipper", flags=["error"], hold=True, batch=10, timeout=0) as cursor,
    open("shipped.txt", "a") as shipped,
):
    for n, event in enumerate(cursor, 1):
        print(event.content, file=shipped, flush=True)
        if n % 5 == 0:
            cursor.ack()  # once all of them have arrived there
        if sys.argv[1] == "crash" and n == 13:
            os.abort()
    cursor.ack()
"""


def main() -> None:
    """Ship everything, with a crash in between, and then delete what was shipped."""
    with LMDBEventStore("events") as store:
        store.save_many(
            Event(tags=["error"] if n % 2 else [], content=f"event {n}") for n in range(100)
        )
        for how in ("crash", "work"):
            subprocess.run([sys.executable, "-c", WORKER, how], check=False)
            print("behind:", store.cursors()["shipper"].lag.events)
            purged = store.purge(max_events=0)
            print("purged:", purged.events, "held:", purged.held)
    shipped = SHIPPED.read_text(encoding="utf-8").splitlines()
    print("shipped:", len(set(shipped)), "twice:", len(shipped) - len(set(shipped)))


if __name__ == "__main__":
    main()
