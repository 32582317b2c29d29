"""Hostile patterns: those that exhaust the time or memory of other engines end or are refused.

The operating system sets the limits, on a separate process: seconds of processor time, which
are too few for a backtracking engine, and bytes of address space.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lmdbstore import LMDBEventStore
from tests.tools.children import ROOT
from tests.tools.hostile import BOMBS, HOSTILE

CPU = 120  # seconds for all patterns; they take 2
BACKTRACKING = 1  # seconds for one pattern, which would take over 2**50000 steps
HANGING = 600  # seconds; ends a hang, decides nothing


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.tools.hostile", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=HANGING,
        check=False,
    )


def test_catastrophic_patterns_end_within_the_limits_or_are_refused(path: Path) -> None:
    """Each pattern is searched in the texts of all patterns, and finds what it should."""
    assert len({one.pattern for one in HOSTILE}) >= 40
    found = run(str(path), str(CPU))
    assert (found.returncode, found.stderr) == (0, ""), found.stdout[-200:]
    lines = [line.split("\t") for line in found.stdout.splitlines()]
    outcomes = {name: json.loads(outcome) for name, outcome in lines}
    assert list(outcomes) == [*(one.name for one in HOSTILE), *BOMBS]
    for one in HOSTILE:
        ids = outcomes[one.name]
        assert ids is not None, f"{one.name} is refused"
        assert f"hit {one.name}" in ids
        assert f"attack {one.name}" not in ids
    with LMDBEventStore(path) as store:
        assert len(store) == 2 * len(HOSTILE)


@pytest.mark.parametrize("name", ["owasp nested", "cloudflare core"])
def test_these_limits_kill_a_backtracking_engine(name: str, path: Path) -> None:
    """The same limits kill a process that searches with Python's `re`: the test can fail."""
    found = run(str(path), str(BACKTRACKING), name)
    assert found.stdout == "begun\n"
    assert found.returncode == -signal.SIGXCPU
