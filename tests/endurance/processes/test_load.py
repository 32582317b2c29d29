"""Sixteen threads in four processes in a mixed load, and the history of all their answers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lmdbstore import LMDBEventStore
from tests.endurance.tools.linear import Call, linearizable
from tests.endurance.tools.loaded import BATCHES, KEYS, batch_flag, read
from tests.tools.children import ROOT
from tests.tools.indexes import assert_indexes_agree

if TYPE_CHECKING:
    from tests.tools.rounds import Rounds

PROCESSES = 4
CALLS = 60  # of each thread
LONG = 300  # seconds; ends a hang, decides nothing


@pytest.mark.endurance("16 threads in 4 processes save, delete and read the same events", rounds=1)
def test_a_mixed_load_is_strictly_consistent(path: Path, rounds: Rounds) -> None:
    for number in rounds:
        folder = path.with_name(f"{path.name}-{number}") if number else path
        durability = rounds.random.choice(["full", "none"])
        with LMDBEventStore(folder) as store:
            calls = load(folder, rounds.random.randrange(1 << 30), durability)
            calls += last_reads(store)
            events = assert_indexes_agree(store)
        check(calls)
        rounds.add("calls checked", len(calls))
        rounds.add("events compared at the end", events)


def load(path: Path, seed: int, durability: str) -> list[Call]:
    """Run the processes; return their calls."""
    command = [sys.executable, "-m", "tests.endurance.tools.loaded", str(path)]
    children = [
        subprocess.Popen(
            [*command, str(seed + 101 * n), str(CALLS), durability],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(PROCESSES)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        outputs = [child.communicate(timeout=LONG)[0] for child in children]
        assert [child.returncode for child in children] == [0] * PROCESSES
    finally:
        for child in children:
            child.kill()
            child.communicate()
    return [Call(*call) for output in outputs for call in json.loads(output)]


def last_reads(store: LMDBEventStore) -> list[Call]:
    """Read every key at the end: the last acknowledged value must be there."""
    calls = []
    for key in [f"k{n}" for n in range(KEYS)]:
        begin = time.monotonic_ns()
        value = read(store.get(key, None))
        calls.append(Call(begin, time.monotonic_ns(), "read", key, value, done=True))
    for key in [f"b{n}" for n in range(BATCHES)]:
        begin = time.monotonic_ns()
        found = store.count(flags=[batch_flag(key)])
        value = str(found) if found else None
        calls.append(Call(begin, time.monotonic_ns(), "read", key, value, done=True))
    return calls


def check(calls: list[Call]) -> None:
    by_key: defaultdict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_key[call.key].append(call)
    for key, history in by_key.items():
        assert linearizable(history), (key, sorted(history, key=lambda call: call.begin))


def test_an_impossible_history_is_found() -> None:
    saved = Call(0, 10, "save", "k", "v", done=True)
    deleted = Call(20, 30, "delete", "k", None, done=True)

    def reading(begin: int, end: int, value: str | None) -> Call:
        return Call(begin, end, "read", "k", value, done=True)

    assert linearizable([saved, reading(5, 7, None), reading(5, 7, "v"), reading(11, 12, "v")])
    assert linearizable([saved, deleted, reading(25, 26, "v"), reading(27, 28, None)])
    assert not linearizable([saved, reading(11, 12, None)]), "lost"
    assert not linearizable([saved, deleted, reading(31, 32, "v")]), "deleted and there"
    assert not linearizable([saved, reading(3, 4, "v"), reading(5, 6, None)]), (
        "older than acknowledged"
    )
    assert not linearizable([reading(1, 2, "v")]), "never saved"
    assert not linearizable([saved, saved]), "saved twice"
    assert not linearizable([saved, deleted, deleted]), "deleted twice"
    assert not linearizable([saved._replace(value="25"), reading(11, 12, "24")]), "torn"
