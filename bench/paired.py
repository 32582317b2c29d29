"""Compare two checkouts of the store: the cost of a change, as ratios of processor time.

    python -m bench.paired BEFORE AFTER [--rounds 20] [--events 100000] [--only NAME...]

BEFORE and AFTER are folders that contain a package `lmdbstore`. The exit status is 0 if every
interval ends below `--bound`, 1 if one does not, and 2 if the comparison failed. It takes about
five minutes, longer on a busy machine, and needs Linux.

Rules: both sides run at the same time on the same processor; each round uses the next processor.
The system switches between them every few milliseconds, so a disturbance affects both. Times are
the processor time of each process; waiting and the disk do not count. Both sides make the same
calls on the same events, and take turns to begin. In each round, each side gets a new process with
the same hash seed, and a new copy of its store, so that the memory layout varies between rounds.
`sides` defines the operations; `compared` evaluates the times.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple, NoReturn

from .data import SEED
from .measure import in_order
from .sides import COMMAND, OPERATIONS

__all__ = ["Comparison", "compared", "main"]

SIDES = "BEFORE", "AFTER"
TURNS = 2  # of an operation in a round: each side begins one
SHORTEST = 0.02  # seconds; calls must take as long to find how many make a turn
SAMPLES, CONFIDENCE = 4000, 0.95  # of the bootstrap
SLOWER, NOTHING_SAID, INTERRUPTED = 1, 2, 130  # exit statuses

Pairs = list[tuple[float, float]]  # seconds a call: before, after
Workers = dict[str, "subprocess.Popen[str]"]  # by SIDES


class Comparison(NamedTuple):
    """The result of the rounds of one operation; times are in seconds a call."""

    before: float
    after: float
    ratio: float
    low: float
    high: float


def compared(pairs: Sequence[tuple[float, float]]) -> Comparison:
    """Return the median times, the median of the ratios of the pairs, and its interval.

    The interval is from a bootstrap of this median over the rounds, with a fixed seed.
    """
    ratios = [after / before for before, after in pairs]
    chance = random.Random(SEED)
    drawn = sorted(median(chance.choices(ratios, k=len(ratios))) for _ in range(SAMPLES))
    tail = round(SAMPLES * (1 - CONFIDENCE) / 2)
    before, after = map(median, zip(*pairs, strict=True))
    return Comparison(before, after, median(ratios), drawn[tail], drawn[-1 - tail])


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line, measure, print, and exit."""
    options = _options(words)
    try:
        with tempfile.TemporaryDirectory(prefix="paired-", dir=options.folder) as folder:
            pairs = _rounds(options, Path(folder))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except (OSError, ValueError) as error:
        print(f"python -m bench.paired: nothing was compared: {error}", file=sys.stderr)
        sys.exit(NOTHING_SAID)
    found = {name: compared(of_one) for name, of_one in pairs.items()}
    print(_table(found, options.bound))
    sys.exit(0 if all(one.high < options.bound for one in found.values()) else SLOWER)


def _table(found: dict[str, Comparison], bound: float) -> str:
    lines = [f"{'':<10}{'before':>14}{'after':>14}{'ratio':>8}  95 % interval   below {bound:g}"]
    for name, (before, after, ratio, low, high) in found.items():
        interval = f"{low:.3f} to {high:.3f}"
        times = f"{before * 1e6:>11,.1f} us{after * 1e6:>11,.1f} us"
        lines += [f"{name:<10}{times}{ratio:>8.3f}  {interval}  {'yes' if high < bound else 'NO'}"]
    return "\n".join(lines)


# -- the rounds -----------------------------------------------------------------------------------


def _rounds(options: argparse.Namespace, folder: Path) -> dict[str, Pairs]:
    """Find the number of calls of a turn in a first round, which is not counted; then measure."""
    calls = dict.fromkeys(options.only or OPERATIONS, 0)
    pairs: dict[str, Pairs] = {name: [] for name in calls}
    for number in range(options.rounds + 1):
        with ExitStack() as stack:
            workers = {s: _worker(s, number, options, folder, stack) for s in SIDES}
            for name in calls:
                if number:
                    pairs[name].append(_pair(workers, number, name, calls[name]))
                else:
                    calls[name] = _enough(workers, name, options.seconds / TURNS)
        print(f"round {number} of {options.rounds}", file=sys.stderr, flush=True)
    return pairs


def _worker(
    side: str, number: int, options: argparse.Namespace, folder: Path, stack: ExitStack
) -> subprocess.Popen[str]:
    """Start the process of a side; it is ended with the stack."""
    here, processors = Path(__file__).resolve().parent.parent, sorted(os.sched_getaffinity(0))
    (folder / side).mkdir(exist_ok=True)
    processor = processors[number % len(processors)]
    words = getattr(options, side), here, folder / side, options.events, processor
    worker = subprocess.Popen(
        [sys.executable, "-P", "-c", COMMAND, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": str(number)},
        process_group=0,  # Ctrl-C reaches only this process, which then ends the worker
    )
    stack.callback(worker.communicate)  # called last: waits for the end
    stack.callback(worker.kill)
    return worker


def _enough(workers: Workers, name: str, seconds: float) -> int:
    """Return how many calls the slower side makes in `seconds`."""
    calls, each = 1, _turn(workers, 0, name, 1)  # the first call is slow
    while max((each := _turn(workers, 0, name, calls)).values()) * calls < SHORTEST:
        calls *= 4
    return max(1, round(seconds / max(each.values())))


def _pair(workers: Workers, number: int, name: str, calls: int) -> tuple[float, float]:
    _turn(workers, number, name, max(1, calls // 4))  # warms up
    turns = [_turn(workers, number + turn, name, calls) for turn in range(TURNS)]
    before, after = (fmean(turn[side] for turn in turns) for side in SIDES)
    return before, after


def _turn(workers: Workers, first: int, name: str, calls: int) -> dict[str, float]:
    """Run `calls` calls on both sides at the same time; return the seconds a call of each."""
    order, said = in_order(SIDES, first), {}
    for line in (json.dumps([name, calls]), "begin"):
        for side in order:
            with suppress(BrokenPipeError):  # it ended; `_answer` reports it
                print(line, file=workers[side].stdin, flush=True)
        said = {side: _answer(side, workers[side]) for side in order}
    return {side: float(said[side]) / calls for side in SIDES}


def _answer(side: str, worker: subprocess.Popen[str]) -> str:
    line = worker.stdout.readline() if worker.stdout else ""
    if not line:
        raise BrokenPipeError(f"the process of {side} ended; see its messages above")
    return line


# -- the command line -----------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(NOTHING_SAID, f"{self.prog}: {' '.join(message.split())}; see --help\n")


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m bench.paired",
        description="Compare two checkouts: the processor time of AFTER divided by BEFORE's.",
        epilog="Exit status: 0 all intervals end below the bound, 1 one does not, 2 it failed.",
    )
    add = parser.add_argument
    for side in SIDES:
        add(side, type=_checkout, help="a folder that contains a package lmdbstore")
    add("--rounds", type=_least(int, 2), default=20, help="rounds (default: %(default)s)")
    add("--events", type=_least(int, 1), default=100_000,
        help="events in a store (default: %(default)s)")  # fmt: skip
    add("--only", nargs="+", metavar="NAME", choices=OPERATIONS,
        help=f"only these of the operations {', '.join(OPERATIONS)}")  # fmt: skip
    add("--bound", type=_least(float, 0), default=1.03,
        help="upper bound of the intervals of ratios (default: %(default)s)")  # fmt: skip
    add("--seconds", type=_least(float, 0), default=0.4,
        help="time of each side, operation and round, about (default: %(default)s)")  # fmt: skip
    add("--folder", type=_folder, help="folder for the stores (default: the temporary folder)")
    return parser.parse_args(words)


def _checkout(text: str) -> Path:
    if not Path(text, "lmdbstore", "__init__.py").is_file():
        raise argparse.ArgumentTypeError(f"{text!r} has no package lmdbstore; give a checkout")
    return Path(text).resolve()


def _folder(text: str) -> str:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a folder; give an existing folder")
    return text


def _least(kind: Callable[[str], float], least: int) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            if math.isfinite(value := kind(text)) and value >= least:
                return value
        except ValueError:
            pass
        whole = "whole number" if kind is int else "number"
        raise argparse.ArgumentTypeError(f"{text!r} is not a {whole} of {least} or more")

    return number


if __name__ == "__main__":
    main()
