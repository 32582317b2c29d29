"""The figures of a store in the text format of Prometheus, version 0.0.4.

Rules: a name says its unit, and a counter ends with `_total`. Every sample has the label `store`. A
figure that is not known is left out. Counters are those of the file, over all processes: a process
that prints them once has no rates, and Prometheus makes rates of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .statistics import StoreStatistics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmdbstore.contract.watching.api import Figures

__all__ = ["MOST_FLAGS", "prometheus_text"]

MOST_FLAGS = 100  # the most frequent: each is a time series
_ESCAPES = {"\\": r"\\", "\n": r"\n"}


class _Family(NamedTuple):
    """A metric, and its samples: values by the value of a label, or one with the label None."""

    name: str
    kind: str
    help: str
    samples: dict[str | None, float | None]
    label: str = ""


def prometheus_text(stats: Figures, flags: Mapping[str, int], store: str) -> str:
    """Return the figures, with the numbers of events by flag; `store` names the store."""
    families = [*_events(stats), *_flags(flags)]
    if isinstance(stats, StoreStatistics):
        families += [*_kept(stats), *_space(stats), *_processes(stats)]
    return "".join(line for family in families for line in _lines(family, store))


def _lines(family: _Family, store: str) -> list[str]:
    name = f"lmdbstore_{family.name}"
    labels = f'store="{_escaped(store)}"'
    lines = [f"# HELP {name} {family.help}\n", f"# TYPE {name} {family.kind}\n"]
    samples = {value: n for value, n in family.samples.items() if n is not None}
    for value, number in samples.items():
        more = "" if value is None else f',{family.label}="{_escaped(value)}"'
        lines.append(f"{name}{{{labels}{more}}} {number!r}\n")
    return lines if samples else []


def _escaped(value: str) -> str:
    for character, escape in {**_ESCAPES, '"': r"\""}.items():
        value = value.replace(character, escape)
    return value


def _gauge(name: str, about: str, number: float | None) -> _Family:
    return _Family(name, "gauge", about, {None: number})


def _counter(name: str, about: str, number: float) -> _Family:
    return _Family(name, "counter", about, {None: number})


def _events(stats: Figures) -> list[_Family]:
    return [
        _gauge("events", "Events in the store.", stats.events),
        _gauge("flags", "Different flags of events.", stats.flags),
        _gauge("oldest_timestamp_seconds", "Time of the oldest event.", stats.oldest),
        _gauge("newest_timestamp_seconds", "Time of the newest event.", stats.newest),
        _gauge(
            "events_beyond_year_5000",
            "Events that are so late: their times are mostly milliseconds.",
            stats.beyond_year_5000,
        ),
    ]


def _kept(stats: StoreStatistics) -> list[_Family]:
    return [
        _gauge("live_events", "Events that are not sealed in runs.", stats.live),
        _gauge("runs", "Runs, which hold the sealed events.", stats.runs),
        _gauge("checkpoints", "Checkpoints in the store.", stats.checkpoints),
        _gauge("cursors", "Named cursors in the store.", stats.cursors),
        _counter(
            "events_saved_total",
            "Events ever saved, deleted ones included, and those ignored as duplicates.",
            stats.ever_saved,
        ),
        _counter(
            "commits_total",
            "Commits to the file; compact, backup and repair begin again.",
            stats.commits,
        ),
    ]


def _flags(flags: Mapping[str, int]) -> list[_Family]:
    # The most frequent first; flags with equal numbers by name.
    shown = sorted(flags, key=lambda flag: (-flags[flag], flag))[:MOST_FLAGS]
    about = f"Events by flag, of the {MOST_FLAGS} most frequent flags."
    return [_Family("flag_events", "gauge", about, {f: flags[f] for f in shown}, "flag")]


def _space(stats: StoreStatistics) -> list[_Family]:
    sizes: dict[str | None, float | None] = dict(stats.databases.items())
    return [
        _gauge("used_bytes", "Bytes that the events and their indexes take.", stats.used_bytes),
        _gauge("free_bytes", "Bytes of the file that new events will use.", stats.free_bytes),
        _gauge("file_bytes", "Size of the data file.", stats.file_bytes),
        _gauge("map_bytes", "Size that the data file may grow to.", stats.map_bytes),
        _Family("database_bytes", "gauge", "Bytes by database.", sizes, "database"),
    ]


def _processes(stats: StoreStatistics) -> list[_Family]:
    ages = [held.age for held in stats.snapshots if held.age is not None]
    return [
        _gauge("readers", "Places for readers in use, over all processes.", stats.readers),
        _gauge("max_readers", "Places for readers that there are.", stats.max_readers),
        _gauge("snapshots", "Open snapshots, over all processes.", len(stats.snapshots)),
        _gauge(
            "oldest_snapshot_age_seconds",
            "Age of the oldest open snapshot, which keeps space from being used again.",
            max(ages, default=None),
        ),
    ]
