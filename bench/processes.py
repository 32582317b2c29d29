"""The rows that need other processes: readers and writers, memory, and an endless pattern.

Rules: each peer is opened by the process that uses it. Readers and writers get a time to begin, so
that the start of a process is not counted. Their calls in a fixed time are counted. A worker that
takes too long is killed.
"""

from __future__ import annotations

import gc
import multiprocessing
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Self

from .data import SEED, made_events, uuid4
from .measure import Figures, drained, in_order
from .operations import ASKED, SNAPSHOT, Sample
from .peers import OURS, Peer, open_peer
from .runner import Settings, folder_of, present

__all__ = ["ALONE", "GROUP", "HOSTILE", "TOGETHER", "run_processes"]

GROUP = "processes"
WINDOW, SMALL_WINDOW = 1.0, 0.1  # seconds in which calls are counted
LEAD = 0.1  # seconds from the task to its begin, in which a worker reads its ids
LIMIT, SMALL_LIMIT = 10.0, 2.0  # seconds after which a search is killed
# Backtracking divides a run of words between the repeats in so many ways that it never ends.
HOSTILE = "([a-z]+ ?)+!"
READERS = (OURS, SNAPSHOT, "SQLite", "py-lmdb")  # DuckDB and RocksDB allow one process only
TEAM = 3  # processes: two that read or save, and a writer
SAVED_AT_ONCE = 200_000  # events whose memory is measured
INTERVAL = 0.002  # seconds between two readings of a worker's memory

_spawn = multiprocessing.get_context("spawn")


class Task(NamedTuple):
    """The task of a worker: `name` is a method of `_State`."""

    name: str
    begin: float = 0.0  # of `time.monotonic`, which is the same in all processes of a machine
    seconds: float = 0.0
    events: int = 0  # in the store


class Worker:
    """A process with a peer open."""

    def __init__(self, peer: str, folder: Path) -> None:
        self._pipe, theirs = _spawn.Pipe()
        self._process = _spawn.Process(target=_work, args=(peer, folder, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.answer()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def send(self, task: Task) -> None:
        self._pipe.send(task)

    def answer(self, seconds: float | None = None) -> Any:
        """Wait for the answer; return None if it does not come in `seconds`."""
        return self._pipe.recv() if self._pipe.poll(seconds) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def run_processes(settings: Settings) -> Iterator[Figures]:
    """Run the wanted rows on the stores of the generated events, which no process has open."""
    together = {name: row for name, row in TOGETHER.items() if settings.wants(GROUP, name)}
    if together:
        with _teams(settings) as teams:
            for name, row in together.items():
                settings.say(f"Processes: {name}")
                yield _side_by_side(name, row, teams, settings)
    for name, measure in ALONE.items():
        if settings.wants(GROUP, name):
            settings.say(f"Processes: {name}")
            yield measure(name, settings)


# -- readers and writers --------------------------------------------------------------------------


class Together(NamedTuple):
    """Workers with the same task, and whether another worker writes at the same time."""

    task: str
    workers: int
    writer: bool = False

    @property
    def unit(self) -> str:
        return "us an event" if self.task == "saves" else "us a call"


TOGETHER = {
    "save, 2 processes": Together("saves", 2),
    "get, 1 reader process": Together("gets", 1),
    "get, 2 reader processes": Together("gets", 2),
    "get, 1 reader process and a writer": Together("gets", 1, writer=True),
    "get, 2 reader processes and a writer": Together("gets", 2, writer=True),
    "range of 100, 1 reader process": Together("ranges", 1),
    "range of 100, 2 reader processes": Together("ranges", 2),
    "range of 100, 1 reader process and a writer": Together("ranges", 1, writer=True),
    "range of 100, 2 reader processes and a writer": Together("ranges", 2, writer=True),
    "newest 100, 1 reader process and a writer": Together("newests", 1, writer=True),
}


@contextmanager
def _teams(settings: Settings) -> Iterator[dict[str, list[Worker]]]:
    """Open each peer in the largest number of processes that a row needs."""
    with ExitStack() as stack:
        teams: dict[str, list[Worker]] = {}
        for peer in present(READERS):
            folder = folder_of(settings, "made", peer)
            teams[peer] = [stack.enter_context(Worker(peer, folder)) for _ in range(TEAM)]
        yield teams


def _side_by_side(
    name: str, row: Together, teams: Mapping[str, list[Worker]], settings: Settings
) -> Figures:
    window = SMALL_WINDOW if settings.brief else WINDOW
    figures: dict[str, list[float]] = {peer: [] for peer in teams}
    for number in range(settings.repeat):
        for peer in in_order(teams, number):
            done = _done(row, teams[peer], window, settings.events)
            figures[peer].append(window / max(1, sum(done)))
    return Figures(GROUP, name, row.unit, OURS, figures)


def _done(row: Together, team: list[Worker], window: float, events: int) -> list[int]:
    """Return the number of calls in the window, for each worker except the writer."""
    begin = time.monotonic() + LEAD
    tasks = [row.task] * row.workers + ["saves"] * row.writer
    for worker, task in zip(team, tasks, strict=False):
        worker.send(Task(task, begin, window, events))
    return [worker.answer() for worker in team[: len(tasks)]][: row.workers]


# -- memory ---------------------------------------------------------------------------------------


def _memory(task: str, field: str) -> Callable[[str, Settings], Figures]:
    def run(name: str, settings: Settings) -> Figures:
        peers = present((OURS, "SQLite", "DuckDB", "RocksDB", "py-lmdb"))
        figures = {peer: [_peak(peer, task, field, settings)] for peer in peers}
        note = "added to the memory of the process with the store open" + NOTES[field]
        return Figures(GROUP, name, "MB", OURS, figures, note)

    return run


NOTES = {
    "RssAnon": "",
    "VmRSS": "; pages of mapped files are included, which the system can reclaim",
}


def _peak(peer: str, task: str, field: str, settings: Settings) -> float:
    """Return how many bytes a worker grew at its peak, read from this process at short intervals.

    `ru_maxrss` would start with the memory of the process that started the worker.
    """
    folder = folder_of(settings, "made" if task == "scan" else f"memory-{field}", peer)
    folder.mkdir(parents=True, exist_ok=True)
    with Worker(peer, folder) as worker:
        worker.send(Task("prepare", events=min(settings.events, SAVED_AT_ONCE)))
        worker.answer()
        before = peak = _memory_of(worker.pid, field)
        worker.send(Task(task))
        while worker.answer(INTERVAL) is None:
            peak = max(peak, _memory_of(worker.pid, field))
        return float(peak - before)


def _memory_of(pid: int, field: str) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status)
    return int(lines[field].split()[0]) * 1024


# -- a pattern that may never end -----------------------------------------------------------------


def _hostile(name: str, settings: Settings) -> Figures:
    peers = present((OURS, "SQLite", "DuckDB", "grep"))
    figures: dict[str, list[float]] = {}
    over: list[str] = []
    limit = SMALL_LIMIT if settings.brief else LIMIT
    for peer in peers:
        with Worker(peer, folder_of(settings, "made", peer)) as worker:
            worker.send(Task("hostile"))
            seconds = worker.answer(limit)
        figures[peer] = [limit if seconds is None else seconds]
        over += [peer] if seconds is None else []
    note = f"`{HOSTILE}`; a search is killed after {limit:g} s; run once"
    return Figures(GROUP, name, "ms a query", OURS, figures, note, tuple(over))


ALONE: dict[str, Callable[[str, Settings], Figures]] = {
    "memory of save_many, 200,000": _memory("save_many", "RssAnon"),
    "memory of save_many, 200,000, with mapped files": _memory("save_many", "VmRSS"),
    "memory of reading all": _memory("scan", "RssAnon"),
    "memory of reading all, with mapped files": _memory("scan", "VmRSS"),
    "pattern, hostile to backtracking": _hostile,
}


# -- in the worker --------------------------------------------------------------------------------


def _work(name: str, folder: Path, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the benchmark ends the worker itself
    peer = open_peer(name, folder)
    state = _State(peer)
    pipe.send("open")
    while True:
        task: Task = pipe.recv()
        pipe.send(getattr(state, task.name)(task))


class _State:
    """The tasks of a worker, by name."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._chance = random.Random()  # different in each process, for new ids
        self._prepared = list(made_events(0))

    def prepare(self, task: Task) -> int:
        self._prepared = list(made_events(task.events, SEED + 2))
        return len(self._prepared)

    def save_many(self, _: Task) -> int:
        self._peer.save_many(self._prepared)
        return len(self._prepared)

    def scan(self, _: Task) -> int:
        drained(self._peer.between(0.0, 1e12))
        return 1

    def hostile(self, _: Task) -> float:
        begin = time.perf_counter()
        self._peer.count_matching(HOSTILE)
        return time.perf_counter() - begin

    def saves(self, task: Task) -> int:
        event = next(made_events(1))._replace(timestamp=2e9)
        return self._in_window(
            task, lambda _: self._peer.save(event._replace(id=uuid4(self._chance)))
        )

    def gets(self, task: Task) -> int:
        known = [event.id for event in self._peer.between(*Sample(task.events).range(ASKED))]
        self._chance.shuffle(known)
        return self._in_window(task, lambda n: self._peer.get(known[n % len(known)]))

    def ranges(self, task: Task) -> int:
        start, end = Sample(task.events).range(100)
        return self._in_window(task, lambda _: drained(self._peer.between(start, end)))

    def newests(self, task: Task) -> int:
        return self._in_window(task, lambda _: drained(self._peer.newest(100)))

    @staticmethod
    def _in_window(task: Task, work: Callable[[int], object]) -> int:
        gc.collect()
        time.sleep(max(0.0, task.begin - time.monotonic()))
        number, end = 0, task.begin + task.seconds
        while time.monotonic() < end:
            work(number)
            number += 1
        return number
