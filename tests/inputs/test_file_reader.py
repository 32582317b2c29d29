"""Reading of a file that changes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lmdbstore.inputs import unpacking
from lmdbstore.inputs.file_reader import COMPARED, ChangedFile, FileReader
from lmdbstore.inputs.unpacking import ChangedInput, chunks

if TYPE_CHECKING:
    from pathlib import Path


def reader(path: Path) -> FileReader:
    return FileReader(os.open(path, os.O_RDONLY))


@pytest.mark.parametrize("first", [1, COMPARED, 3 * COMPARED])
def test_a_file_that_was_truncated_and_grew_beyond_the_place_is_noticed(
    tmp_path: Path, first: int
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * first + b"rest")
    with reader(path) as file:
        assert file.read(first) == b"x" * first
        with path.open("r+b") as other:
            other.truncate(0)
            other.write(b"y" * (first + 100))
        with pytest.raises(ChangedFile):
            file.read(10)


def test_a_file_that_becomes_another_while_a_piece_is_read_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    pread = os.pread

    def changing(descriptor: int, size: int, offset: int) -> bytes:
        found = pread(descriptor, size, offset)
        path.write_bytes(b"x" * 50 + b"y" * 50)
        return found

    with reader(path) as file:
        monkeypatch.setattr(os, "pread", changing)
        with pytest.raises(ChangedFile):
            file.read(100)


def test_a_file_that_grows_is_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 10)
    with reader(path) as file:
        assert file.read(20) == b"x" * 10
        with path.open("ab") as other:
            other.write(b"y" * 5)
        assert file.read(20) == b"y" * 5
        assert file.read(20) == b""
        assert file.seek(0) == 0
        assert file.read(3) == b"xxx"
    path.write_bytes(b"x" * 10)
    monkeypatch.setattr(unpacking, "CHUNK", 5)
    with reader(path) as file:
        given = chunks(file)
        assert next(given) == b"x" * 5
        path.write_bytes(b"z" * 10)
        with pytest.raises(ChangedInput, match="truncated while it was read"):
            next(given)
