"""Processes that log, fork, end and are killed: nothing is lost but what was counted as dropped.

Each process numbers its records. After each round the store is compared with what a child noted:

- A child that ended by itself has closed its handler: each record is there, or was dropped.
- A child that was killed has lost a last part of its records, which were in its queue. Whatever
  came before a call that waited for its record is there, or was dropped.
- No record is there twice, and none of a child is one that its parent had in its queue.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from lmdbstore import LMDBEventStore
from tests.tools.beside import beside
from tests.tools.children import LONG, until
from tests.tools.logged import contents, logging_to

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.tools.logged import Kept
    from tests.tools.rounds import Rounds

WAITED = 10  # of so many records one waits until it is saved
TURNS = 100  # records of the parent's other thread in a round
MOST = 300  # records of a child that ends by itself


def logger_of(name: str, handler: Kept) -> logging.Logger:
    logger = logging.Logger(name)  # noqa: LOG001  known to nothing else
    logger.addHandler(handler)
    return logger


def log(logger: logging.Logger, number: int) -> bool:
    """Log a record; return whether the call waited for it."""
    waits = number % WAITED == WAITED - 1
    logger.log(logging.ERROR if waits else logging.INFO, "%d", number)
    return waits


def child(name: str, handler: Kept, notes: Path, records: int | None, capacity: int) -> None:
    """Log in a forked child, and note what is saved; without end, if there is no number."""
    handler._capacity = capacity
    logger = logger_of(name, handler)
    with notes.open("wb", buffering=0) as file:
        number = 0
        while number != records:
            if log(logger, number):
                file.write(b"%d %d\n" % (number, handler.dropped))
            number += 1
        handler.close()
        file.write(b"%d %d\n" % (number, handler.dropped))


def begin(name: str, handler: Kept, notes: Path, records: int | None, capacity: int) -> int:
    """Fork; the exit status says whether the child succeeded."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            child(name, handler, notes, records, capacity)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return pid


def noted(notes: Path) -> tuple[int, int]:
    """Return the last note that is whole: a number, and how many records were dropped by then."""
    lines = notes.read_bytes().rpartition(b"\n")[0].splitlines()
    number, dropped = map(int, lines[-1].split())
    return number, dropped


def kill(pid: int, notes: Path, chance: Random) -> None:
    """Kill a child at a random moment, after it has noted something."""
    until(lambda: notes.exists() and b"\n" in notes.read_bytes(), "the child logs nothing")
    time.sleep(chance.choice([0.0, 0.001, 0.01]) * chance.random())
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


def await_end(pid: int) -> None:
    alarm = threading.Timer(LONG, os.kill, (pid, signal.SIGKILL))
    alarm.start()
    status = os.waitpid(pid, 0)[1]
    alarm.cancel()
    alarm.join()
    assert status == 0


@pytest.mark.endurance("processes that log are forked and killed", rounds=10)
def test_nothing_is_lost_but_what_is_counted(path: Path, tmp_path: Path, rounds: Rounds) -> None:
    logged = itertools.count()
    with (
        LMDBEventStore(path) as store,
        logging_to(store, flush_level="ERROR", timeout=LONG) as (_, handler),
    ):
        mine = logger_of("parent", handler)
        with beside(lambda _: log(mine, next(logged)), turns=TURNS) as go_on:
            for number in rounds:
                go_on()
                capacity = rounds.random.choice([5, 100, 10_000])
                ends, killed = f"ends {number}", f"killed {number}"
                records = rounds.random.randrange(MOST)
                pids = [
                    begin(ends, handler, tmp_path / ends, records, capacity),
                    begin(killed, handler, tmp_path / killed, None, capacity),
                ]
                kill(pids[1], tmp_path / killed, rounds.random)
                await_end(pids[0])

                found = [int(text) for text in contents(store, source=ends)]
                last, dropped = noted(tmp_path / ends)
                assert last == records
                assert len(found) + dropped == records
                assert found == sorted(set(found))
                rounds.add("records of children that ended", records)
                rounds.add("of them dropped and counted", dropped)

                found = [int(text) for text in contents(store, source=killed)]
                last, dropped = noted(tmp_path / killed)
                saved = [n for n in found if n <= last]
                assert last + 1 - dropped <= len(saved) <= last + 1
                assert found == sorted(set(found))
                assert set(range(WAITED - 1, last + 1, WAITED)) <= set(found)
                rounds.add("records of killed children that were waited for", last // WAITED + 1)
                rounds.add("forks", 2)
                for notes in (ends, killed):
                    with suppress(FileNotFoundError):
                        (tmp_path / notes).unlink()
        handler.flush()
        found = [int(text) for text in contents(store, source="parent")]
        assert found == [*range(next(logged))]
        assert not handler.dropped
        assert handler.errors == []
        rounds.add("records of the parent", len(found))
