"""How long an endurance test runs, and what it counted: the table that the README shows.

Every test with the marker `endurance` is in the usual run, with the few rounds that its
marker names. `pytest -m endurance --minutes 30` shares half an hour among the selected tests,
and prints what they counted. Random numbers come from `Rounds.random`; a failure names the seed,
and `--seed` repeats it.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

__all__ = ["Rounds", "make_rounds", "table"]


class _Row(NamedTuple):
    title: str
    rounds: Rounds


_rows: dict[str, _Row] = {}  # by the test's node id, in the order they ran


class Rounds:
    """The rounds of one test: iterate over it, and `add` what you count."""

    def __init__(self, least: int, seconds: float, seed: int) -> None:
        """Run for `least` rounds, or for this number of seconds if that is longer."""
        self.random = random.Random(seed)
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self.number = 0
        self._least = least
        self._end = time.monotonic() + seconds

    def __iter__(self) -> Iterator[int]:
        """Yield the number of each round, from 0."""
        while self.number < self._least or self.left() > 0:
            yield self.number
            self.number += 1

    def left(self) -> float:
        """Return the seconds that are left; 0 or less if only the number of rounds counts."""
        return self._end - time.monotonic()

    def add(self, what: str, number: int = 1) -> None:
        """Count something, under the words that the table shows: `add("events checked", 100)`."""
        self.counts[what] += number


def make_rounds(request: pytest.FixtureRequest, tests: int) -> Rounds:
    """Make the rounds of a test that shares the time with this number of tests."""
    marker = request.node.get_closest_marker("endurance")
    assert marker is not None, "a test with rounds needs the marker endurance(title, rounds=N)"
    minutes = request.config.getoption("--minutes")
    seed = request.config.getoption("--seed")
    rounds = Rounds(
        1 if minutes else marker.kwargs["rounds"],
        minutes * 60 / max(tests, 1),
        random.randrange(1 << 32) if seed is None else seed,
    )
    request.node.add_report_section("setup", "seed", f"--seed {rounds.seed}")
    _rows[request.node.nodeid] = _Row(marker.args[0], rounds)
    return rounds


def table(failed: set[str]) -> list[str]:
    """Return the lines of the table, in Markdown; `failed` are the node ids of failed tests."""
    lines = ["| what happens, again and again | rounds | counted |", "|---|---|---|"]
    for node, (title, rounds) in _rows.items():
        counted = ", ".join(f"{number:,} {what}" for what, number in rounds.counts.items())
        outcome = "**FAILED** after " if node in failed else ""
        lines.append(f"| {title[:1].upper()}{title[1:]} | {rounds.number:,} | {outcome}{counted} |")
    return lines
