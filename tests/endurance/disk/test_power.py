"""The power fails: some of the unflushed data reached the disk and some did not.

A killed process does not show that, as the system keeps its writes. So a workload runs under
strace, and the test builds the disk as it may be at any line of the trace.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from typing import TYPE_CHECKING

import pytest

from tests.tools.children import output_of
from tests.tools.crash.workload import Plan, random_phase
from tests.tools.strace import needs_strace, traced

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.rounds import Rounds

CUTS = 25  # of each workload, each with four ways of losing what was not flushed
EVERY = 10_000  # more than there are lines


def cut(folder: Path, plan: Plan, seed: int, cuts: int, rounds: Rounds) -> int:
    """Run a plan, cut the power, and count what was checked; return the number of cuts."""
    os.makedirs(os.path.dirname(plan.path))
    file, trace = folder / "plan", folder / "trace"
    plan.write(file)
    output_of(traced(trace, [sys.executable, "-m", "tests.tools.crash.workload", str(file)]))
    arguments = [str(file), str(trace), str(seed), str(cuts)]
    number, checked, different = output_of(
        [sys.executable, "-m", "tests.tools.crash.powercut", *arguments]
    ).split()
    trace.unlink()
    rounds.add("power cuts replayed", int(number))
    rounds.add("different stores opened", int(different))
    rounds.add("acknowledged writes checked", int(checked))
    return int(number)


@pytest.mark.endurance("the power goes while threads save and delete", rounds=1)
def test_what_was_acknowledged_survives_a_power_cut(tmp_path: Path, rounds: Rounds) -> None:
    needs_strace()
    for number in rounds:
        folder, chance = tmp_path / f"{number}", rounds.random
        numbers, old = itertools.count(1), list[str]()
        phases = [random_phase(numbers, chance, 1, 30, old)]
        phases += [random_phase(numbers, chance, chance.randint(2, 12), 8, old)]
        phases += [random_phase(numbers, chance, 1, 30, old)]
        plan = Plan(str(folder / "disk" / "events"), phases)
        assert cut(folder, plan, chance.randrange(1 << 32), CUTS, rounds) == 4 * CUTS


@pytest.mark.endurance("the power goes at each line while a store is made", rounds=1)
@pytest.mark.parametrize("there", [False, True], ids=["a new folder", "a folder that is there"])
def test_a_power_cut_while_a_store_is_made_leaves_none_or_a_whole_one(
    tmp_path: Path, rounds: Rounds, there: bool
) -> None:
    """At every line of the trace of the creation, and of the first saves."""
    needs_strace()
    numbers = itertools.count(1)
    phases = [random_phase(numbers, random.Random(5), 1, 3, [])]
    plan = Plan(str(tmp_path / "disk" / "events"), phases, folder_is_there=there)
    for number in rounds:
        folder, seed = tmp_path / f"{number}", rounds.random.randrange(1 << 32)
        here = plan._replace(path=str(folder / "disk/s"))
        assert cut(folder, here, seed, EVERY, rounds) > 100
