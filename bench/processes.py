"""The rows that need other processes: readers beside a writer, two writers, memory, and patterns
that may never end.

Rules: each peer is opened by the process that uses it. Workers stay for a whole row and are told
when to begin, so that none of them counts the start of a process; what they did in a fixed time is
counted. A worker that takes too long is killed.
"""

from __future__ import annotations

import gc
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from .data import SEED, made_events, uuid4
from .measure import Figures, drained
from .operations import ASKED, SNAPSHOT, Sample
from .peers import OURS, Peer, open_peer
from .runner import Settings, folder_of, present

__all__ = ["HOSTILE", "LIMIT", "run_processes"]

GROUP = "processes"
WINDOW = 1.0  # seconds that is counted in
LEAD = 0.1  # seconds from the order to the begin, in which a worker finds out its ids
LIMIT = 10.0  # seconds after which a search is killed
# Runs of words can be divided between the repeats in very many ways, and the end never comes.
HOSTILE = "([a-z]+ ?)+!"
READERS = (OURS, SNAPSHOT, "SQLite", "py-lmdb")  # DuckDB and RocksDB are for one process
WRITERS = (OURS, "SQLite", "py-lmdb")
SAVED_AT_ONCE = 200_000  # events whose memory is measured
LOOK = 0.002  # seconds between two looks at a worker's memory

_spawn = multiprocessing.get_context("spawn")


class Task(NamedTuple):
    """What a worker shall do: `name` is a key of TASKS."""

    name: str
    begin: float = 0.0  # by `time.monotonic`, which all processes of a machine share
    seconds: float = WINDOW
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

    def tell(self, task: Task) -> None:
        self._pipe.send(task)

    def answer(self, seconds: float | None = None) -> Any:
        """Wait for the answer, or return None if it does not come in so many seconds."""
        return self._pipe.recv() if self._pipe.poll(seconds) else None

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def run_processes(settings: Settings) -> Iterator[Figures]:
    """Run the rows that are wanted, on the stores of the made events, which nobody has open."""
    for name, rows in ROWS.items():
        if settings.wants(GROUP, name):
            settings.say(f"Processes: {name}")
            yield rows(name, settings)


# -- readers and writers --------------------------------------------------------------------------


def _side_by_side(task: str, workers: int, *, writer: bool) -> Callable[[str, Settings], Figures]:
    def run(name: str, settings: Settings) -> Figures:
        peers = present(READERS if task != "saves" else WRITERS)
        with ExitStack() as stack:
            teams = {
                peer: stack.enter_context(_team(peer, settings, workers + writer)) for peer in peers
            }
            figures: dict[str, list[float]] = {peer: [] for peer in peers}
            for _ in range(settings.repeat):
                for peer, team in teams.items():
                    tasks = [task] * workers + ["saves"] * writer
                    done = _together(team, tasks, settings.events)[:workers]
                    figures[peer].append(WINDOW / max(1, sum(done)))
        return Figures(GROUP, name, "us an event" if task == "saves" else "us a call", OURS, figures)

    return run


@contextmanager
def _team(peer: str, settings: Settings, size: int) -> Iterator[list[Worker]]:
    folder = folder_of(settings, "made", peer)
    team: list[Worker] = []
    try:
        for _ in range(size):
            team.append(Worker(peer, folder))
        yield team
    finally:
        for worker in team:
            worker.end()


def _together(team: list[Worker], tasks: list[str], events: int) -> list[int]:
    begin = time.monotonic() + LEAD
    for worker, name in zip(team, tasks, strict=True):
        worker.tell(Task(name, begin, WINDOW, events))
    return [worker.answer() for worker in team]


# -- memory ---------------------------------------------------------------------------------------


def _memory(task: str, field: str) -> Callable[[str, Settings], Figures]:
    def run(name: str, settings: Settings) -> Figures:
        peers = present((OURS, "SQLite", "DuckDB", "RocksDB", "py-lmdb"))
        figures = {peer: [_peak(peer, task, field, settings)] for peer in peers}
        note = "over what the process had with the store open" + NOTES[field]
        return Figures(GROUP, name, "MB", OURS, figures, note)

    return run


NOTES = {"RssAnon": "", "VmRSS": "; pages of mapped files, which the system takes back, included"}


def _peak(peer: str, task: str, field: str, settings: Settings) -> float:
    """Return the bytes by which a worker grew at its peak; looked at from outside, in short steps.

    `ru_maxrss` would begin with the memory of the process that started the worker.
    """
    folder = folder_of(settings, "made" if task == "scan" else f"memory-{field}", peer)
    folder.mkdir(parents=True, exist_ok=True)
    worker = Worker(peer, folder)
    try:
        worker.tell(Task("prepare", events=min(settings.events, SAVED_AT_ONCE)))
        worker.answer()
        before = peak = _memory_of(worker.pid, field)
        worker.tell(Task(task))
        while worker.answer(LOOK) is None:
            peak = max(peak, _memory_of(worker.pid, field))
        return float(peak - before)
    finally:
        worker.end()


def _memory_of(pid: int, field: str) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status)
    return int(lines[field].split()[0]) * 1024


# -- a pattern that may never end -----------------------------------------------------------------


def _hostile(name: str, settings: Settings) -> Figures:
    peers = present((OURS, "SQLite", "DuckDB", "grep"))
    figures: dict[str, list[float]] = {}
    over = []
    for peer in peers:
        worker = Worker(peer, folder_of(settings, "made", peer))
        worker.tell(Task("hostile"))
        seconds = worker.answer(LIMIT)
        worker.end()
        figures[peer] = [LIMIT if seconds is None else seconds]
        over += [peer] if seconds is None else []
    note = f"`{HOSTILE}`; a search is killed after {LIMIT:g} s; run once"
    return Figures(GROUP, name, "ms a query", OURS, figures, note, tuple(over))


ROWS: dict[str, Callable[[str, Settings], Figures]] = {
    "save, 2 processes": _side_by_side("saves", 2, writer=False),
    "get, 1 reader process": _side_by_side("gets", 1, writer=False),
    "get, 2 reader processes": _side_by_side("gets", 2, writer=False),
    "get, 1 reader process and a writer": _side_by_side("gets", 1, writer=True),
    "get, 2 reader processes and a writer": _side_by_side("gets", 2, writer=True),
    "range of 100, 1 reader process": _side_by_side("ranges", 1, writer=False),
    "range of 100, 2 reader processes": _side_by_side("ranges", 2, writer=False),
    "range of 100, 1 reader process and a writer": _side_by_side("ranges", 1, writer=True),
    "range of 100, 2 reader processes and a writer": _side_by_side("ranges", 2, writer=True),
    "memory of save_many, 200,000": _memory("save_many", "RssAnon"),
    "memory of save_many, 200,000, with mapped files": _memory("save_many", "VmRSS"),
    "memory of reading all": _memory("scan", "RssAnon"),
    "memory of reading all, with mapped files": _memory("scan", "VmRSS"),
    "pattern, hostile to backtracking": _hostile,
}


# -- in the worker --------------------------------------------------------------------------------


def _work(name: str, folder: Path, pipe: Connection) -> None:
    peer = open_peer(name, folder)
    state = _State(peer)
    pipe.send("open")
    while True:
        task: Task = pipe.recv()
        pipe.send(getattr(state, task.name)(task))


class _State:
    """What a worker can do, by the names of tasks."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._chance = random.Random()  # another one in each process, for new ids
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

    @staticmethod
    def _in_window(task: Task, work: Callable[[int], object]) -> int:
        gc.collect()
        time.sleep(max(0.0, task.begin - time.monotonic()))
        number, end = 0, task.begin + task.seconds
        while time.monotonic() < end:
            work(number)
            number += 1
        return number
