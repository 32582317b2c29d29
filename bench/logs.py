"""The rows about `logging`: what a call costs its caller, and how long records take to disk.

Rules: each peer is a handler as a program would set it up, with its own file or store, and the same
records with two arguments. `QueueHandler` hands records to a thread that writes them to a file. A
burst is smaller than the queue, and a round in which a record was dropped ends the benchmark. The
time of a call is that of the caller alone; a thread that writes in the meantime shares the
interpreter with it, and so makes it longer. Each round waits until the burst is written.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from lmdbstore import LoggingHandler

from .measure import Figures, in_order
from .peers import OURS
from .runner import Settings

__all__ = ["GROUP", "ROWS", "run_logs"]

GROUP = "logging"
BURST, SMALL_BURST = 8_000, 500  # records; the queue of the handler holds 10,000
DURABLE, SMALL_DURABLE = 200, 20  # records of which each is on disk when its call returns
CALL = "a call, by the clock of its caller"
COST = "a call, by the processor of its caller"
WRITTEN = "a burst, until it is on disk"
FLUSHED = "a call that returns when its record is on disk"
NOTES = {
    CALL: "in a burst of {burst:,} calls",
    COST: "in the same calls: the time of the processor in the thread that logs",
    WRITTEN: "a burst of {burst:,} records of one thread, flushed at its end; 1,000,000 divided by "
    "the figure is the number of records a second",
    FLUSHED: "one thread: `flush_level` of the handler, and a flush after each record of the file",
}
ROWS = CALL, COST, WRITTEN, FLUSHED
FILE, QUEUE = "FileHandler", "QueueHandler"


class _Peer(NamedTuple):
    """A logger with one handler, and how its records come to disk."""

    log: logging.Logger
    flush: Callable[[], None]
    dropped: Callable[[], int] = int


def run_logs(settings: Settings) -> Iterator[Figures]:
    """Run the wanted rows."""
    if any(settings.wants(GROUP, name) for name in ROWS):
        settings.say("Logging")
        burst, durable = (SMALL_BURST, SMALL_DURABLE) if settings.brief else (BURST, DURABLE)
        for name, figures in _figures(settings, burst, durable).items():
            if settings.wants(GROUP, name):
                note = NOTES[name].format(burst=burst)
                yield Figures(GROUP, name, "us a call", OURS, figures, note)


def _figures(settings: Settings, burst: int, durable: int) -> Mapping[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {name: {} for name in ROWS}

    def add(row: str, peer: str, seconds: float) -> None:
        found[row].setdefault(peer, []).append(seconds)

    with ExitStack() as stack:
        peers = {name: make(settings.folder, stack) for name, make in PEERS.items()}
        for number in range(settings.repeat + 1):
            for name in in_order(peers, number):
                figures = [*_burst(peers[name], burst), _one_by_one(peers[name], durable)]
                assert not peers[name].dropped()
                if number:  # the first round warms up
                    add(CALL, name, figures[0])
                    add(COST, name, figures[1])
                    add(WRITTEN, name, figures[2])
                    if name != QUEUE:  # its caller cannot wait for the other thread
                        add(FLUSHED, name, figures[3])
    return found


def _burst(peer: _Peer, number: int) -> tuple[float, float, float]:
    """Return the seconds of a call, its processor time, and until its record is on disk."""
    info, begin, cost = peer.log.info, time.perf_counter(), time.thread_time()
    for n in range(number):
        info("order %d of %s came", n, "x")
    cost, called = time.thread_time() - cost, time.perf_counter()
    peer.flush()
    end = time.perf_counter()
    return (called - begin) / number, cost / number, (end - begin) / number


def _one_by_one(peer: _Peer, number: int) -> float:
    begin = time.perf_counter()
    for n in range(number):
        peer.log.error("order %d of %s failed", n, "x")
    return (time.perf_counter() - begin) / number


# -- the peers ------------------------------------------------------------------------------------


def _ours(folder: Path, stack: ExitStack) -> _Peer:
    handler = LoggingHandler(folder / "log-store", flush_level="ERROR", timeout=None)
    stack.callback(handler.close)
    return _Peer(_logger(handler), handler.flush, lambda: handler.dropped)


class _Durable(logging.FileHandler):
    """A file that is on disk after each error, as the store is."""

    def sync(self) -> None:
        self.flush()
        assert self.stream is not None
        os.fsync(self.stream.fileno())

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if record.levelno >= logging.ERROR:
            self.sync()


def _file(folder: Path, stack: ExitStack) -> _Peer:
    handler = _Durable(folder / "file.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    stack.callback(handler.close)
    return _Peer(_logger(handler), handler.sync)


def _queue(folder: Path, stack: ExitStack) -> _Peer:
    handler = _Durable(folder / "queue.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    stack.callback(handler.close)
    queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
    listener = QueueListener(queue, handler)
    listener.start()
    stack.callback(listener.stop)

    def flush() -> None:
        while not queue.empty():
            time.sleep(0.0005)
        listener.stop()  # when the last record is written
        handler.sync()
        listener.start()

    return _Peer(_logger(QueueHandler(queue)), flush)


def _logger(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("shop.orders")  # noqa: LOG001  known to nothing else
    logger.addHandler(handler)
    return logger


PEERS: dict[str, Callable[[Path, ExitStack], _Peer]] = {OURS: _ours, FILE: _file, QUEUE: _queue}
