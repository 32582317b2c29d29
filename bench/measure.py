"""Takes times in turn, and computes ratios.

Rules: in each round every peer runs once, so that other work of the machine affects all peers. Each
round begins with another peer, since a run affects the caches and the disk for the next one. The
first round warms up and is not counted. Garbage is collected before each run. Short work is
repeated until a run is long enough for the clock. A ratio is the median of the ratios of the
rounds.
"""

from __future__ import annotations

import gc
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import NamedTuple

__all__ = [
    "UNITS",
    "Figures",
    "Run",
    "drained",
    "in_order",
    "in_turn",
    "ratio",
    "rounds_for",
    "taken",
]

SHORTEST = 0.02  # seconds; the least length of a run
MOST_LOOPS = 10_000
PATIENCE = 30.0  # seconds for a row, about; slow rows get fewer rounds
FEWEST = 3  # rounds

# Units of the tables: figures are in seconds or bytes, and are multiplied by these.
UNITS = {
    "us an event": 1e6,
    "us a call": 1e6,
    "us a line": 1e6,
    "ms a query": 1e3,
    "ms": 1e3,
    "bytes an event": 1.0,
    "MB": 1e-6,
    "% of a core": 1e2,
}


class Run(NamedTuple):
    """Work to be timed."""

    work: Callable[[], object]
    units: int = 1  # events, or calls, that the time is divided by


class Figures(NamedTuple):
    """A row of the tables: for each peer, one figure per round, in seconds or bytes."""

    group: str
    name: str
    unit: str  # a key of UNITS
    base: str  # the others are compared with this peer
    figures: dict[str, list[float]]
    note: str = ""
    over: tuple[str, ...] = ()  # peers that were stopped: their time is more than the figure


def drained(found: Iterable[object] | float | None) -> None:
    """Read all results, and keep none."""
    if isinstance(found, Iterable):
        deque(found, maxlen=0)


def taken(run: Run, loops: int = 1) -> float:
    """Return the seconds that a run takes for each of its units."""
    work = run.work
    gc.collect()
    begin = time.perf_counter()
    for _ in range(loops):
        work()
    return (time.perf_counter() - begin) / loops / run.units


def in_turn(
    prepared: Mapping[str, Callable[[], Run]], repeat: int, *, repeatable: bool = True
) -> dict[str, list[float]]:
    """Take the times of the peers in turn; a `repeatable` run may run more than once."""
    warm = {name: _whole(prepare()) for name, prepare in prepared.items()}
    loops = {name: _loops(seconds) if repeatable else 1 for name, seconds in warm.items()}
    figures: dict[str, list[float]] = {name: [] for name in prepared}
    for number in range(rounds_for(repeat, sum(warm.values()))):
        for name in in_order(prepared, number):
            figures[name].append(taken(prepared[name](), loops[name]))
    return figures


def in_order(names: Iterable[str], number: int) -> list[str]:
    """Return the names in the order of a round."""
    listed = list(names)
    first = number % max(1, len(listed))
    return listed[first:] + listed[:first]


def rounds_for(repeat: int, seconds: float) -> int:
    """Return the number of rounds, if one round takes `seconds`."""
    return min(repeat, max(FEWEST, int(PATIENCE / max(seconds, 1e-9))))


def ratio(above: list[float], below: list[float]) -> float:
    """Return the median of the ratios of the rounds."""
    return median(one / other for one, other in zip(above, below, strict=False))


def _whole(run: Run) -> float:
    return taken(run) * run.units


def _loops(seconds: float) -> int:
    return min(MOST_LOOPS, max(1, math.ceil(SHORTEST / max(seconds, 1e-9))))
