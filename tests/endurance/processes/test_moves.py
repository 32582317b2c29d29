"""Folders are renamed, deleted and replaced, and files removed from them, under load.

Every acknowledged write is in a store to which the path led at a moment of its call, or the call
raised; what it said about the change is true.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lmdbstore import LMDBEventStore, StoreMoved, StoreOpenError
from tests.endurance.tools.moved import ACKNOWLEDGED, COMMITTED, NOTHING, Answer
from tests.tools.children import ROOT
from tests.tools.indexes import assert_indexes_agree

if TYPE_CHECKING:
    from tests.tools.rounds import Rounds

MOVES = 8  # in a round
LONGEST_PAUSE = 0.03  # seconds between two moves
LONG = 120  # seconds; ends a hang, decides nothing


class Stay(NamedTuple):
    """A time in which the path led to a folder; the folder is elsewhere at the end."""

    begun: int  # at the earliest, by the monotonic clock
    ended: int  # at the latest
    folder: Path


class Mover:
    """Moves what is at a path, and notes what the path led to, and when."""

    def __init__(self, path: Path, rounds: Rounds) -> None:
        """Begin with whatever is at `path`."""
        self.path = path
        self.chance = rounds.random
        self.stays: list[Stay] = []
        self.deletions: list[Stay] = []
        self._number = 0
        self._since = time.monotonic_ns()

    def new(self, what: str) -> Path:
        """Return a new name beside the path."""
        self._number += 1
        return self.path.with_name(f"{what}-{self._number}")

    def away(self) -> Path:
        """Rename what is at the path."""
        folder, begun = self.new("aside"), time.monotonic_ns()
        if self.path.exists():
            self.path.rename(folder)
        self._end(folder, begun)
        return folder

    def _follow(self, before: Path, after: Path) -> None:
        """Note where the folder of former stays is now."""
        self.stays = [
            stay._replace(folder=after) if stay.folder == before else stay for stay in self.stays
        ]

    def _end(self, folder: Path, begun: int) -> None:
        """Note that the path leads to a folder no more, which has another name now.

        `begun` is a time before it was moved: a writer may have made a new store there since.
        """
        self._follow(self.path, folder)
        self.stays.append(Stay(self._since, time.monotonic_ns(), folder))
        self._since = begun

    def into_place(self, folder: Path) -> None:
        """Rename a folder to the path, unless a writer was quicker to make a store there."""
        begun = time.monotonic_ns()
        try:
            folder.rename(self.path)
        except OSError:
            return
        self._since = begun
        self._follow(folder, self.path)

    def leave(self) -> None:
        """Rename it; writers make a new store."""
        self.away()

    def there_and_back(self) -> None:
        """Rename it, and put it back after a moment."""
        folder = self.away()
        time.sleep(self.chance.random() * LONGEST_PAUSE / 3)
        if folder.exists():
            self.into_place(folder)

    def replace(self) -> None:
        """Put another store in place."""
        other = self.new("other")
        LMDBEventStore(other).close()
        self.away()
        self.into_place(other)

    def restore(self) -> None:
        """Make a backup, and put it in place, as `mv` does."""
        backup = self.new("backup")
        try:
            with LMDBEventStore(self.path, create=False, durability="none") as store:
                store.backup(backup)
        except (StoreOpenError, StoreMoved):  # the writers have not made it yet
            return
        self.away()
        self.into_place(backup)

    def delete(self) -> None:
        """Delete it, as `rm -r` does; its data file has another name, by which it is found."""
        kept = self.new("kept")
        kept.mkdir()
        begun = time.monotonic_ns()
        if (self.path / "data.mdb").exists():
            os.link(self.path / "data.mdb", kept / "data.mdb")
        while self.path.exists():
            shutil.rmtree(self.path, ignore_errors=True)  # until no writer makes files in it
        self._end(kept, begun)
        self.deletions.append(Stay(begun, self._since, kept))

    def remove_files(self) -> None:
        """Remove side files."""
        for name in self._side_files():
            (self.path / name).unlink(missing_ok=True)

    def replace_files(self) -> None:
        """Put copies of side files in their place, or empty files."""
        for name in self._side_files():
            new = self.new("file")
            with suppress(FileNotFoundError):  # it was removed, or the folder was
                if self.chance.random() < 0.5:
                    shutil.copy2(self.path / name, new)
                else:
                    new.touch(0o600)
                new.replace(self.path / name)

    def _side_files(self) -> list[str]:
        return self.chance.sample(SIDE_FILES, self.chance.randint(1, len(SIDE_FILES)))


SIDE_FILES = ["lock.mdb", "barrier", "snapshots"]
FOLDERS = Mover.leave, Mover.there_and_back, Mover.replace, Mover.restore, Mover.delete


@pytest.mark.endurance("The folder of a store is moved, deleted and replaced under load", rounds=1)
def test_folders_that_are_moved_under_load(tmp_path: Path, rounds: Rounds) -> None:
    for number in rounds:
        mover = Mover(tmp_path / str(number) / "events", rounds)
        mover.path.parent.mkdir()
        answers = under_load(mover, FOLDERS, processes=2, threads=2)
        check(mover, answers, rounds)
        shutil.rmtree(mover.path.parent)


@pytest.mark.endurance(
    "Side files are removed and replaced under load, and the folder moved", rounds=2
)
def test_side_files_that_are_removed_under_load(tmp_path: Path, rounds: Rounds) -> None:
    """By one process with many threads, and by several, of which the others are refused.

    A process that notices it closes the store. When all have, the next one makes new files.
    """
    files = Mover.remove_files, Mover.replace_files
    for number in rounds:
        mover = Mover(tmp_path / str(number) / "events", rounds)
        mover.path.parent.mkdir()
        moves = files * 2 + (Mover.leave, Mover.there_and_back)
        processes = 1 if number % 3 == 1 else 3
        answers = under_load(mover, moves, processes=processes, threads=5 - processes)
        check(mover, answers, rounds)
        shutil.rmtree(mover.path.parent)


def under_load(
    mover: Mover, moves: tuple[object, ...], *, processes: int, threads: int
) -> list[Answer]:
    """Let processes write while the path is moved; return their answers."""
    command = [sys.executable, "-m", "tests.endurance.tools.moved", str(mover.path)]
    children = [
        subprocess.Popen(
            [*command, str(n), str(threads)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(processes)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for _ in range(MOVES):
            time.sleep(mover.chance.random() * LONGEST_PAUSE)
            move = mover.chance.choice(moves)
            assert callable(move)
            move(mover)
        time.sleep(LONGEST_PAUSE)
        outputs = [child.communicate(timeout=LONG)[0] for child in children]
        assert [child.returncode for child in children] == [0] * processes
    finally:
        for child in children:
            child.kill()
            child.communicate()
    mover._end(mover.path, time.monotonic_ns())
    return [Answer(*answer) for output in outputs for answer in json.loads(output)]


def check(mover: Mover, answers: list[Answer], rounds: Rounds) -> None:
    """Check that each answer is true."""
    found: dict[Path, set[str]] = {}
    for folder in {stay.folder for stay in mover.stays}:
        found[folder] = events_in(folder)
    everything = set[str]().union(*found.values())
    for answer in answers:
        # What `rm` destroyed while it was being written may be anywhere, or nowhere.
        in_deletion = any(overlaps(answer, deletion) for deletion in mover.deletions)
        there = [stay for stay in mover.stays if answer.id in found[stay.folder]]
        if answer.outcome == ACKNOWLEDGED:
            assert in_deletion or any(overlaps(answer, stay) for stay in there), (answer, there)
        elif answer.outcome == COMMITTED:
            assert in_deletion or there, answer
        else:
            assert answer.outcome == NOTHING
            assert answer.id not in everything, answer
        rounds.add(f"writes: {answer.outcome}")
    rounds.add("moves", MOVES)


def overlaps(answer: Answer, stay: Stay) -> bool:
    return answer.begun <= stay.ended and stay.begun <= answer.ended


def events_in(folder: Path) -> set[str]:
    """Return the ids in the store in a folder, which must be whole."""
    if not (folder / "data.mdb").exists():
        return set()
    with LMDBEventStore(folder, durability="none") as store:
        assert_indexes_agree(store)
        assert store.verify(pages=True) == []
        events = set[str](event.id for event in store.search())
        many = [event.id.rpartition("-")[0] for event in store.search(flags=["many"])]
    assert all(many.count(name) == 3 for name in set(many)), "a part of a batch"
    return events
