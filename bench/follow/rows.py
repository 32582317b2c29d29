"""The rows about following: the median and the 99th percentile of the lateness, and the idle cost.

Rules: a run begins with an empty store. Its events are saved by processes that pause in between, 50
a second each in the mean, and one process follows them. The time of an event is that from before
its `save` was called: so it includes the flush, and the turns of other writers.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.measure import Figures, in_order
from bench.peers import OURS
from bench.runner import Settings

from .sides import FOLLOWERS, make

__all__ = ["GROUP", "IDLE", "latency", "run_follow"]

GROUP = "follow"
IDLE = "idle follower"
WRITERS = (1, 8)
PARTS = {"median": 0.5, "99th percentile": 0.99}
EVENTS, BRIEF_EVENTS = 800, 40  # that all writers of a run save together
SECONDS, BRIEF_SECONDS = 10.0, 0.5  # that a follower waits
LONG = 300  # seconds; ends a hang
ROOT = Path(__file__).parents[2]


def latency(writers: int, part: str) -> str:
    """Return the name of a row."""
    return f"{part} of the lateness, {writers} writer{'s' * (writers > 1)}"


def run_follow(settings: Settings) -> Iterator[Figures]:
    """Run the wanted rows."""
    for writers in WRITERS:
        parts = [part for part in PARTS if settings.wants(GROUP, latency(writers, part))]
        if parts:
            settings.say(f"Following: {writers} writers")
            yield from _late(settings, writers, parts)
    if settings.wants(GROUP, IDLE):
        settings.say(f"Following: {IDLE}")
        yield _idle(settings)


def _late(settings: Settings, writers: int, parts: list[str]) -> Iterator[Figures]:
    each = (BRIEF_EVENTS if settings.brief else EVENTS) // writers
    late: dict[str, list[list[float]]] = {name: [] for name in FOLLOWERS}
    after: list[float] = []  # how much later than its `save` returned each event came, in seconds
    for number in range(settings.repeat):
        for name in in_order(FOLLOWERS, number):
            found, taken = _run(settings.folder / GROUP, name, writers, each)
            late[name].append(list(found.values()))
            if name == OURS:
                after += [seconds - taken[event] for event, seconds in found.items()]
    middle, most = (1e3 * _part(after, share) for share in PARTS.values())
    note = (
        f"{writers} x {each:,} events a round; the time from before `save` is called. Counted from "
        f"its return, an event of lmdbstore comes {middle:.2f} ms later in the median, and "
        f"{most:.2f} ms at the 99th percentile"
    )
    for part in parts:
        figures = {name: [_part(one, PARTS[part]) for one in found] for name, found in late.items()}
        yield Figures(GROUP, latency(writers, part), "ms", OURS, figures, note)


def _idle(settings: Settings) -> Figures:
    seconds = BRIEF_SECONDS if settings.brief else SECONDS
    figures: dict[str, list[float]] = {name: [] for name in FOLLOWERS}
    for number in range(settings.repeat):
        for name in in_order(FOLLOWERS, number):
            with _made(settings.folder / GROUP, name) as folder:
                figures[name] += _answer(_start("wait", name, folder, 0, seconds))
    note = f"processor time of a follower that waits, in {seconds:g} s"
    return Figures(GROUP, IDLE, "% of a core", OURS, figures, note)


class _made:  # noqa: N801  used as a function
    """An empty store of a peer, which is removed at the end."""

    def __init__(self, base: Path, name: str) -> None:
        self.folder, self.name = base, name

    def __enter__(self) -> Path:
        self.folder.mkdir()
        make(self.name, self.folder)
        return self.folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)


def _run(
    base: Path, name: str, writers: int, each: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return how late each event came, and how long its save took, in seconds."""
    with _made(base, name) as folder:
        follower = _start("follow", name, folder, writers * each)
        assert follower.stdout is not None
        if follower.stdout.readline() != "ready\n":
            raise OSError(f"the follower of {name} did not start")
        started = [_start("write", name, folder, each) for _ in range(writers)]
        taken: dict[str, float] = {}
        for writer in started:
            taken |= _answer(writer)
        return _answer(follower), taken


def _start(
    what: str, name: str, folder: Path, number: int, seconds: float = 0.0
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.follow.sides", what, name, str(folder), str(number)]
    return subprocess.Popen([*command, str(seconds)], stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _answer(process: subprocess.Popen[str]) -> Any:
    output, _ = process.communicate(timeout=LONG)
    if process.returncode:
        raise OSError(f"{process.args!r} ended with {process.returncode}")
    return json.loads(output)


def _part(figures: list[float], share: float) -> float:
    """Return the figure that this share of all is not above."""
    return sorted(figures)[min(len(figures) - 1, int(share * len(figures)))]
