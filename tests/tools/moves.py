"""What people and systems do to the folder of an open store."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore import Event, LMDBEventStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["MOVES", "Move", "aside", "other_store", "put_back"]

OTHER = "of another store"  # the id of the event in another store


class Move(NamedTuple):
    """A change of the folder, and what a message says about it."""

    make: Callable[[Path], None]
    says: str
    is_back: bool  # whether renaming what is aside undoes it


def aside(path: Path) -> Path:
    """Return where the folder, or its file, is afterwards."""
    return path.with_name(f"{path.name} aside")


def other_store(path: Path) -> None:
    """Make another store."""
    with LMDBEventStore(path) as other:
        other.save(Event(OTHER))


def put_back(path: Path) -> None:
    """Undo a move that is undone by renaming."""
    if path.exists():
        shutil.rmtree(path)
    aside(path).rename(path)


def _renamed(path: Path) -> None:
    path.rename(aside(path))


def _another_store(path: Path) -> None:
    path.rename(aside(path))
    other_store(path)


def _restored(path: Path) -> None:
    """Put the backup that a test has made in place, as `mv` does."""
    path.rename(aside(path))
    path.with_name("backup").rename(path)


def _copied(path: Path) -> None:
    """Copy the data file, and put the copy's folder in place."""
    path.rename(aside(path))
    path.mkdir()
    shutil.copy(aside(path) / "data.mdb", path / "data.mdb")


def _empty(path: Path) -> None:
    path.rename(aside(path))
    path.mkdir()


def _a_file(path: Path) -> None:
    path.rename(aside(path))
    path.write_text("no folder")


def _replaced(name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        (path / "new").write_bytes(b"\0" if name != "data.mdb" else bytes(8192))
        os.replace(path / "new", path / name)

    return make


def _removed(name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        (path / name).unlink()

    return make


MOVES = {
    "renamed": Move(_renamed, "nothing is there", is_back=True),
    "deleted": Move(shutil.rmtree, "nothing is there", is_back=False),
    "another store": Move(_another_store, "with another store", is_back=True),
    "restored": Move(_restored, "with another store", is_back=True),
    "copied": Move(_copied, "with a copy of the store", is_back=True),
    "empty": Move(_empty, "without a store", is_back=True),
    "a file": Move(_a_file, "cannot be examined|another folder", is_back=False),
} | {
    f"{name} {how}": Move(make(name), rf"{name}.* is {word}", is_back=False)
    for name in ("data.mdb", "barrier", "lock.mdb")
    for how, make, word in (("removed", _removed, "gone"), ("replaced", _replaced, "another file"))
}
