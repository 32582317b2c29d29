"""The interpreter ends while threads use a store: it ends well, and loses nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore
from tests.tools.indexes import assert_indexes_agree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.rounds import Rounds

LONG = 120  # seconds; ends a hang, decides nothing

# Threads repeat the works for ever; they print the ids of acknowledged events. The main thread
# continues to the ending when each has begun its second call.
PROGRAM = """
import itertools, os, sys, threading, signal
from lmdbstore import Event, LMDBEventStore, StoreClosed

path, name, ending, pause = sys.argv[1:]
store = LMDBEventStore(path, durability="none")

def save(n):
    event_id = f"{name} {threading.get_ident()} {n}"
    store.save(Event(event_id))
    os.write(1, (event_id + "\\n").encode())

def save_many(n):
    event_id = f"{name} {threading.get_ident()} many {n}"
    store.save_many([Event(event_id), Event(event_id + "'")])
    os.write(1, (event_id + "\\n" + event_id + "'\\n").encode())

def view(n):
    with store.snapshot() as state:
        assert next(state.search(match="[0-9]7 x")).id == "e17"

searches = []

def leave(n):
    searches.append(store.search())
    next(searches[-1])
    if n % 50 == 0:
        searches.clear()

works = [
    save, save_many, view, leave,
    lambda n: store.get("e7"),
    lambda n: list(store.search(match=r"wo[a-z]+ [0-9]+7 x")),
    lambda n: list(store.search(flags=["f"])),
    lambda n: store.count(match="(?i)WORD 1.* x"),
    lambda n: store.stats(),
    lambda n: store.flags(),
]
begun = threading.Semaphore(0)

def run(work):
    try:
        for n in itertools.count():
            work(n)
            begun.release()
    except StoreClosed:
        begun.release()

threads = [threading.Thread(target=run, args=(work,), daemon=ending != "close") for work in works]
for thread in threads:
    thread.start()
for _ in range(2 * len(threads)):
    begun.acquire()
threading.Event().wait(float(pause))
if ending == "exit":
    with store:
        sys.exit(3)
if ending == "close":
    store.close()
if ending == "raise":
    raise ValueError("what the program raised")
if ending == "_exit":
    os._exit(4)
if ending == "term":
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait()
"""

ENDINGS = {"end": 0, "close": 0, "exit": 3, "raise": 1, "_exit": 4, "term": -signal.SIGTERM}


@pytest.mark.endurance("The interpreter ends while threads work on a store", rounds=1)
def test_the_interpreter_can_end_while_threads_use_a_store(path: Path, rounds: Rounds) -> None:
    with LMDBEventStore(path) as store:
        store.save_many(
            Event(f"e{n}", timestamp=float(n), tags=["f"], content=f"word {n} x" * 20)
            for n in range(2000)
        )
    for number in rounds:
        for ending, status in ENDINGS.items():
            pause = str(rounds.random.random() * 0.05)
            arguments = [str(path), f"{number}", ending, pause]
            found = subprocess.run(
                [sys.executable, "-c", PROGRAM, *arguments],
                capture_output=True,
                text=True,
                timeout=LONG,
                check=False,
            )
            assert found.returncode == status, (ending, found.stderr)
            if ending == "raise":
                assert found.stderr.endswith("ValueError: what the program raised\n")
                assert found.stderr.count("Traceback") == 1
            else:
                assert found.stderr == ""
            rounds.add("ends")
            rounds.add("acknowledged writes checked", check(path, found.stdout.splitlines()))


def check(path: Path, acknowledged: list[str]) -> int:
    """Check that acknowledged events are there, and others complete or not; then delete them."""
    with LMDBEventStore(path, durability="none") as store:
        assert_indexes_agree(store)
        new = {event.id for event in store.search() if "f" not in event.tags}
        assert new.issuperset(acknowledged)
        many = {event_id for event_id in new if "many" in event_id}
        assert {f"{event_id.rstrip(chr(39))}'" for event_id in many} <= many
        assert {event_id.rstrip("'") for event_id in many} <= many
        for event_id in new:
            store.delete(event_id)
        assert store.stats().readers == 0
    return len(acknowledged)


def test_the_end_of_the_interpreter_waits_for_threads_in_re2(path: Path) -> None:
    """A thread that returned from RE2 after the end would abort the process."""
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"e{n}", content=f"word {n} " * 20) for n in range(3000))
    code = """
import sys, threading
from lmdbstore import LMDBEventStore
store = LMDBEventStore(sys.argv[1])
begun = threading.Semaphore(0)
def run():
    while True:
        list(store.search(match=r"wo[a-z]+ \\d+7 x"))
        begun.release()
for _ in range(4):
    threading.Thread(target=run, daemon=True).start()
for _ in range(8):
    begun.acquire()
"""
    for _ in range(5):  # without the wait, four of five were aborted
        found = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            capture_output=True,
            text=True,
            timeout=LONG,
            check=False,
        )
        assert (found.returncode, found.stderr) == (0, "")
