"""Data files that are cut off, zeroed or flipped: they are found, refused, read or repaired.

Each variant is checked in a forked child; see `tests.endurance.tools.bad_files`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lmdbstore import LMDBEventStore, repair, verify
from tests.endurance.tools.bad_files import (
    FOUND,
    PAGE,
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
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.tools.rounds import Rounds

VARIANTS = 8  # of a round


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
