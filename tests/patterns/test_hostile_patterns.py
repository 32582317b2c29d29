"""Hostile patterns: what makes others search for ages or swell is done, or refused, in bounds.

The bounds are the operating system's, on a process of its own: seconds of processor time, of which
a backtracking engine would need more than there are, and bytes of address space.
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

CPU = 120  # seconds for all of them; it takes 2
BACKTRACKING = 1  # seconds for one of them, which would take over 2**50000 steps
HANGING = 600  # seconds, as ever: only to end what hangs


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


def test_catastrophic_patterns_end_within_the_bounds_or_are_refused(path: Path) -> None:
    """Each of them, on the texts of all of them; and each finds what it should."""
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
def test_a_backtracking_engine_ends_by_these_bounds(name: str, path: Path) -> None:
    """The same limits kill a process that searches with Python's `re`: so the test can fail."""
    found = run(str(path), str(BACKTRACKING), name)
    assert found.stdout == "begun\n"
    assert found.returncode == -signal.SIGXCPU
