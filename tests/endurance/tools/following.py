"""A follower that is killed while a writer rotates, and what must be in the store then."""

from __future__ import annotations

import json
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.endurance.tools.rotating import HEADER, Record, moment
from tests.tools.children import LONG, ROOT
from tests.tools.commands import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from random import Random

    from lmdbstore import EventView

__all__ = ["Follower", "compared", "missing", "rotated"]

LOOK = 0.02  # seconds between two looks at what is in the store
# Seconds; the longest life of the first follower. Some are killed while they start. Each next one
# may live longer, so that a slow machine comes to an end, too.
LIFE, LONGER = 2.0, 0.2
# How a command may end that was told to stop: 128 and the signal's number; or it was just starting.
STOPPED = (0, 130, 143, -signal.SIGTERM)

_number = re.compile(r"^\S+ INFO record (\d+): ")


class Follower:
    """A command that runs for ever; it is killed and started again."""

    def __init__(self, command: Sequence[object], errors: Path, chance: Random) -> None:
        """Start the command; what it prints goes to the file `errors`."""
        self._command, self._errors, self._chance = list(map(str, command)), errors, chance
        self.kills = 0
        self._start()

    def _start(self) -> None:
        self._end = time.monotonic() + self._chance.uniform(0.1, LIFE + LONGER * self.kills)
        with self._errors.open("ab") as file:
            self._process = subprocess.Popen(
                self._command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )

    def live(self, *, held: bool) -> None:
        """Fail if it has ended by itself; kill it if its time has come, and start another."""
        code = self._process.poll()
        assert code is None, f"the follower ended by itself ({code})\n{self._errors.read_text()}"
        if not held and time.monotonic() >= self._end:
            self.kill()
            self.kills += 1
            self._start()

    def stop(self) -> None:
        """Tell it to stop, and wait until it has."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(LONG)
        assert code in STOPPED, f"the follower failed ({code})\n{self._errors.read_text()}"

    def kill(self) -> None:
        """Kill it, if it lives."""
        self._process.kill()
        self._process.wait(LONG)


def rotated(
    folder: Path, ledger: Path, seed: str, store: EventView, follower: Follower
) -> list[Record]:
    """Let a writer write and rotate until it is done, and `follower` live and die.

    Returns all records, when all that are surely complete are in the store.
    """
    arguments = [sys.executable, "-m", "tests.endurance.tools.rotating", folder, ledger, seed]
    with subprocess.Popen(
        list(map(str, arguments)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as writer:
        try:
            _tend(writer, store, follower)
        except BaseException:
            writer.kill()
            raise
    assert writer.returncode == 0, "the writer failed"
    records = [Record(**each) for each in json.loads(ledger.read_bytes())]
    _await(complete(records), store, follower, held=True)
    return records


def _tend(writer: subprocess.Popen[bytes], store: EventView, follower: Follower) -> None:
    """Answer the requests of the writer, and kill the follower, until the writer is done."""
    assert writer.stdin
    assert writer.stdout
    held, request = False, ""
    while request != "end":
        while not select.select([writer.stdout], [], [], LOOK)[0]:
            follower.live(held=held)
        request, *numbers = writer.stdout.readline().decode().split() or ["nothing"]
        assert request in ("taken", "hold", "free", "end"), "the writer failed"
        if request == "taken":
            _await(list(map(int, numbers)), store, follower, held=held)
        else:
            held = request == "hold"
        writer.stdin.write(b"\n")
        writer.stdin.flush()


def _await(numbers: list[int], store: EventView, follower: Follower, *, held: bool) -> None:
    """Wait until these records are in the store."""
    end = time.monotonic() + LONG
    while lost := missing(store, numbers):
        follower.live(held=held)
        assert time.monotonic() < end, f"the follower does not take the records {lost}"
        time.sleep(LOOK)


def missing(store: EventView, numbers: Sequence[int]) -> list[int]:
    """Return which of these records are not in the store."""
    found = store.search(moment(min(numbers)), moment(max(numbers)) + 1) if numbers else []
    there = {int(at[1]) for event in found if (at := _number.match(event.content))}
    return [number for number in numbers if number not in there]


def complete(records: Iterable[Record]) -> list[int]:
    """Return the numbers of records that are followed by another one in their file."""
    records = list(records)
    last = {each.file: each.number for each in records}
    return [each.number for each in records if each.number not in (0, last[each.file])]


def compared(contents: Sequence[str], records: Sequence[Record]) -> list[str]:
    """Return what is wrong with the contents of a store, in their order; nothing if all is right.

    Each record must be there once, whole, and in the order of its file. One with a `least` of 0 may
    be missing. Headers are equal, and at least one of them must be there.
    """
    found = Counter(contents)
    headers = sum(each.text == HEADER for each in records)
    made_up = found.keys() - {each.text for each in records}
    wrong = [f"torn or made up: {text!r}" for text in made_up]
    if not bool(headers) <= found[HEADER] <= headers:
        wrong.append(f"{found[HEADER]} headers of {headers}")
    wrong += [
        f"{found[each.text]} times: {each}"
        for each in records
        if each.number and not each.least <= found[each.text] <= 1
    ]
    places = {text: place for place, text in enumerate(contents)}
    last: dict[int, int] = {}
    for each in records:
        if each.number and each.text in places:
            if places[each.text] < last.get(each.file, -1):
                wrong.append(f"out of order: {each}")
            last[each.file] = places[each.text]
    return wrong
