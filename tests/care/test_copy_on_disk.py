"""Copies on a disk that fails, and the order in which they reach the disk."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    EventWriteException,
    LMDBEventStore,
    StoreClosed,
)
from lmdbstore.care import copy as copying
from lmdbstore.disk import files
from tests.tools.children import output_of
from tests.tools.stores import fill
from tests.tools.strace import Call, needs_strace, read_trace, traced

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmdbstore.disk.files import Directory

pytestmark = pytest.mark.surroundings


# -- errors of the system -------------------------------------------------------------------------


def failing(folder: Path) -> Callable[[Directory], None]:
    whole = files.flush_folder

    def flush(other: Directory) -> None:
        if os.path.samestat(os.fstat(other.descriptor), folder.stat()):
            raise OSError(5, "Input/output error")
        whole(other)

    return flush


def test_a_backup_whose_name_cannot_be_flushed_is_removed(
    store: LMDBEventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    monkeypatch.setattr(copying, "flush_folder", failing(tmp_path))
    with pytest.raises(EventWriteException, match="Input/output error"):
        store.backup(tmp_path / "copy")
    assert os.listdir(tmp_path) == ["events"]


def test_a_store_whose_new_file_cannot_be_flushed_is_closed(
    store: LMDBEventStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise events acknowledged later could be lost with the new file."""
    events = fill(store)
    with monkeypatch.context() as patch:
        patch.setattr(files, "flush_folder", failing(path))
        with pytest.raises(EventWriteException, match="old file back"):
            store.compact()
    for call in (lambda: store.save(Event()), lambda: store.get("e2999")):
        with pytest.raises(StoreClosed):
            call()
    with LMDBEventStore(path) as again:
        assert list(again.search()) == events
        again.compact()
    store.close()


def test_a_file_that_cannot_be_replaced_stays_in_use(
    store: LMDBEventStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = fill(store)
    before = sorted(os.listdir(path))

    def refused(*_: str, **__: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refused)
        with pytest.raises(EventWriteException, match="not permitted"):
            store.compact()
    assert sorted(os.listdir(path)) == before
    assert list(store.search()) == events
    store.save(Event("more"))
    store.compact()
    assert "more" in store


def test_a_forgotten_snapshot_does_not_prevent_compacting(
    store: LMDBEventStore,
) -> None:
    """This holds also if only the garbage collector can find it."""
    events = fill(store)
    circle: list[Any] = [store.snapshot()]
    circle.append(circle)
    with pytest.raises(EventWriteException, match="snapshot"):
        store.compact()
    del circle
    store.compact()
    assert list(store.search()) == events


# -- the order of flushes -------------------------------------------------------------------------


@pytest.mark.parametrize("work", ["backup", "compact"])
def test_a_copy_is_flushed_before_it_gets_its_name(path: Path, tmp_path: Path, work: str) -> None:
    """The order: its data, the names of its files, the rename, the new name, the return."""
    needs_strace()
    with LMDBEventStore(path) as store:
        fill(store, 300)
    calls = {
        "backup": "store.backup(target)",
        "compact": "store.compact()",
    }
    code = (
        "import os, sys; from lmdbstore import LMDBEventStore; path, target = sys.argv[1:]\n"
        f"with LMDBEventStore(path) as store:\n    {calls[work]}; os.write(1, b'returned')"
    )
    target, trace = tmp_path / "copy", tmp_path / "trace"
    output_of(traced(trace, [sys.executable, "-c", code, str(path), str(target)]))
    found = read_trace(trace)
    name = str(path / "data.mdb") if work == "compact" else str(target)
    (renamed,) = [
        call
        for call in found
        if call.name.startswith("rename") and call.result == 0 and paths(call)[-1] == name
    ]
    made = paths(renamed)[0]
    folder, file = (
        (os.path.dirname(made), made) if work == "compact" else (made, f"{made}/data.mdb")
    )
    written = [call for call in found if "write" in call.name and call.file == file]
    last = max(call.ended for call in written)
    assert last < renamed.begun
    flushed = flushes(found, file, last, renamed.begun)
    assert flushed, "the data is not flushed before the file has its name"
    if work != "compact":
        assert flushes(found, folder, flushed[-1].ended, renamed.begun), "the names are not"
    (returned,) = [call for call in found if call.name == "write" and call.strings == [b"returned"]]
    parent = os.path.dirname(name)
    assert flushes(found, parent, renamed.ended, returned.begun), "the new name is not flushed"


def paths(call: Call) -> list[str]:
    return [os.fsdecode(text) for text in call.strings]


def flushes(calls: list[Call], file: str, after: int, before: int) -> list[Call]:
    """Return the flushes of a file between two lines of a trace."""
    return [
        call
        for call in calls
        if call.name in {"fsync", "fdatasync"}
        and call.result == 0
        and call.file == file
        and after < call.begun
        and call.ended < before
    ]
