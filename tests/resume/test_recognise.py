"""What decides whether an input is a file that was read before."""

from __future__ import annotations

import gzip
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from lmdbstore import MemoryEventStore
from lmdbstore.inputs import unpacking
from tests.tools.imports import MTIME, imported, written

if TYPE_CHECKING:
    from pathlib import Path

LINES = [f"2024-03-05 10:00:{n:02} line {n}\n" for n in range(60)]


@pytest.fixture
def store() -> MemoryEventStore:
    return MemoryEventStore()


def test_a_packed_file_that_was_not_changed_is_not_unpacked_again(
    store: MemoryEventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.gz", gzip.compress("".join(LINES).encode()))
    imported(store, path)
    unpacked: list[int] = []
    decompress = unpacking._Gzip.decompress

    def counted(self: unpacking._Gzip, data: bytes, max_length: int = -1) -> bytes:
        text = decompress(self, data, max_length)
        unpacked.append(len(text))
        return text

    monkeypatch.setattr(unpacking._Gzip, "decompress", counted)
    imported(store, path)
    assert len(unpacked) == 1  # for the first line


def test_a_copy_that_has_more_than_its_original_gives_what_is_new(
    store: MemoryEventStore, tmp_path: Path
) -> None:
    original = written(tmp_path / "a", "".join(LINES[:30]))
    imported(store, original)
    shutil.copy(original, tmp_path / "b")
    assert imported(store, written(tmp_path / "b", "".join(LINES[:40])), original).new == 10
    assert len(store) == 40


@pytest.mark.parametrize("chunk", [60, 1 << 18])
@pytest.mark.parametrize(("left", "new"), [(8, 18), (9, 10)])
def test_the_last_lines_are_a_proof_if_enough_of_them_are_left(  # noqa: PLR0917
    store: MemoryEventStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chunk: int,
    left: int,
    new: int,
) -> None:
    monkeypatch.setattr(unpacking, "CHUNK", chunk)
    path = written(tmp_path / "a", "".join(LINES[:30]))
    imported(store, path)
    assert imported(store, written(path, "".join(LINES[30 - left : 40]))).new == new


def test_a_packed_file_of_the_same_size_and_another_time_is_read(
    store: MemoryEventStore, tmp_path: Path
) -> None:
    for n, lines in enumerate([LINES[:30], LINES[30:]]):
        packed = gzip.compress("".join(lines).replace("line ", "").encode(), 0, mtime=0)
        path = tmp_path / "a.gz"
        path.write_bytes(packed + bytes(2000 - len(packed)))
        os.utime(path, (MTIME + n, MTIME + n))
        assert imported(store, path).new == 30


def test_a_packed_file_that_was_damaged_is_read_again_as_it_is(
    store: MemoryEventStore, tmp_path: Path
) -> None:
    text = "".join(f"2024-03-05 10:00:00 {n * n}\n" for n in range(5000)).encode()
    packed = gzip.compress(text, 0, mtime=0)
    second = 15 + int.from_bytes(packed[11:13], "little")  # block
    path = written(tmp_path / "a.gz", packed[:second] + b"\xff" + packed[second + 1 :])
    assert imported(store, path).unreadables == 1
    assert 0 < len(store) < 5000
    assert imported(store, written(path, packed)).unreadables == 0
    assert len(store) == 5000
