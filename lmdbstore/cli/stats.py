"""The command `stats`: the figures of a store as a table, as plain lines, or as JSON.

Rules: a table and plain lines have the same figures in the same order: those of the events and of
the space they take, and if asked the internal ones. JSON has all, and so has the text format of
Prometheus. A store on a server has only the figures that every store has. On a pipe, each line
begins with a key without spaces and has plain numbers. On a terminal, rich draws a table with
grouped digits.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from lmdbstore.care.prometheus import prometheus_text
from lmdbstore.care.statistics import StoreStatistics
from lmdbstore.inputs.opened import as_text

from .opening import open_to_read
from .terminal import complain, is_terminal, one_line, one_word, visible

if TYPE_CHECKING:
    from lmdbstore.contract.watching.api import Figures
    from lmdbstore.processes.snapshot_notes import SnapshotInfo

    from .opening import Location

__all__ = ["moment", "print_stats"]

OF_ANY_STORE = "events", "oldest", "newest", "flags", "beyond_year_5000"  # of `Figures`
SHOWN_FLAGS = 10  # the most frequent; a store may have many thousands
_Rows = list[tuple[str, int | str]]


def print_stats(
    db: Location,
    timeout: float | None = None,
    *,
    everything: bool = False,
    as_json: bool = False,
    as_prometheus: bool = False,
) -> None:
    """Print the figures of the store at `db`. Raises what `open_to_read` raises."""
    store = open_to_read(db, timeout)
    with store:
        stats, flags = store.stats(), store.flags()
    if stats.beyond_year_5000:
        number = stats.beyond_year_5000
        many = "1 event has a time" if number == 1 else f"{number:,} events have times"
        complain(
            f"{many} beyond the year 5000; a time is in seconds, and these are probably "
            "milliseconds"
        )
    if as_prometheus:
        _print_prometheus(prometheus_text(stats, flags, _name(db)))
        return
    # The most frequent first; flags with equal numbers by name.
    flags = dict(sorted(flags.items(), key=lambda item: (-item[1], item[0])))
    if as_json:
        figures = _all_of(stats) | {"events_by_flag": flags}
        sys.stdout.write(orjson.dumps(figures).decode() + "\n")
        return
    rows = _rows(stats, flags)
    if isinstance(stats, StoreStatistics):
        rows += _space(stats)
        if everything:
            rows += _internal(stats)
        rows += [(f"snapshot:{held.process}", _held(held)) for held in stats.snapshots]
    if is_terminal(sys.stdout):
        _draw(rows)
    else:
        width = max(len(key) for key, _ in rows)
        sys.stdout.writelines(f"{key:{width}}  {value}\n" for key, value in rows)


def _name(db: Location) -> str:
    """Return the name of a store for others: without a password."""
    return as_text(os.path.realpath(db)) if isinstance(db, Path) else str(db)


def _all_of(stats: Figures) -> dict[str, Any]:
    if isinstance(stats, StoreStatistics):
        held = [snapshot._asdict() for snapshot in stats.snapshots]
        return stats._asdict() | {"snapshots": held}
    return {name: getattr(stats, name) for name in OF_ANY_STORE}


def _print_prometheus(text: str) -> None:
    sys.stdout.write(visible(text) if is_terminal(sys.stdout) else text)


def _rows(stats: Figures, flags: dict[str, int]) -> _Rows:
    rows: _Rows = [
        ("events", stats.events),
        ("oldest", moment(stats.oldest)),
        ("newest", moment(stats.newest)),
        *([("beyond_year_5000", stats.beyond_year_5000)] if stats.beyond_year_5000 else []),
        ("flags", stats.flags),
    ]
    rows += [(f"flag:{one_word(flag)}", flags[flag]) for flag in list(flags)[:SHOWN_FLAGS]]
    return rows


def _space(stats: StoreStatistics) -> _Rows:
    return [
        ("checkpoints", stats.checkpoints),
        ("cursors", stats.cursors),
        ("bytes", stats.used_bytes),
        ("free_bytes", stats.free_bytes),
        ("file_bytes", stats.file_bytes),
    ]


def _internal(stats: StoreStatistics) -> _Rows:
    return [
        ("live", stats.live),
        ("runs", stats.runs),
        *((f"bytes:{name}", size) for name, size in stats.databases.items()),
        ("map_bytes", stats.map_bytes),
        ("map_used", stats.map_used),
        ("readers", stats.readers),
        ("max_readers", stats.max_readers),
        ("ever_saved", stats.ever_saved),
        ("commits", stats.commits),
    ]


def _held(snapshot: SnapshotInfo) -> str:
    number = "{:,}" if is_terminal(sys.stdout) else "{}"
    age = "age unknown"
    if snapshot.age is not None:
        age = number.format(int(snapshot.age)) + " s old"
    commits = "1 commit" if snapshot.behind == 1 else number.format(snapshot.behind) + " commits"
    command = snapshot.command or "unknown"
    if snapshot.namespace is not None:
        command = f"in pid namespace {snapshot.namespace or 'unknown'}"
    return f"{one_line(command)}, {age}, {commits} behind"


def moment(seconds: float | None) -> str:
    """Return a timestamp as local time, or as a number if `datetime` has no such year."""
    if seconds is None:
        return "-"
    try:
        # Added to 1970, since `fromtimestamp` does not take all years on every platform.
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        return moment.astimezone().isoformat()
    except (OverflowError, ValueError, OSError):  # outside of the years 1 to 9999
        return repr(seconds)


def _draw(rows: _Rows) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(overflow="fold", style="bold")
    table.add_column(justify="right", overflow="fold")
    for key, value in rows:
        shown = f"{value:,}" if isinstance(value, int) else value
        table.add_row(Text(key), Text(shown))
    Console(highlight=False).print(table)
