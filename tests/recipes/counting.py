"""Count events: by the days of a zone, and by their flags and sources.

    python tests/recipes/counting.py

It makes a store in the present folder, with an event each hour of three days in autumn, of which
one has 25 hours in Berlin.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from lmdbstore import Event, LMDBEventStore

BERLIN = ZoneInfo("Europe/Berlin")
BEGIN = datetime(2025, 10, 25, tzinfo=BERLIN)


def fill(store: LMDBEventStore) -> None:
    """Save an event for each hour."""
    for n in range(24 + 25 + 24):
        tags = ["error"] if n % 8 == 0 else ["info", "backup"] if n % 24 == 3 else ["info"]
        store.save(Event(source=f"host{n % 3}", timestamp=BEGIN.timestamp() + n * 3600, tags=tags))


def main() -> None:
    """Save events and count them."""
    with LMDBEventStore("events") as store:
        fill(store)
        for start, events in store.histogram("day", BERLIN):
            print(datetime.fromtimestamp(start, BERLIN).isoformat(), events)
        errors = store.histogram(12 * 3600, flags=["error"], ts_start=BEGIN)
        print("errors in each 12 hours:", [events for _, events in errors])
        facets = store.facets(limit=2)
        print("flags:", facets["flags"].values, "and", facets["flags"].others, "more")
        print("sources of errors:", store.facets(["source"], flags=["error"])["source"].values)
        # Several answers of one state, while others go on writing.
        with store.snapshot() as view:
            assert sum(view.sources().values()) == sum(n for _, n in view.histogram("month"))


if __name__ == "__main__":
    main()
