"""A store that is closed at any line of a call: the call succeeds, or says that it is closed."""

from __future__ import annotations

import itertools
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lmdbstore
from lmdbstore import Event, LMDBEventStore, StoreBusy, StoreClosed
from lmdbstore.disk.folder import SIDE_FILES

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

    Line = tuple[CodeType, int]

MOMENT = (
    0.05  # seconds; some lines hold a lock that closing needs, and then it comes after the call
)
SMALL = 1000  # bytes; another file has fewer
WITHOUT_STORE = "/patterns/", "/records/", "/contract/asking/"  # they know no open store
FEW = 250  # lines; a call that has more is made once for each
_numbers = itertools.count()
PACKAGE = str(Path(lmdbstore.__file__).parent)
LONG_CALLS = {"backup", "compact"}  # of these only the lines of their own folder


def statistics(store: LMDBEventStore) -> None:
    assert store.stats().file_bytes > SMALL


def verify(store: LMDBEventStore) -> None:
    assert store.verify(pages=True) == []


def back_up(store: LMDBEventStore) -> None:
    target = Path(f"{store._path}-{next(_numbers)}")
    store.backup(target)
    assert stat.S_IMODE((target / "data.mdb").stat().st_mode) == 0o600


def take_snapshot(store: LMDBEventStore) -> None:
    with store.snapshot() as view:
        assert view.get("e2").id == "e2"


CALLS: dict[str, Callable[[LMDBEventStore], object]] = {
    "stats": statistics,
    "verify": verify,
    "backup": back_up,
    "compact": lambda store: store.compact(),
    "save": lambda store: store.save(Event()),
    "get": lambda store: store.get("e1"),
    "search": lambda store: list(store.search(flags=["a"], match="event")),
    "purge": lambda store: store.purge(max_events=1),
    "snapshot": take_snapshot,
    "flush": lambda store: store.flush(),
    "cursor": lambda store: store.cursor("reader").close(),
    "delete_many": lambda store: store.delete_many(["e1"]),
    "len": len,
}


class At:
    """Notes the lines of the library that a thread reaches, or acts as it reaches one."""

    def __init__(self, line: Line | None = None, act: Callable[[], object] = int) -> None:
        self.lines: dict[Line, None] = {}
        self._wanted, self._act = line, act

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        line = frame.f_code, frame.f_lineno
        if event == "line" and line not in self.lines:
            self.lines[line] = None
            if line == self._wanted:
                self._act()
        return self


def traced(at: At, call: Callable[[], object]) -> None:
    before = sys.gettrace()
    sys.settrace(at)
    try:
        call()
    finally:
        sys.settrace(before)


def outcome(
    path: Path, line: Line, call: Callable[[LMDBEventStore], object], decoy: Path | None
) -> str:
    """Make a call, in which the store is closed at a line."""
    store = LMDBEventStore(path)
    with ExitStack() as opened, ThreadPoolExecutor(1) as pool:

        def close() -> None:
            with suppress(StoreBusy):  # the call is inside of LMDB
                store.close(timeout=0)
            for _ in range(8 if decoy else 0):
                opened.callback(os.close, os.open(str(decoy), os.O_RDONLY))

        try:
            traced(At(line, lambda: wait([pool.submit(close)], MOMENT)), lambda: call(store))
        except StoreClosed:
            return "closed"
        finally:
            store.close()
        return "done"


@pytest.mark.parametrize("name", CALLS)
def test_a_store_that_is_closed_at_each_line_of_a_call(
    path: Path, tmp_path: Path, name: str
) -> None:
    """Another thread closes it, and may open folders, which get the numbers of its descriptors."""
    call, decoy = CALLS[name], tmp_path / "decoy"
    with LMDBEventStore(decoy) as store:  # no snapshot: a note in the empty file stays visible
        store.save(Event("of another store"))
    (decoy / "data.mdb").chmod(0o640)
    os.truncate(decoy / "data.mdb", SMALL // 2)  # so that a call that reads it is noticed
    before = {file: file.read_bytes() for file in decoy.iterdir()}
    assert {file.name for file in before} == {"data.mdb", *SIDE_FILES}
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"e{n}", tags=["a"], content="event") for n in range(3))
        at = At()
        traced(at, lambda: call(store))
    lines = [
        line
        for line in at.lines
        if name not in LONG_CALLS or "/care/" in line[0].co_filename
        if not any(part in line[0].co_filename for part in WITHOUT_STORE)
    ]
    outcomes = {
        outcome(path, line, call, folder)
        for number, line in enumerate(lines)
        for folder in ([decoy, None] if len(lines) < FEW else [decoy if number % 2 else None])
    }
    assert outcomes == {"closed", "done"}
    assert {file: file.read_bytes() for file in decoy.iterdir()} == before
