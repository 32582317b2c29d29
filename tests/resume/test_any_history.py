"""Any history of a log, with imports in between, some of which fail: each record is stored once."""

from __future__ import annotations

import bz2
import gzip
import itertools
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmdbstore import MemoryEventStore, StoreFull
from lmdbstore.ingest import saving
from lmdbstore.inputs import unpacking
from lmdbstore.resume import content
from tests.tools.imports import contents, imported

steps = st.lists(
    st.sampled_from(
        [
            *["record"] * 6,
            *["continued"] * 2,
            *["half"] * 2,
            *["run"] * 3,
            *["failing"] * 2,
            "rename",
            "pack",
            "copytruncate",
            "trim",
            "purge",
        ]
    ),
    max_size=40,
)


class Failing(MemoryEventStore):
    """A store that fails at one call of `save_many`, before or after it saved."""

    fail_at = -1

    def save_many(self, *args: Any, **named: Any) -> Any:
        self.fail_at -= 1
        if self.fail_at == 0:
            raise StoreFull("before")
        saved = super().save_many(*args, **named)
        if self.fail_at == 1:
            self.fail_at = -1
            raise StoreFull("after")
        return saved


class History:
    """A log in a folder, and what was written to it."""

    def __init__(self, folder: Path, chunk: int) -> None:
        self.folder = folder
        self.log = folder / "a.log"
        self.store = Failing()
        self.numbers = itertools.count(1)
        self.records: list[str] = []
        self.purged: set[str] = set()
        self.chunk = chunk
        self.trimmed = False
        self.begin()

    def begin(self) -> None:
        """Begin a file. Each has the same first line, and no file is the start of another."""
        self.open = False
        self.log.write_bytes(b"")
        self.write("2024-03-05 10:00:00 begin", "\n")
        self.record()

    def write(self, text: str, end: str) -> None:
        with self.log.open("a") as file:
            file.write(text + end)
        self.records.append(text)

    def record(self) -> None:
        self.finish_line()
        n = next(self.numbers)
        self.write(f"2024-03-05 10:{n // 60 % 60:02}:{n % 60:02} record {n}", "\n")

    def half(self) -> None:
        """Write the first part of a line; the next step completes it."""
        self.record()
        with self.log.open("rb+") as file:
            file.truncate(self.log.stat().st_size - 1)
        self.open = True

    def finish_line(self) -> None:
        if self.open:
            with self.log.open("a") as file:
                file.write(" end\n")
            self.records[-1] += " end"
            self.open = False

    def continued(self) -> None:
        self.finish_line()
        with self.log.open("a") as file:
            file.write(f"  more {next(self.numbers)}\n")
        self.records[-1] += "\n" + self.log.read_text().splitlines()[-1]

    def name(self) -> Path:
        return self.folder / f"old{next(self.numbers)}"

    def rename(self) -> None:
        self.finish_line()
        self.log.rename(self.name())
        self.begin()

    def pack(self) -> None:
        self.finish_line()
        number = next(self.numbers)
        packed = gzip.compress if number % 2 else bz2.compress
        self.name().write_bytes(packed(self.log.read_bytes()))
        self.begin()

    def copytruncate(self) -> None:
        self.finish_line()
        shutil.copy(self.log, self.name())
        self.begin()

    def trim(self) -> None:
        """Cut the front of what is stored away, before a record; many known lines stay."""
        self.record()
        self.run()
        lines = self.log.read_bytes().splitlines(keepends=True)
        starts = [n for n, line in enumerate(lines) if line.startswith(b"2024")]
        if len(starts) > 20:
            self.log.write_bytes(b"".join(lines[starts[-12] :]))

    def purge(self) -> None:
        """Delete a record that is stored, if it is not the last one, which may still grow."""
        self.run()
        for event in list(self.store.search())[:1]:
            if event.content != self.records[-1] and "begin" not in event.content:
                self.store.delete(event.id)
                self.purged.add(event.content)

    def run(self) -> None:
        for path in sorted(self.folder.iterdir()):
            imported(self.store, path)

    def failing(self, at: int) -> None:
        self.store.fail_at = at
        try:
            self.run()
        except StoreFull:
            pass
        finally:
            self.store.fail_at = -1


@given(
    steps, st.sampled_from([1, 30, 100, 1 << 18]), st.integers(2, 6), st.sampled_from([64, 1 << 20])
)
@settings(deadline=None)
def test_each_record_is_stored_once(history: list[str], chunk: int, at: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(unpacking, "CHUNK", chunk)
        patch.setattr(content, "BLOCK", block)
        patch.setattr(saving, "BATCH_EVENTS", 3)
        log = History(Path(folder), chunk)
        for step in history:
            if step == "failing":
                log.failing(at)
            else:
                getattr(log, step)()
        log.finish_line()
        log.run()
        expected = [one for one in log.records if one not in log.purged]
        assert sorted(contents(log.store)) == sorted(expected)
        before = list(log.store.search())
        log.run()
        assert list(log.store.search()) == before
