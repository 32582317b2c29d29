"""A process that backs up, compacts or repairs is killed: store and backups are complete."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore, verify

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.rounds import Rounds

LONG = 60  # seconds; ends a hang, decides nothing

# Prints a line when it begins, and then repeats the work for ever.
PROGRAM = """
import itertools, sys
from lmdbstore import LMDBEventStore, repair
path, what = sys.argv[1:]
print("begun", flush=True)
for n in itertools.count():
    if what == "repair":
        repair(path)
        continue
    with LMDBEventStore(path) as store:
        store.compact() if what == "compact" else store.backup(f"{path}-{n}")
"""


@pytest.mark.endurance("backups, compactions and repairs are killed", rounds=3)
def test_copying_that_is_killed_leaves_all_whole(path: Path, rounds: Rounds) -> None:
    with LMDBEventStore(path) as store:
        store.save_many(
            Event(f"e{n}", timestamp=float(n % 9), tags=["f"], content=f"content {n} " * 20)
            for n in range(1000)
        )
        store.purge(max_events=800)
        events = list(store.search())
    for number in rounds:
        what = ("backup", "compact", "repair")[number % 3]
        kill(path, what, rounds.random.random() * 0.15)
        rounds.add("kills")
        with LMDBEventStore(path) as store:
            assert list(store.search()) == events
            assert store.verify(pages=True) == []
            store.save(Event("after"))
            store.delete("after")
        for name in os.listdir(path.parent):
            backup = path.parent / name
            if name.startswith(f"{path.name}-"):
                assert verify(backup, pages=True) == []
                with LMDBEventStore(backup, readonly=True) as copy:
                    assert list(copy.search()) == events
                rounds.add("backups checked")
            if backup != path:
                shutil.rmtree(backup)
    with LMDBEventStore(path) as store:
        store.compact()
    left = [name for name in os.listdir(path) if name.startswith(".")]
    assert not left, "what was killed is swept away by the next one"


def kill(path: Path, what: str, after: float) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path), what], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        time.sleep(after)
        assert child.poll() is None
        child.kill()
        child.wait(LONG)
