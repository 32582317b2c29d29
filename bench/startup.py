"""The time to the first result: an interpreter imports a store, opens it and gets an event.

Rules: the scripts are what a user would write, without the classes of `peers`. The interpreters of
all peers are started in turn, and timed from start to end. They keep their bytecode, as installed
packages do: the first round, which is not counted, writes it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from .data import made_events
from .measure import Figures, in_order
from .peers import OURS
from .runner import Settings, folder_of, present

__all__ = ["GROUP", "NAME", "run_startup"]

GROUP = "startup"
NAME = "import, open and first get"
ROUNDS, SMALL_ROUNDS = 15, 5

SCRIPTS = {
    OURS: """
import sys
from lmdbstore import LMDBEventStore
with LMDBEventStore(sys.argv[1] + "/events") as store:
    assert store.get(sys.argv[2]).id == sys.argv[2]
""",
    "SQLite": """
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1] + "/events.db")
row = db.execute("SELECT id, source, ts, tags, content FROM event WHERE id = ?", sys.argv[2:])
id_, source, ts, tags, content = row.fetchone()
assert (id_, json.loads(tags) != []) == (sys.argv[2], True)
db.close()
""",
    "DuckDB": """
import duckdb, sys
db = duckdb.connect(sys.argv[1] + "/events.duckdb")
rows = db.execute("SELECT * FROM event WHERE id = ?", sys.argv[2:]).fetchall()
assert rows[0][0] == sys.argv[2]
db.close()
""",
    "RocksDB": """
import sys
from rocksdict import Options, Rdict
options = Options(raw_mode=True)
names = ("default", "timeline", "ids", "flags", "commits")
db = Rdict(sys.argv[1], options, dict.fromkeys(names, options))
key = db.get_column_family("ids").get(sys.argv[2].encode())
assert sys.argv[2].encode() in db.get_column_family("timeline").get(key)
db.close()
""",
    "py-lmdb": """
import lmdb, orjson, sys
env = lmdb.open(sys.argv[1], map_size=1 << 40, max_dbs=8)
timeline, ids = env.open_db(b"timeline"), env.open_db(b"ids")
with env.begin() as txn:
    record = txn.get(txn.get(sys.argv[2].encode(), db=ids), db=timeline)
assert orjson.loads(record)[0] == sys.argv[2]
env.close()
""",
}


def run_startup(settings: Settings) -> Iterator[Figures]:
    """Run the row, if it is wanted, on the stores of the generated events."""
    if not settings.wants(GROUP, NAME):
        return
    settings.say(f"Startup: {NAME}")
    event_id = next(made_events(1)).id
    bytecode = settings.folder / "bytecode"
    starts = {
        peer: partial(
            _start, SCRIPTS[peer], str(folder_of(settings, "made", peer)), event_id, bytecode
        )
        for peer in present(SCRIPTS)
    }
    figures: dict[str, list[float]] = {peer: [] for peer in starts}
    for number in range((SMALL_ROUNDS if settings.brief else ROUNDS) + 1):
        for peer in in_order(starts, number):
            seconds = starts[peer]()
            figures[peer] += [seconds] if number else []  # the first round warms up
    yield Figures(
        GROUP, NAME, "ms", OURS, figures, "the time of a new interpreter from start to end"
    )


def _start(script: str, folder: str, event_id: str, bytecode: Path) -> float:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", script, folder, event_id], check=True, env=environment)
    return time.perf_counter() - begin
