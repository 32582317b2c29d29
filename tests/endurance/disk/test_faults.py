"""Disks that are full or fail: nothing is lost or half done, and every failure is reported."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from lmdbstore import LMDBEventStore
from tests.tools.children import output_of
from tests.tools.indexes import assert_indexes_agree
from tests.tools.mounts import mounted, needs_mounts
from tests.tools.strace import needs_strace, traced

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.rounds import Rounds

# Which system call fails, how, and how often: so seldom that a failed operation works when it
# is tried again. A write that is cut short, as by a full disk, reports that it wrote 1 byte.
FAULTS = [
    ("pwrite64", "error=EIO", 60, 120),
    ("writev", "error=EIO", 60, 120),
    ("fdatasync", "error=EIO", 3, 10),
    ("pwrite64", "error=ENOSPC", 60, 120),
    ("writev", "error=ENOSPC", 60, 120),
    ("writev", "retval=1", 60, 120),
]


def run(store: Path, seed: int, trouble: str) -> list[str]:
    return [
        sys.executable,
        "-X",
        "faulthandler",
        "-m",
        "tests.tools.crash.faulty",
        str(store),
        str(seed),
        trouble,
    ]


def note(rounds: Rounds, output: str, **words: str) -> None:
    """Count what the child counted, under other labels if they are given."""
    counts: dict[str, int] = json.loads(output)
    for what, number in counts.items():
        rounds.add(words.get(what.replace(" ", "_"), what), number)


@pytest.mark.endurance("writes and flushes fail with errors of the disk", rounds=len(FAULTS))
def test_a_failing_disk_loses_nothing(tmp_path: Path, rounds: Rounds) -> None:
    needs_strace()
    trace = tmp_path / "trace"
    for number in rounds:
        path = tmp_path / f"{number}"
        LMDBEventStore(path).close()
        call, how, least, most = FAULTS[number % len(FAULTS)]
        every = rounds.random.randint(least, most)
        first = rounds.random.randint(1, max(1, every // 8))  # a thread makes 20 calls or more
        options = ["-P", str(path / "data.mdb"), "-e", f"trace={call}"]
        options += ["-e", f"inject={call}:{how}:when={first}+{every}"]
        command = run(path, rounds.random.randrange(1 << 32), "calls")
        note(rounds, output_of(traced(trace, command, *options)))
        injected = trace.read_text(encoding="ascii").count("(INJECTED)")
        assert injected
        rounds.add("I/O errors injected", injected)
        assert_indexes_agree(path)
        shutil.rmtree(path)


@pytest.mark.endurance("a limit on the size of files is reached", rounds=1)
def test_a_limit_on_the_size_of_files_loses_nothing(tmp_path: Path, rounds: Rounds) -> None:
    for number in rounds:
        path = tmp_path / f"{number}"
        note(
            rounds,
            output_of(run(path, rounds.random.randrange(1 << 32), "limit")),
            writes_refused="disk-full faults",
        )
        shutil.rmtree(path)


@pytest.mark.endurance("the disk is full", rounds=1)
def test_a_full_disk_loses_nothing(tmp_path: Path, rounds: Rounds) -> None:
    needs_mounts()
    for _ in rounds:
        command = run(tmp_path / "store", rounds.random.randrange(1 << 32), "disk")
        note(
            rounds,
            output_of(mounted(tmp_path, command, size=8 << 20)),
            writes_refused="disk-full faults",
        )
