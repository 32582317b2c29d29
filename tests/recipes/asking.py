"""Ask for what happened: any of some flags, none of others, fields of JSON, and what is around it.

    python tests/recipes/asking.py

It makes a store in the present folder. The same on the command line:

    lmdbstore search --db events --any-flag error --any-flag warning --not-flag test
    lmdbstore search --db events --where 'status>=500' --where 'user.id=x'
    lmdbstore search --db events -C 1 'disk is full'
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from lmdbstore import Event, LMDBEventStore

NOON = datetime(2025, 6, 24, 12, tzinfo=UTC)
LINES = [
    ("info", "backup begins"),
    ("warning", "disk is 90 % full"),
    ("error", "disk is full"),
    ("info", "backup ends"),
]
REQUESTS = [(200, "x"), (404, "x"), (500, "y"), (503, "x")]


def fill(store: LMDBEventStore) -> None:
    """Save the lines of a log, and the requests to a server beside it."""
    minute = timedelta(minutes=1)
    for number, (level, line) in enumerate(LINES):
        at = NOON + number * minute
        store.save(Event(source="backup.log", timestamp=at, tags=[level], content=line))
    store.save_many(
        Event(
            id=f"request {number}",
            source="web",
            timestamp=NOON + number * minute,
            tags=["error", "test"] if status >= 500 else ["info"],
            content=json.dumps({"status": status, "user": {"id": user}}),
        )
        for number, (status, user) in enumerate(REQUESTS)
    )


def main() -> None:
    """Fill a store, and ask."""
    with LMDBEventStore("events") as store:
        fill(store)
        for event in store.search(any_flags=["error", "warning"], not_flags=["test"]):
            print("trouble:", event.datetime.isoformat(), event.content)
        for event in store.search(where={"status": (">=", 400), "user.id": "x"}):
            print("failed for x:", event.content)
        (full,) = store.search(ts_start=NOON, source="backup.log", match="is full")
        for event in store.around(full, before=1, after=1):
            print("around it:", event.content)
        # A request is reported again: it takes the place of the former one.
        again = Event(id="request 0", source="web", timestamp=NOON, content='{"status": 201}')
        store.save(again, on_duplicate="replace")
        print("created:", store.count(where={"status": 201}))
        print("deleted:", store.delete_many(["request 0", "request 1", "request 9"]))
        print("would be purged:", store.purge(source="web", dry_run=True).events)


if __name__ == "__main__":
    main()
