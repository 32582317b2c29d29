"""The rows about importing files: whole commands, run in turn, by the clock and by the processor.

Rules: a run begins with an empty folder, and with nothing of other runs left to be flushed. It is
timed from the start of the command to its end. The processor time is that of the command and of the
processes for which it waited. In the first round, which is not counted, a peer that finds other
records or times than the file has ends the benchmark. The rows on one core are runs of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench.measure import Figures, in_order, rounds_for
from bench.peers import OURS
from bench.runner import Settings

from .importers import IMPORTERS, installed
from .logs import LOGS, Log, Made, Span, write_log

__all__ = [
    "GROUP",
    "ONE_CORE",
    "PROCESSOR",
    "Runs",
    "about_importers",
    "check",
    "run_imports",
    "timed",
]

GROUP = "import"
PROCESSOR = ", processor time"
ONE_CORE = ", one core"
EVENTS_A_LINE = 8  # the files together have half as many lines as a store has events
UNIT = "us a line"


class Taken(NamedTuple):
    """The seconds of a command, and what it printed."""

    wall: float
    processor: float
    output: str


def about_importers() -> str:
    """Say what each peer does, for the report."""
    head = "The time of a whole command, divided by the lines of the file. What each peer does:"
    return "\n".join([head, "", *(f"- {name}: {one.does}." for name, one in IMPORTERS.items())])


def run_imports(settings: Settings) -> Iterator[Figures]:
    """Run the wanted rows."""
    for log in LOGS:
        both = [part for part in ("", PROCESSOR) if settings.wants(GROUP, log.name + part)]
        alone = settings.wants(GROUP, log.name + ONE_CORE)
        if not (both or alone):
            continue
        settings.say(f"Imports of files: {log.name}")
        folder = settings.folder / GROUP
        folder.mkdir(exist_ok=True)
        made = write_log(log, folder / "made.log", max(1, settings.events // EVENTS_A_LINE))
        peers = [name for name, one in IMPORTERS.items() if log in one.logs]
        runs = Runs(log, made, folder)
        if both:
            taken = _rounds(installed(peers), runs, settings.repeat)
            for part in both:
                yield _figures(runs, part, taken, peers)
        if alone:
            peers = [name for name in peers if IMPORTERS[name].one_core]
            taken = _rounds(installed(peers), runs._replace(one_core=True), settings.repeat)
            yield _figures(runs, ONE_CORE, taken, peers)


def _figures(runs: Runs, part: str, taken: dict[str, list[Taken]], peers: Iterable[str]) -> Figures:
    made = runs.made
    figures = {
        name: [(one.processor if part else one.wall) / made.lines for one in times]
        for name, times in taken.items()
    }
    size = made.path.stat().st_size / made.lines
    note = f"{made.lines:,} lines of {size:.0f} bytes"
    if part == ONE_CORE:
        note += "; processor time of commands that may run on one core only"
    if without := [name for name in peers if name not in taken]:
        note += f"; without {', '.join(without)}: not installed"
    return Figures(GROUP, runs.log.name + part, UNIT, OURS, figures, note)


def _rounds(peers: list[str], runs: Runs, repeat: int) -> dict[str, list[Taken]]:
    """Run the peers in turn; the first round warms up, and is checked."""
    warm = [runs.taken(name, checked=True) for name in peers]
    taken: dict[str, list[Taken]] = {name: [] for name in peers}
    for number in range(rounds_for(repeat, sum(one.wall for one in warm))):
        for name in in_order(peers, number):
            taken[name].append(runs.taken(name))
    return taken


class Runs(NamedTuple):
    """The runs of one file; `base` is a folder for all of them."""

    log: Log
    made: Made
    base: Path
    one_core: bool = False

    def taken(self, name: str, *, checked: bool = False) -> Taken:
        """Run a peer in a folder of its own, and remove what it made."""
        peer, folder = IMPORTERS[name], self.base / "run"
        folder.mkdir()
        try:
            command = peer.command(self.log, self.made, folder)
            os.sync()
            taken = timed(command, folder, self.base / "bytecode", one_core=self.one_core)
            if checked:
                check(name, self.log, self.made.span, peer.found(folder, taken.output))
            return taken
        finally:
            shutil.rmtree(folder)


def check(name: str, log: Log, wanted: Span, found: Span) -> None:
    """Raise AssertionError unless a peer found the records and times of the file."""
    if [wanted.records, *_milliseconds(wanted)] != [found.records, *_milliseconds(found)]:
        raise AssertionError(f"{log.name}: {name} found {found}, but the file has {wanted}")


def _milliseconds(span: Span) -> list[int]:
    return [round(span.first * 1000), round(span.last * 1000)]


def timed(command: list[str], folder: Path, bytecode: Path, *, one_core: bool = False) -> Taken:
    """Run a command to its end; its output is kept in `folder`.

    Raises:
        OSError: the command failed.
    """
    environment = {**os.environ, "TZ": "UTC", "PYTHONPYCACHEPREFIX": str(bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    processors = os.sched_getaffinity(0)
    output, errors = folder / "output", folder / "errors"
    with output.open("wb") as out, errors.open("wb") as err:
        try:
            if one_core:
                os.sched_setaffinity(0, {max(processors)})  # the command inherits it
            begin = time.perf_counter()
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment
            )
        finally:
            os.sched_setaffinity(0, processors)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        reason = errors.read_text(encoding="utf-8", errors="replace").strip()
        raise OSError(f"{command[0]} ended with {process.returncode}: {reason}")
    return Taken(wall, used.ru_utime + used.ru_stime, output.read_text(encoding="utf-8"))
