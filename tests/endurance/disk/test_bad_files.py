"""Data files that are cut off, zeroed or flipped: they are found, refused, read or repaired.

Each variant is checked in forked children, since LMDB trusts its file, and may end a process
that opens it without a check of its pages. If a meta page is lost, the state before the last
write may be shown or repaired, so both states are right. No older state is.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import traceback
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lmdbstore import Event, EventStoreException, LMDBEventStore, repair, verify

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.tools.rounds import Rounds


PAGE = 4096
VARIANTS = 8  # of a round
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


def cut(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[: at // PAGE * PAGE if chance.random() < 0.5 else at]


def zeroed(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data)) // PAGE * PAGE
    size = chance.choice([512, PAGE, PAGE, 3 * PAGE, chance.randrange(1, len(data))])
    return data[:at] + bytes(min(size, len(data) - at)) + data[at + size :]


def flipped(data: bytes, chance: random.Random) -> bytes:
    """Flip some bits, in any byte, or in the header of a page."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 8])):
        page = chance.randrange(len(data) // PAGE) * PAGE
        where = chance.choice(["page", "head", "table", "meta"])
        if where == "meta":
            at = chance.choice([0, PAGE]) + chance.randrange(152)
        else:
            at = page + chance.randrange({"page": PAGE, "head": 16, "table": 64}[where])
        changed[at] ^= 1 << chance.randrange(8)
    return bytes(changed)


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


def repaired(path: Path, whole: Whole) -> int:
    repair(path)
    if verify(path, pages=True):
        return WRONG
    with LMDBEventStore(path) as store:
        events = list(store.search())
        for event in events:
            if event not in (state.get(event.id) for state in whole.states):
                return WRONG
        return RIGHT if len(events) >= min(map(len, whole.states)) else SHOWN


@pytest.mark.endurance("A data file is cut off, zeroed or flipped, and checked first", rounds=1)
def test_a_bad_file_that_is_checked_first_never_ends_the_process(
    path: Path, rounds: Rounds
) -> None:
    """If nothing is found, all answers are right."""
    whole = make(path, rounds.random)
    for damaged in variants(path, whole, rounds):
        code = in_child(lambda: checked_first(path, whole))
        assert code in {FOUND, RIGHT}, (code, damaged.__name__)
        rounds.add("files")
        rounds.add("found to be damaged" if code == FOUND else "answered rightly")


@pytest.mark.endurance("A damaged data file is opened without a check", rounds=1)
def test_a_bad_file_opened_without_a_check_gives_no_wrong_event(path: Path, rounds: Rounds) -> None:
    """LMDB may end the process, but `get` returns no event that was never saved."""
    whole = make(path, rounds.random)
    words = {
        FOUND: "refused with an error",
        RIGHT: "answered rightly",
        SHOWN: "answered with what is damaged or missing, by a search",
    }
    for damaged in variants(path, whole, rounds):
        code = in_child(lambda: read_all(path, whole))
        assert code in words or code < 0, (code, damaged.__name__)
        rounds.add("files")
        rounds.add(words.get(code, "ended the process, inside of LMDB"))


@pytest.mark.endurance("A damaged data file is repaired", rounds=1)
def test_repair_of_a_bad_file_gives_a_sound_store_or_is_refused(path: Path, rounds: Rounds) -> None:
    """The events of the sound store are unchanged."""
    whole = make(path, rounds.random)
    for damaged in variants(path, whole, rounds):
        code = in_child(lambda: repaired(path, whole))
        assert code in {FOUND, RIGHT, SHOWN}, (code, damaged.__name__)
        rounds.add("files")
        words = {FOUND: "refused", RIGHT: "whole again", SHOWN: "sound, without what was lost"}
        rounds.add(words[code])
        for name in os.listdir(path):
            if name.startswith("damaged-"):
                (path / name).unlink()


def variants(
    path: Path, whole: Whole, rounds: Rounds
) -> Iterator[Callable[[bytes, random.Random], bytes]]:
    """Yield the name of each damage while it is in the file; restore the file at the end."""
    for _ in rounds:
        for _ in range(VARIANTS):
            damage = rounds.random.choice([cut, zeroed, flipped, flipped, flipped])
            (path / "data.mdb").write_bytes(damage(whole.data, rounds.random))
            yield damage
    (path / "data.mdb").write_bytes(whole.data)
