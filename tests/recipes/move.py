"""Move events: to another store, to a file and back, and to a table of Arrow.

    python tests/recipes/move.py

It makes stores and a file in the present folder. The file needs the extra `cli`, and the table the
extra `arrow`.
"""

from __future__ import annotations

import subprocess
import sys

from lmdbstore import Event, LMDBEventStore, copy_events


def main() -> None:
    """Copy, export, import, and count with pyarrow."""
    with LMDBEventStore("events") as store, LMDBEventStore("copy") as copy:
        store.save_many(
            Event(
                source="door", timestamp=float(n), tags=["alarm"] * (n % 3 == 0), content=f"{n}\n"
            )
            for n in range(1000)
        )
        # Goes on where it was stopped, if it is called again; returns when both are equal.
        copied = copy_events(store, copy, ts_start=500, progress=lambda done, _: print(done))
        print("copied:", copied.saved, "of", copied.events)
        print("again:", copy_events(store, copy, ts_start=500).saved)

        # Batches of one state of the store, in bounded memory; polars and DuckDB read them, too.
        alarms = 0
        for batch in store.to_arrow(flags=["alarm"]):
            alarms += batch.num_rows
        print("alarms:", alarms)

    # The same events, from a file of JSON lines, CSV, Parquet or Arrow.
    for file in ("events.csv", "events.jsonl", "events.parquet"):
        into = f"from-{file}"
        run("export", "--db", "events", "--output", file)
        run("import", "--db", into, file)
        with LMDBEventStore(into) as same, LMDBEventStore("events") as store:
            print(file, list(same.search()) == list(store.search()))


def run(*arguments: str) -> None:
    """Run the command, quietly."""
    command = [sys.executable, "-m", "lmdbstore", *arguments]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
