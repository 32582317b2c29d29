"""One bit of a data file is flipped, inside of an event or a run or elsewhere.

Every byte of an event and of a run is checked by the store, so there a flip is an error, or the
answers are right. Elsewhere are LMDB's own pages and our indexes: these flips are counted by
outcome, with and without the check of pages before. Each file is read in a forked child.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore, StoreDamaged
from tests.endurance.tools.bad_files import (
    FOUND,
    RIGHT,
    SHOWN,
    WRONG,
    Whole,
    checked_first,
    in_child,
    make,
    read_all,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.tools.rounds import Rounds

FLIPS = 16  # of a round
SEARCHES: list[tuple[dict[str, Any], Callable[[Event], bool]]] = [
    ({}, lambda event: bool(event.id)),
    ({"flags": ["all"], "order": "desc"}, lambda event: "all" in event.tags),
    ({"flags": ["f3"], "match": "7"}, lambda event: "f3" in event.tags and "7" in event.content),
    ({"match": "content 1"}, lambda event: "content 1" in event.content),
]
WORDS = {
    FOUND: "refused with an error",
    RIGHT: "answered rightly",
    SHOWN: "answered with what is damaged or missing, by a search",
}


def spans_of_values(path: Path, data: bytes) -> list[range]:
    """Return where the values of events and runs are in the file; each lies in one piece."""
    with LMDBEventStore(path, readonly=True) as store:
        environment = store._session._environment
        with environment.lmdb.begin() as txn:
            values = [
                value
                for database in (environment.databases.live, environment.databases.runs)
                for _, value in txn.cursor(db=database)
            ]
    begins = [(data.index(value), len(value)) for value in values]
    return [range(begin, begin + size) for begin, size in begins]


def flipped(path: Path, whole: Whole, rounds: Rounds, *, inside: bool) -> Iterator[None]:
    """Yield while one bit is flipped in the file; restore the file at the end."""
    spans = spans_of_values(path, whole.data)
    file, chance = path / "data.mdb", rounds.random
    for _ in rounds:
        for _ in range(FLIPS):
            at = chance.choice(chance.choice(spans) if inside else range(len(whole.data)))
            if not inside and any(at in span for span in spans):
                continue
            changed = bytearray(whole.data)
            changed[at] ^= 1 << chance.randrange(8)
            file.write_bytes(changed)
            yield
    file.write_bytes(whole.data)


def read_apart(path: Path, whole: Whole) -> int:
    """Ask for everything in every way, and go on after an error; return an exit code."""
    last, failed = whole.states[0], False
    with LMDBEventStore(path, create=False, readonly=True) as store:
        for query, selects in SEARCHES:
            try:
                found = {event.id: event for event in store.search(**query)}
            except StoreDamaged:
                failed = True
                continue
            if found != {i: event for i, event in last.items() if selects(event)}:
                return WRONG
        for event_id in whole.ever:
            try:
                if store.get(event_id, None) != last.get(event_id):
                    return WRONG
            except StoreDamaged:
                failed = True
    return FOUND if failed else RIGHT


@pytest.mark.endurance("One bit inside of an event or a run is flipped", rounds=1)
def test_no_flipped_bit_inside_of_a_value_is_shown(path: Path, rounds: Rounds) -> None:
    """Each file is read in every way by a new process: an error, or right answers."""
    whole = make(path, rounds.random)
    for _ in flipped(path, whole, rounds, inside=True):
        code = in_child(lambda: read_apart(path, whole))
        assert code in {FOUND, RIGHT}, code
        rounds.add("files")
        rounds.add(WORDS[code])


@pytest.mark.endurance("One bit elsewhere is flipped", rounds=1)
def test_a_flipped_bit_elsewhere_gives_no_wrong_event(path: Path, rounds: Rounds) -> None:
    """`get` gives no event that is not there; with the check of pages, all answers are right."""
    whole = make(path, rounds.random)
    for _ in flipped(path, whole, rounds, inside=False):
        code = in_child(lambda: read_all(path, whole))
        assert code in WORDS or code < 0, code
        rounds.add("files")
        rounds.add(WORDS.get(code, "ended the process, inside of LMDB"))
        code = in_child(lambda: checked_first(path, whole))
        assert code in {FOUND, RIGHT}, code
        rounds.add("checked first: " + ("found to be damaged" if code == FOUND else WORDS[RIGHT]))
