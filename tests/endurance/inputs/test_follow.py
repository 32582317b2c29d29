"""A follower is killed while a writer rotates logs by every method: each record is there once."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from lmdbstore import LMDBEventStore
from tests.endurance.tools.following import Follower, compared, rotated
from tests.endurance.tools.rotating import HEADER, METHODS, Record
from tests.tools.children import output_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.rounds import Rounds

GLOB = "*.log*"


@pytest.mark.endurance("a follower is killed while logs are rotated by every method", rounds=1)
def test_a_follower_that_is_killed_loses_and_doubles_nothing(
    tmp_path: Path, rounds: Rounds
) -> None:
    """Each round has a store of its own: files of two rounds may have the same text."""
    for number in rounds:
        place = tmp_path / str(number)
        folder = place / "logs"
        folder.mkdir(parents=True)
        once = [sys.executable, "-m", "lmdbstore", "import", "--db", place / "events", folder]
        once += ["--glob", GLOB]
        seed = str(rounds.random.randrange(1 << 32))
        with LMDBEventStore(place / "events", durability="none") as store:
            follower = Follower([*once, "--follow"], place / "errors", rounds.random)
            try:
                records = rotated(folder, place / "ledger", seed, store, follower)
                follower.stop()
            finally:
                follower.kill()
            for _ in range(2):  # the first may take last records, which no other one follows
                before = len(store)
                output_of(list(map(str, once)))
            assert len(store) == before, "an import of what is there changes nothing"
            assert compared([event.content for event in store.search()], records) == []
        rounds.add("records written and compared", len(records))
        rounds.add("rotations", len(METHODS))
        rounds.add("kills", follower.kills)
        shutil.rmtree(place)


LINES = [Record(0, 0, HEADER), Record(1, 0, "one"), Record(2, 0, "two\n  more", least=0)]
LINES += [Record(0, 1, HEADER), Record(3, 1, "three")]


@pytest.mark.parametrize(
    "contents",
    [
        [HEADER, "one", "two\n  more", "three"],
        [HEADER, HEADER, "one", "three"],
        ["three", HEADER, "one", "two\n  more"],
    ],
)
def test_what_is_right_is_seen_to_be_right(contents: list[str]) -> None:
    assert compared(contents, LINES) == []


@pytest.mark.parametrize(
    ("contents", "wrong"),
    [
        (["one", "three"], "0 headers of 2"),
        ([HEADER, HEADER, HEADER, "one", "three"], "3 headers of 2"),
        ([HEADER, "three"], "0 times: "),
        ([HEADER, "one", "one", "three"], "2 times: "),
        ([HEADER, "one", "two\n  more", "two\n  more", "three"], "2 times: "),
        ([HEADER, "one", "two", "three"], "torn or made up: 'two'"),
        ([HEADER, "two\n  more", "one", "three"], "out of order: "),
    ],
)
def test_what_is_wrong_is_seen(contents: list[str], wrong: str) -> None:
    (found,) = compared(contents, LINES)
    assert found.startswith(wrong)
