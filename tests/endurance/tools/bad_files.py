"""Files of a store that are damaged, and forked children that read them.

LMDB trusts its file, and may end a process that opens a damaged one without a check of its pages.
If a meta page is lost, the state before the last write may be shown, so both states are right. No
older state is.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import traceback
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore import Event, EventStoreException, LMDBEventStore, verify

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "FOUND",
    "PAGE",
    "RIGHT",
    "SHOWN",
    "WRONG",
    "Whole",
    "checked_first",
    "in_child",
    "make",
    "read_all",
]

PAGE = 4096
LIMIT = 60  # seconds of a child; ends a hang of LMDB in a circle of pages
State = dict[str, Event]

FOUND, RIGHT, SHOWN, WRONG, BROKEN = 10, 11, 12, 13, 14  # exit codes of children


class Whole(NamedTuple):
    """The sound store: its file, its events, and its events before the last write."""

    data: bytes
    states: tuple[State, State]
    ever: State  # all events that were ever in it


def make(path: Path, chance: random.Random) -> Whole:
    """Make a store of a few hundred events, with every kind of page in its file."""
    with LMDBEventStore(path) as store:
        store.save_many(
            Event(
                f"e{n}" + "x" * chance.choice([0, 0, 0, 600]),
                timestamp=chance.choice([1.0, float(n), -float(n)]),
                tags=["all", f"f{n % 7}", *(["t" * 700] if n % 50 == 0 else [])],
                content=f"content {n} " * chance.choice([1, 10, 10, 900 if n % 40 == 0 else 5]),
            )
            for n in range(700)
        )
        ever = {event.id: event for event in store.search()}
        for event in [e for e in store.search() if chance.random() < 0.1]:
            store.delete(event.id)
        before = {event.id: event for event in store.search()}
        store.save(Event("the last", content="the last"))
        after = {event.id: event for event in store.search()}
    return Whole((path / "data.mdb").read_bytes(), (after, before), {**ever, **after})


def in_child(work: Callable[[], int]) -> int:
    """Fork, and run `work` in the child; return its exit code, or minus the signal's number."""
    pid = os.fork()
    if not pid:
        code = BROKEN
        try:
            faulthandler.disable()  # the test counts the processes that LMDB ends
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.alarm(LIMIT)
            code = work()
        except EventStoreException:
            code = FOUND
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def read_all(path: Path, whole: Whole) -> int:
    """Read everything in every way; return an exit code for the answers."""
    with LMDBEventStore(path, create=False, readonly=True) as store:
        got: State = {}
        for event_id in whole.ever:
            event = store.get(event_id, None)
            if event is not None:
                got[event_id] = event
        if any(event not in (s.get(i) for s in whole.states) for i, event in got.items()):
            return WRONG  # a flipped bit was returned as data, or a former state as the last
        shown = list(store.search())
        counted, flags = len(store), store.flags()
        walked = list(store.search(flags=["all"], order="desc"))
        matched = {event.id for event in store.search(match="content 1[0-9]* ")}
    for state in whole.states:
        right = {i for i, event in state.items() if event.content.startswith("content 1")}
        tagged = [event for event in shown if "all" in event.tags]
        if (
            {event.id: event for event in shown} == state == got
            and len(shown) == len(state) == counted
            and walked == tagged[::-1]
            and matched == right
            and flags["all"] == len(tagged)
        ):
            return RIGHT
    return SHOWN


def checked_first(path: Path, whole: Whole) -> int:
    return FOUND if verify(path, pages=True) else read_all(path, whole)
