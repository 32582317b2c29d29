"""The goals of the benchmark, as data, and whether they are met.

Rules: a goal compares the figures of two peers, or of two rows. A ratio is the median of the ratios
of the rounds. A goal without figures is not judged, and the table says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from statistics import median
from typing import NamedTuple

from .imports.logs import JSON, LOGS
from .imports.rows import GROUP as IMPORT
from .imports.rows import ONE_CORE, PROCESSOR
from .measure import Figures, ratio
from .operations import NO_LITERAL, RELAXED, SNAPSHOT
from .page import GROUP as PAGE
from .page import HISTOGRAM, LIST, row_name
from .peers import OURS
from .runner import LOADED, ON_DISK

__all__ = ["GOALS", "Goal", "Verdict", "indexed", "judged"]

Rows = Mapping[tuple[str, str], Figures]
Place = tuple[str, str, str]  # group, row, peer


class Goal(NamedTuple):
    """`above` over `below` is at least, or at most, the number wanted."""

    operation: str
    against: str
    wanted: float
    above: Place
    below: Place
    at_most: bool = False
    kind: str = "ratio"  # or "ms more", a difference, or "ms", the time of `above` alone


class Verdict(NamedTuple):
    """The result of a goal."""

    goal: Goal
    measured: float | None  # None: not measured
    detail: str = ""

    @property
    def word(self) -> str:
        """The verdict as text."""
        if self.measured is None:
            return "not measured"
        wanted = self.goal.wanted
        met = self.measured <= wanted if self.goal.at_most else self.measured >= wanted
        return "met" if met else "lost"


def made(row: str, peer: str, wanted: float, against: str = "", operation: str = "") -> Goal:
    """Return the goal that a peer takes at least `wanted` times as long as the store in a row."""
    above, below = ("made", row, peer), ("made", row, OURS)
    return Goal(operation or row, against or peer, wanted, above, below)


def _growth(row: str) -> Goal:
    small, large = "100,000 events", "10,000,000 events"
    above, below = ("scaling", row, large), ("scaling", row, small)
    return Goal(f"{row}, 10 million events", "100,000 events", 1.5, above, below, at_most=True)


def _within_50_ms(row: str) -> Goal:
    place = ("scaling", row, "10,000,000 events")
    operation = f"{row}, 10 million events"
    return Goal(operation, "the clock", 50, place, place, at_most=True, kind="ms")


def _page(row: str, milliseconds: float, events: int) -> Goal:
    place = (PAGE, row_name(row, events), OURS)
    name = f"{row} of the page, {events:,} events"
    return Goal(name, "the clock", milliseconds, place, place, at_most=True, kind="ms")


def _grep(row: str, wanted: float) -> Goal:
    above, below = ("made", row, OURS), ("made", row, "grep")
    return Goal(row, "grep -E, its time", wanted, above, below, at_most=True)


def _importing(peer: str) -> Goal:
    above, below = (IMPORT, JSON.name + PROCESSOR, peer), (IMPORT, JSON.name + PROCESSOR, OURS)
    return Goal(f"lines a second of processor time, {JSON.name}", peer, 1, above, below)


def _beside_a_writer(row: str) -> Goal:
    name = f"{row}, 1 reader process and a writer"
    above, below = ("processes", name, OURS), ("processes", name, SNAPSHOT)
    return Goal(
        f"{row}, beside a writer", f"{SNAPSHOT}, their time", 1.5, above, below, at_most=True
    )


REGEXP, ONE = "SQLite REGEXP", "DuckDB, 1 thread"
STARTUP = "import, open and first get"
READERS = ("processes", "get, 1 reader process"), ("processes", "get, 2 reader processes")
RANGES = ("range of 100, 1 reader process", "range of 100, 2 reader processes")

GOALS = (
    made("get", "SQLite", 2),
    made("range of 100,000", "SQLite", 3.5),
    made("range of 100", "SQLite", 1.5),
    made("newest 100", "SQLite", 1.5),
    made("one common flag", "SQLite", 1.5),
    made("common and rare flag", "SQLite", 20),
    made("rare and common flag", "SQLite", 20),
    made("two common flags", "SQLite", 1.5),
    made("pattern, rare literal", "SQLite", 6, REGEXP),
    made("pattern, rare literal", "SQLite LIKE", 1.5),
    made("pattern, no literal", "SQLite", 4, REGEXP),
    made("pattern, ignoring case", "SQLite", 4, REGEXP),
    made("pattern, a few percent", "SQLite", 2, REGEXP),
    made("pattern, rare literal", ONE, 1),
    made("pattern, no literal", ONE, 1),
    made("pattern, ignoring case", ONE, 1),
    _grep("matches, rare literal", 3.0),
    _grep("matches, no literal", 1.5),
    _grep("matches, ignoring case", 3.0),
    *(_grep(name, 1.5) for name, _, _ in NO_LITERAL),
    *(made(name, ONE, 1) for name, _, _ in NO_LITERAL),
    made("save_many, 10,000", "SQLite", 1.7),
    made("save, 16 threads", "SQLite", 2),
    made("save, 64 threads", "SQLite", 3),
    made("save, 1 thread", "SQLite", 0.5),
    made("range of 100,000", "py-lmdb", 0.75, operation="scan and decode, range of 100,000"),
    made("all events", "py-lmdb", 0.75, operation="scan and decode, all events"),
    made("save_many, 10,000", "py-lmdb", 0.7),
    made("get", "py-lmdb", 0.6),
    Goal("get, 2 reader processes", "1 reader process", 1.8,
         (*READERS[0], OURS), (*READERS[1], OURS)),
    Goal("range of 100, 2 reader processes", "1 reader process", 1.8,
         ("processes", RANGES[0], OURS), ("processes", RANGES[1], OURS)),
    _beside_a_writer("get"),
    _beside_a_writer("range of 100"),
    made("get", "lmdbstore, snapshot reads", 0.9, operation="get, strict"),
    made("range of 100", "lmdbstore, snapshot reads", 0.9, operation="range of 100, strict"),
    _growth("range of 100"),
    _growth("newest 100"),
    _growth("get"),
    Goal("bytes on disk", "SQLite", 1.5, ("made", "bytes on disk", OURS),
         ("made", "bytes on disk", "SQLite"), at_most=True),
    Goal(STARTUP, "SQLite", 40, ("startup", STARTUP, OURS), ("startup", STARTUP, "SQLite"),
         at_most=True, kind="ms more"),
    made("pattern, rare literal", "DuckDB", 20, "DuckDB, all cores"),
    made("pattern, rare literal", "SQLite", 100, REGEXP),
    made("pattern, one match", "DuckDB", 20, "DuckDB, all cores"),
    made("pattern, one match", "SQLite", 100, REGEXP),
    _within_50_ms("pattern, rare literal"),
    _within_50_ms("pattern, one match"),
    *(_page(row, milliseconds, events) for events in (1_000_000, 10_000_000)
      for row, milliseconds in ((LIST, 200), (HISTOGRAM, 500))),
    _importing("sqlite-utils"),
    _importing("sqlite-utils, --pk"),
)  # fmt: skip  # a goal a line
THEIA_WANTED = 20.0
NOT_THEIRS = (LOADED, ON_DISK)  # Theia's stores have no call that saves many events


def indexed(figures: Iterable[Figures]) -> Rows:
    """Return the figures by group and row."""
    return {(row.group, row.name): row for row in figures}


def judged(figures: Iterable[Figures]) -> Iterator[Verdict]:
    """Judge every goal.

    Each of Theia's stores is judged by the worst row of this store, and an import on one core
    beside the fastest peer.
    """
    rows = indexed(figures)
    for goal in GOALS:
        above, below = _figures(rows, goal.above), _figures(rows, goal.below)
        yield Verdict(goal, _measured(goal.kind, above, below) if above and below else None)
    for peer in ("Theia files", "Theia RDBS"):
        yield _worst(rows, peer)
    for log in LOGS:
        yield _beside_the_fastest(rows, log.name)


def _measured(kind: str, above: list[float], below: list[float]) -> float:
    if kind == "ms":
        return median(above) * 1e3
    if kind == "ms more":
        return median(a - b for a, b in zip(above, below, strict=False)) * 1e3
    return ratio(above, below)


def _worst(rows: Rows, peer: str) -> Verdict:
    ratios = {
        name: ratio(row.figures[peer], row.figures[_as_durable(peer, row)])
        for (group, name), row in rows.items()
        if group == "theia" and name not in NOT_THEIRS and peer in row.figures
    }
    worst = min(ratios, key=ratios.__getitem__, default="")
    lost = sorted(name for name, found in ratios.items() if found < THEIA_WANTED)
    place = ("theia", worst, peer)
    goal = Goal(f"any operation of the store, the worst: {worst}", peer, THEIA_WANTED, place, place)
    detail = f"below it: {', '.join(lost)}" if lost else ""
    return Verdict(goal, ratios.get(worst), detail)


def _beside_the_fastest(rows: Rows, log: str) -> Verdict:
    row = rows.get((IMPORT, log + ONE_CORE))
    figures = {} if row is None else dict(row.figures)
    ours = figures.pop(OURS, [])
    ratios = {peer: ratio(times, ours) for peer, times in figures.items() if ours}
    fastest = min(ratios, key=ratios.__getitem__, default="")
    place = (IMPORT, log + ONE_CORE, fastest)
    against = f"the fastest peer, {fastest}" if fastest else "the fastest peer"
    goal = Goal(f"lines a second on one core, {log}", against, 1, place, (*place[:2], OURS))
    return Verdict(goal, ratios.get(fastest))


def _as_durable(peer: str, row: Figures) -> str:
    """Return the store with the durability of the peer, if the row has it."""
    return RELAXED[0] if peer == "Theia files" and RELAXED[0] in row.figures else OURS


def _figures(rows: Rows, place: Place) -> list[float]:
    group, name, peer = place
    row = rows.get((group, name))
    return [] if row is None else row.figures.get(peer, [])
