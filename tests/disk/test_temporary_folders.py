"""Folders that are made for some work: nothing of them is left, wherever an interrupt strikes."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest

from lmdbstore import LMDBEventStore
from lmdbstore.care import copy
from lmdbstore.disk.files import (
    Directory,
    in_made_folder,
    in_temporary_folder,
    make_file,
    open_directory,
)
from lmdbstore.disk.rights import Rights
from tests.tools.children import in_child
from tests.tools.interrupts import interrupted_at_each_step

if TYPE_CHECKING:
    from pathlib import Path


def fill(made: Directory) -> int:
    """Make what a copy is: a folder with a file."""
    os.mkdir(copy.COPY, dir_fd=made.descriptor)
    with open(f"{made.path}/{copy.COPY}/data.mdb", "xb") as file:
        return file.write(b"data")


def test_an_interrupt_at_any_step_leaves_no_temporary_folder(tmp_path: Path) -> None:
    """Also if the descriptor of the folder around it is closed at once, and used for another."""

    def work() -> None:
        with open_directory(str(tmp_path)) as parent:
            in_temporary_folder(parent, fill)

    def child() -> None:
        steps = 0
        for steps in interrupted_at_each_step(work):  # noqa: B007  counted
            assert os.listdir(tmp_path) == []
        assert steps > 50

    in_child(child)


def test_an_interrupt_at_any_step_of_a_backup_leaves_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the whole backup, once it has its name."""
    target, whole = tmp_path / "copy", list[bool]()

    def copied(_: object, made: Directory, *__: object, **___: object) -> int:
        return fill(made)

    def child() -> None:
        store = LMDBEventStore(path, durability="none")
        for _ in interrupted_at_each_step(partial(copy.back_up, store._session, str(target), None)):
            found = set(os.listdir(tmp_path)) - {path.name}
            assert found <= {"copy"}
            whole.append(bool(found))
            if found:
                assert os.listdir(target) == ["data.mdb"]
                os.unlink(target / "data.mdb")
                os.rmdir(target)
        assert whole[-1]
        assert whole.count(True) < len(whole) / 2

    LMDBEventStore(path).close()
    monkeypatch.setattr(copy, "copy_verified", copied)
    in_child(child)


@pytest.mark.parametrize("made", ["store", "a/b/store"])
def test_an_interrupt_at_any_step_leaves_no_folder_that_was_missing(
    tmp_path: Path, made: str
) -> None:
    def work() -> None:
        with suppress(ZeroDivisionError):
            in_made_folder(str(tmp_path / made), fail)

    def fail(_: Directory) -> None:
        raise ZeroDivisionError

    def child() -> None:
        for _ in interrupted_at_each_step(work):
            assert os.listdir(tmp_path) == []

    in_child(child)


def test_an_interrupt_at_any_step_leaves_no_file_with_a_temporary_name(tmp_path: Path) -> None:
    rights = Rights(os.geteuid(), os.getegid(), 0o600)
    work = partial(make_file, str(tmp_path / "file"), rights, lambda file: os.write(file, b"x"))

    def child() -> None:
        for _ in interrupted_at_each_step(work):
            assert set(os.listdir(tmp_path)) <= {"file"}
            for name in os.listdir(tmp_path):
                assert (tmp_path / name).read_bytes() == b"x"
                os.unlink(tmp_path / name)

    in_child(child)
