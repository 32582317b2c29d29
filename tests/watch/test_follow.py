"""What a follower reads, look by look."""

from __future__ import annotations

import errno
import gzip
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import MemoryEventStore
from lmdbstore.ingest.importer import Importer
from lmdbstore.watch import files as of_files
from lmdbstore.watch.files import Followed
from lmdbstore.watch.follow import Follower
from lmdbstore.watch.opened import FollowedFile
from tests.tools.imports import MTIME, contents, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store() -> MemoryEventStore:
    return MemoryEventStore()


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[Followed]:
    with Followed([tmp_path]) as followed:
        yield followed


@pytest.fixture
def follower(store: MemoryEventStore, followed: Followed) -> Follower:
    return Follower(Importer(store), followed)


def test_a_file_that_is_renamed_before_it_can_be_opened_is_read_by_its_new_name(
    store: MemoryEventStore,
    follower: Follower,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More files than can be kept open."""
    monkeypatch.setattr(of_files, "OPEN", 0)
    path = written(tmp_path / "a", "2024-03-05 10:00:00 a\n")
    raw = FollowedFile.raw

    def renamed(file: FollowedFile) -> Any:
        if path.exists():
            path.rename(tmp_path / "b")
        return raw(file)

    monkeypatch.setattr(FollowedFile, "raw", renamed)
    follower.look()
    assert contents(store) == []
    follower.look()
    assert contents(store) == ["2024-03-05 10:00:00 a"]


def test_a_file_that_cannot_be_opened_is_named_and_read_later(
    store: MemoryEventStore,
    follower: Follower,
    followed: Followed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(of_files, "OPEN", 0)
    path = written(tmp_path / "a", "2024-03-05 10:00:00 a\n")
    with monkeypatch.context() as patch:
        refused = PermissionError(errno.EACCES, "Permission denied")
        patch.setattr(FollowedFile, "_opened", lambda _file: (_ for _ in ()).throw(refused))
        follower.look()
    assert followed.unreadable == {path: refused}
    follower.look()
    assert len(store) == 1


def test_what_could_not_be_read_is_read_at_the_next_look(
    store: MemoryEventStore, follower: Follower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "2024-03-05 10:00:00 a\n2024-03-05 10:00:01 b\n"
    written(tmp_path / "a", lines)
    pread, left = os.pread, [0]

    def failing(*args: Any) -> bytes:
        left[0] -= 1
        if not left[0]:
            raise OSError(errno.EIO, "Input/output error")
        return pread(*args)

    monkeypatch.setattr(os, "pread", failing)
    for at in range(1, 6):
        left[0] = at
        follower.look()
    assert contents(store) == lines.splitlines()


@pytest.mark.parametrize("ahead", [0, 3600])
def test_the_clock_may_be_set_back(
    store: MemoryEventStore, follower: Follower, tmp_path: Path, ahead: int
) -> None:
    """A packed file is read when it has been left alone, also if its time is in the future."""
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"2024-03-05 10:00:00 a\n"))
    os.utime(path, (time.time() + ahead - 2, time.time() + ahead - 2))
    follower.look()
    assert len(store) == 1


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("names", [["a.log.2.gz", "a.log.1"], ["a-2024.log", "a-2025.log"]])
def test_a_file_that_came_and_was_rotated_between_two_looks_is_read(
    store: MemoryEventStore, tmp_path: Path, names: list[str], *, running: bool
) -> None:
    """But not one that was there before, nor one that is only named alike."""
    path = tmp_path / "a.log"

    def made(name: str, at: int) -> Path:
        line = f"2024-03-05 10:00:0{at} {at}\n".encode()
        file = tmp_path / name
        file.write_bytes(gzip.compress(line) if name.endswith("gz") else line)
        os.utime(file, (MTIME + at, MTIME + at))
        return file

    made("a.log.9", 1)
    made("a.log", 2)
    with Followed([path]) as followed:
        follower = Follower(Importer(store), followed)
        follower.look()
        path.rename(tmp_path / names[0])
        for at, name in enumerate([*names, "a.log"], 3):
            made(name, at)
        made("a.log.errors", 8)
        made("a.log-7b", 9)
        if running:
            follower.look()
    with Followed([path]) as followed:
        Follower(Importer(store), followed).look()
    assert [text[-1] for text in contents(store)] == ["2", "3", "4", "5"]
