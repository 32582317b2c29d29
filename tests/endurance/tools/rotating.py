"""A program that writes logs, and rotates them by every method that is in use.

`python -m tests.endurance.tools.rotating FOLDER LEDGER SEED` rotates `app.log` in `FOLDER` by each
method once, in an order of the seed, and writes lines in between. No method loses a line itself:
before a file is deleted, the program asks for it, on its standard output, and waits for a line
on standard input:

    taken N …   go on when the records with these numbers are in the store
    hold        do not kill the follower from now on
    free        it may be killed again
    end         all is written, and `LEDGER` has all records, in JSON

The last record of a file that will be deleted may be lost: one that may go on in the next line is
not complete until a record follows it.
"""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import lzma
import os
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HEADER", "METHODS", "Record", "moment"]

BEGINNING = 1709632800  # 2024-03-05 10:00:00 UTC, in seconds since 1970
HEADER = "2024-03-05T09:00:00Z INFO the log begins"  # equal in all files that have it
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
MOST_IN_BURST = 300  # records written at once


@dataclass(slots=True)
class Record:
    """One record that was written."""

    number: int  # from 1, in the order of writing; 0 for headers
    file: int  # the number of the file
    text: str
    least: int = 1  # 0 if it may be lost


def moment(number: int) -> float:
    """Return the time of a record, in seconds since 1970; pairs have the same one."""
    return float(BEGINNING + (number + 1) // 2)


class Log(NamedTuple):
    """A file that is open for writing."""

    path: Path
    number: int
    descriptor: int


class Writer:
    """Writes and rotates `app.log`."""

    def __init__(self, folder: Path, chance: Random) -> None:
        """Begin with a new `app.log`."""
        self.records: list[Record] = []
        self._folder, self._chance = folder, chance
        self._files, self._stamps = itertools.count(), itertools.count()
        self._number = 1
        self._chain: list[int] = []  # the files app.log.1, app.log.2, …
        self.log = self._create("app.log")

    # -- writing ----------------------------------------------------------------------------------

    def write(self) -> None:
        """Write for a short time, in one of many ways."""
        for _ in range(self._chance.randint(1, 5)):
            if self._chance.random() < 0.2:
                self._burst(self.log)
            else:
                self._append(self.log)
            self._pause()

    def _append(self, log: Log, *, least: int = 1) -> None:
        """Write a record, perhaps in two parts with a pause between them."""
        text, cut = self._record(log, least), 0
        if self._chance.random() < 0.4:
            # Often between two lines, where what is there looks complete.
            cut = self._chance.choice([text.index(b"\n") + 1, self._chance.randrange(len(text))])
            os.write(log.descriptor, text[:cut])
            self._pause()
        os.write(log.descriptor, text[cut:])

    def _burst(self, log: Log) -> None:
        number = self._chance.randint(2, MOST_IN_BURST)
        os.write(log.descriptor, b"".join(self._record(log) for _ in range(number)))

    def _record(self, log: Log, least: int = 1) -> bytes:
        number, self._number = self._number, self._number + 1
        at = datetime.fromtimestamp(moment(number), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = f"{at} INFO record {number}: {'x' * self._chance.randint(1, 80)}"
        if self._chance.random() < 0.25:
            text += f"\n    more of record {number}"
        self.records.append(Record(number, log.number, text, least))
        return f"{text}\n".encode()

    def _pause(self) -> None:
        time.sleep(self._chance.choice([0.0, 0.005, 0.05, 0.3]) * self._chance.random())

    def _create(self, name: str) -> Log:
        path = self._folder / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
        return self._begun(Log(path, next(self._files), descriptor))

    def _begun(self, log: Log) -> Log:
        """Begin a file; many begin with an equal line."""
        self._number += 1 - self._number % 2  # no pair is in two files
        if self._chance.random() < 0.7:
            os.write(log.descriptor, f"{HEADER}\n".encode())
            self.records.append(Record(0, log.number, HEADER))
        return log

    # -- rotating ---------------------------------------------------------------------------------

    def rename(self) -> None:
        """Rename, and create."""
        self._rename(f"app.log.old-{next(self._stamps)}")

    def rename_and_go_on(self) -> None:
        """Rename, and write to the old file for a while, when the new one is there already."""
        old = self._moved(f"app.log.old-{next(self._stamps)}")
        self._pause()
        self.log = self._create("app.log")
        for _ in range(self._chance.randint(1, 5)):
            self._append(old)
            self._pause()
        os.close(old.descriptor)

    def dated_behind(self) -> None:
        """Rename to a name that ends with a date."""
        self._rename(f"app.log-20240305-{next(self._stamps)}")

    def dated_inside(self) -> None:
        """Rename to a name with a date before the suffix."""
        self._rename(f"app-2024-03-05-{next(self._stamps)}.log")

    def copytruncate(self) -> None:
        """Copy in two parts, and truncate; the writer pauses, so that no line is lost."""
        copy = self._folder / f"app.log.copy-{next(self._stamps)}"
        with self.log.path.open("rb") as file, copy.open("wb", buffering=0) as target:
            target.write(file.read(self._chance.randrange(1, 2000)))
            self._pause()
            shutil.copyfileobj(file, target)
        self._pause()
        os.truncate(self.log.path, 0)
        self.log = self._begun(self.log._replace(number=next(self._files)))

    def pack(self) -> None:
        """Rename, create, pack in two parts, and delete what is packed."""
        suffix = self._chance.choice(list(PACKERS))
        plain = self._rename(f"app.log.packed-{next(self._stamps)}")
        self.write()
        packed = PACKERS[suffix](plain.read_bytes())
        cut = self._chance.randrange(len(packed))
        with Path(f"{plain}.{suffix}").open("wb", buffering=0) as target:
            target.write(packed[:cut])
            self._pause()
            target.write(packed[cut:])
        self._pause()
        plain.unlink()

    def delete_what_was_read(self) -> None:
        """Delete a file of which all is in the store, and create it again."""
        self._append(self.log, least=0)
        self._ask_for(self._complete(self.log))
        self._delete()

    def delete_before_the_eyes(self) -> None:
        """Delete a file that the follower has open, at once after writing to it."""
        ask("hold")
        self._append(self.log)
        self._append(self.log)
        self._ask_for(self._complete(self.log)[-1:])  # so that the living one has read from it
        self._burst(self.log)
        self._append(self.log, least=0)
        old = self._complete(self.log)
        self._delete()
        self.write()
        self._ask_for(old)
        ask("free")

    def chain(self) -> None:
        """Move .1 to .2, .2 to .3, after .3 was deleted of which all is in the store."""
        names = [self._folder / f"app.log.{n}" for n in (3, 2, 1)]
        if names[0].exists():
            oldest = self._chain.pop()
            numbers = [each.number for each in self.records if each.file == oldest and each.least]
            self._ask_for(numbers)
            names[0].unlink()
        for target, source in itertools.pairwise(names):
            if source.exists():
                source.rename(target)
                self._pause()
        self._append(self.log, least=0)
        self._chain.insert(0, self.log.number)
        self._rename(names[2].name)

    def another(self) -> None:
        """Write another file, which appears in the folder."""
        log = self._create(f"other-{next(self._stamps)}.log")
        for _ in range(self._chance.randint(1, 5)):
            self._pause()
            self._append(log)
        os.close(log.descriptor)

    def _moved(self, name: str) -> Log:
        target = self._folder / name
        os.rename(self.log.path, target)
        return self.log._replace(path=target)

    def _rename(self, name: str) -> Path:
        old = self._moved(name)
        os.close(old.descriptor)
        if self._chance.random() < 0.5:
            self._pause()
        self.log = self._create("app.log")
        return old.path

    def _delete(self) -> None:
        os.unlink(self.log.path)
        os.close(self.log.descriptor)
        self.log = self._create("app.log")

    def _complete(self, log: Log) -> list[int]:
        """Return the numbers of the records in a file that are followed by another one."""
        return [each.number for each in self.records if each.file == log.number][:-1]

    def _ask_for(self, numbers: list[int]) -> None:
        if numbers := [number for number in numbers if number]:
            ask(f"taken {' '.join(map(str, numbers))}")


METHODS: tuple[Callable[[Writer], None], ...] = (
    Writer.rename,
    Writer.rename_and_go_on,
    Writer.dated_behind,
    Writer.dated_inside,
    Writer.copytruncate,
    Writer.pack,
    Writer.delete_what_was_read,
    Writer.delete_before_the_eyes,
    *[Writer.chain] * 5,  # the fourth is the first that deletes one
    Writer.another,
)


def ask(request: str) -> None:
    """Ask, and wait for the answer."""
    print(request, flush=True)  # noqa: T201  its protocol
    if not sys.stdin.readline():
        sys.exit(1)  # there is no one any more to ask


def main(folder: str, ledger: str, seed: str) -> None:
    """Write with each method once."""
    chance = Random(seed)
    writer = Writer(Path(folder), chance)
    for method in chance.sample(METHODS, len(METHODS)):
        writer.write()
        method(writer)
    writer.write()
    os.close(writer.log.descriptor)
    Path(ledger).write_text(json.dumps([asdict(each) for each in writer.records]))
    ask("end")


if __name__ == "__main__":
    main(*sys.argv[1:])
