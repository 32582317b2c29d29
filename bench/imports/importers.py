"""The peers that import files: the command of each, what it does, and how its result is read.

Rules: a command starts in an empty folder, and is what a user of the peer would run to keep, or to
query, the lines with their times. Its options are those that made it fastest. A peer that is not
installed is left out, and the report says so. `found` reads the result afterwards, untimed.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from bench.peers import OURS
from lmdbstore import LMDBEventStore

from .logs import ACCESS, ISO, JSON, LOGS, SYSLOG, YEAR, Log, Made, Span

__all__ = ["IMPORTERS", "Importer", "installed", "left_out", "versions"]


class Importer(NamedTuple):
    """A peer: `command` makes the command for a file and an empty folder."""

    does: str  # for the report
    command: Callable[[Log, Made, Path], list[str]]
    found: Callable[[Path, str], Span]  # the folder, and the output of the command
    needs: str  # a package, or a program
    logs: tuple[Log, ...] = LOGS
    one_core: bool = True  # whether it is also run on one core


# -- lmdbstore ------------------------------------------------------------------------------------


def _ours(_: Log, made: Made, folder: Path) -> list[str]:
    store = str(folder / "events")
    return [sys.executable, "-m", "lmdbstore", "import", "--db", store, str(made.path)]


def _our_span(folder: Path, _: str) -> Span:
    with LMDBEventStore(str(folder / "events"), readonly=True) as store:
        ends = [next(iter(store.search(order=order, limit=1))) for order in ("asc", "desc")]
        return Span(len(store), ends[0].timestamp, ends[1].timestamp)


# -- sqlite-utils ---------------------------------------------------------------------------------


def _sqlite_utils(*options: str) -> Callable[[Log, Made, Path], list[str]]:
    def command(_: Log, made: Made, folder: Path) -> list[str]:
        words = ["insert", str(folder / "events.db"), "event", str(made.path), "--nl", "--silent"]
        return [sys.executable, "-m", "sqlite_utils", *words, "--batch-size", "10000", *options]

    return command


def _sqlite_span(folder: Path, _: str) -> Span:
    db = sqlite3.connect(folder / "events.db")
    row = db.execute("SELECT count(*), min(timestamp), max(timestamp) FROM event").fetchone()
    db.close()
    return Span(row[0], *(datetime.fromisoformat(text).timestamp() for text in row[1:]))


# -- DuckDB ---------------------------------------------------------------------------------------

SCRIPT = """
import duckdb, sys
db = duckdb.connect(sys.argv[1])
if sys.argv[3]:
    db.execute("SET threads=" + sys.argv[3])
print(*db.execute(sys.argv[2]).fetchone())
db.close()
"""
LINES = (
    "read_csv('{path}', columns={{'line': 'VARCHAR'}}, delim='\\x01', quote='', escape='', "
    "header=false, auto_detect=false, strict_mode=false)"
)
TABLES = {
    JSON: "SELECT * FROM read_json('{path}', format='newline_delimited')",
    ACCESS: "SELECT strptime(regexp_extract(line, '\\[([^]]+)\\]', 1), '%d/%b/%Y:%H:%M:%S %z') "
    f"AS timestamp, line FROM {LINES}",
    SYSLOG: f"SELECT strptime('{YEAR} ' || regexp_extract(line, '^.{{{{15}}}}'), "
    f"'%Y %b %d %H:%M:%S') AS timestamp, line FROM {LINES}",
    ISO: "SELECT try_strptime(regexp_extract(line, '^.{{23}}'), '%Y-%m-%d %H:%M:%S,%g') "
    f"AS timestamp, line FROM {LINES}",
}
DATED = "SELECT count(timestamp), epoch(min(timestamp)), epoch(max(timestamp)) FROM event"


def _duckdb(threads: str) -> Callable[[Log, Made, Path], list[str]]:
    def command(log: Log, made: Made, folder: Path) -> list[str]:
        path = str(made.path).replace("'", "''")
        create = f"CREATE TABLE event AS {TABLES[log].format(path=path)}"
        return _duck_command(folder, create, threads)

    return command


def _duck_command(folder: Path, statement: str, threads: str = "") -> list[str]:
    return [sys.executable, "-c", SCRIPT, str(folder / "events.duckdb"), statement, threads]


def _duck_span(folder: Path, _: str) -> Span:
    command = _duck_command(folder, DATED)
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    records, first, last = output.split()
    return Span(int(records), float(first), float(last))


# -- lnav -----------------------------------------------------------------------------------------

LNAV_QUERY = ";SELECT count(*), min(log_time), max(log_time) FROM all_logs"
LNAV_FORMAT = {
    "made_json": {
        "title": "JSON lines",
        "description": "The JSON lines of the benchmark.",
        "json": True,
        "timestamp-field": "timestamp",
        "level-field": "level",
        "body-field": "event",
        "line-format": [{"field": "timestamp"}, " ", {"field": "event"}],
    }
}


def _lnav(_: Log, made: Made, folder: Path) -> list[str]:
    formats = folder / "formats" / "made"
    formats.mkdir(parents=True)
    (formats / "made.json").write_text(json.dumps(LNAV_FORMAT), encoding="utf-8")
    lnav = ["lnav", "-I", str(folder), "-n", "-c", LNAV_QUERY, str(made.path)]
    return ["env", f"HOME={folder}", *lnav]  # not with the formats and settings of the user


def _lnav_span(_: Path, output: str) -> Span:
    records, *times = output.splitlines()[-1].split()
    first, last = (
        datetime.fromisoformat(f"{day} {time}+00:00").timestamp()
        for day, time in (times[:2], times[2:])
    )
    return Span(int(records), first, last)


_SQLITE_DOES = "a column for each field; the time stays text, and has no index"
_DUCK_DOES = (
    "a table, in one durable transaction, by its Python package; the user writes where the time is,"
    " its format, and the year; of JSON lines it finds this itself; no ids, no levels, no index but"
    " the least and the greatest value of parts of a column; the lines of a traceback become rows"
    " without a time"
)

IMPORTERS = {
    OURS: Importer(
        "a durable store, a commit for 10,000 events; two processes, where it may use two cores; "
        "it finds the format of the times itself; an id for each event, by which a second import "
        "adds nothing; levels become flags; indexes of time, id, flags and text; a traceback is "
        "one event with its line",
        _ours, _our_span, "lmdbstore",
    ),
    "sqlite-utils": Importer(
        f"only JSON lines; durable; {_SQLITE_DOES}; no ids, so a second import adds all again",
        _sqlite_utils(), _sqlite_span, "sqlite-utils", (JSON,),
    ),
    "sqlite-utils, --pk": Importer(
        f"the same, with the field `request_id` as primary key, an index of ids; {_SQLITE_DOES}",
        _sqlite_utils("--pk", "request_id"), _sqlite_span, "sqlite-utils", (JSON,),
    ),
    "DuckDB": Importer(_DUCK_DOES, _duckdb(""), _duck_span, "duckdb", one_core=False),
    "DuckDB, 1 thread": Importer("the same, on one thread", _duckdb("1"), _duck_span, "duckdb"),
    "lnav": Importer(
        "keeps nothing: an index of times and levels in its memory, made again at each start; it "
        "finds the format itself, of JSON lines by a file that the user writes; a traceback is one "
        "message with its line",
        _lnav, _lnav_span, "lnav",
    ),
}  # fmt: skip  # a peer a few lines


def installed(names: Iterable[str]) -> list[str]:
    """Return those peers that are installed."""
    return [name for name in names if not _absent(name)]


def left_out() -> list[str]:
    """Say which peers are not installed, and how to install them."""
    return [f"{name}, which imports files, is left out: {why}"
            for name in IMPORTERS if (why := _absent(name))]  # fmt: skip  # one thought


def versions() -> dict[str, str]:
    """Return the versions of the peers that only import files."""
    lnav = ""
    if shutil.which("lnav"):
        lnav = subprocess.run(["lnav", "-V"], capture_output=True, text=True, check=False).stdout
    return {
        "sqlite-utils": _version("sqlite-utils") or "not installed",
        "lnav": lnav.strip().removeprefix("lnav ") or "not installed",
    }


def _absent(name: str) -> str:
    """Return why a peer cannot be run, or an empty text."""
    needs = IMPORTERS[name].needs
    if needs == "lnav":
        return "" if shutil.which("lnav") else "lnav is not installed; run `apt-get install lnav`"
    if needs == "lmdbstore" or _version(needs):
        return ""
    return f"{needs} is not installed; run `pip install '.[bench]'`"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
