"""Which files are followed, and what can be read of them after they were renamed or deleted."""

from __future__ import annotations

import errno
import io
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore.watch import files as of_files
from lmdbstore.watch.files import Followed
from lmdbstore.watch.opened import QUIET
from tests.tools.children import in_child

if TYPE_CHECKING:
    from lmdbstore.watch.opened import FollowedFile

T0 = 1_000_000_000  # seconds since 1970


def written(path: Path, content: str, at: int = 0) -> Path:
    path.write_text(content)
    os.utime(path, (T0 + at, T0 + at))
    return path


def texts(files: list[FollowedFile]) -> list[str]:
    """Read each file."""
    found = []
    for file in files:
        with file.raw() as raw:
            found.append(raw.readall().decode())
    return found


def names(files: list[FollowedFile]) -> list[str]:
    return [file.path.name for file in files]


# -- names ----------------------------------------------------------------------------------------


def test_the_files_of_a_folder_that_match_are_followed(tmp_path: Path) -> None:
    for n, name in enumerate(["b.log", "a.log", "c.txt", ".d.log", "a.log.1"]):
        written(tmp_path / name, name, at=n)
    (tmp_path / "f.log").mkdir()
    os.mkfifo(tmp_path / "g.log")
    (tmp_path / "h.log").symlink_to("c.txt")
    (tmp_path / "i.log").symlink_to("nowhere")
    with Followed([tmp_path], "*.log") as followed:
        files = followed.files()
        assert names(files) == ["b.log", "a.log", "h.log", "a.log.1"]  # by their last change
        assert [file.sibling for file in files] == [False, False, False, True]
        assert texts(files)[:2] == ["b.log", "a.log"]
        assert followed.folders() == [tmp_path]
        assert not followed.unreadable
    with Followed([tmp_path], ".*") as followed:
        assert names(followed.files()) == [".d.log"]
    with Followed([tmp_path]) as followed:
        assert names(followed.files()) == ["b.log", "a.log", "c.txt", "a.log.1"]


def test_a_file_and_a_folder_may_come_later(tmp_path: Path) -> None:
    file, folder = tmp_path / "a.log", tmp_path / "folder"
    with Followed([file, folder, file]) as followed:
        assert followed.files() == []
        assert followed.folders() == [tmp_path]
        written(file, "a")
        folder.mkdir()
        written(folder / "b", "b", at=1)
        assert texts(followed.files()) == ["a", "b"]
        assert followed.folders() == [tmp_path, folder]


def test_only_changes_of_followed_and_of_rotated_files_are_wanted(tmp_path: Path) -> None:
    file = written(tmp_path / "a.log", "a")
    with Followed([file]) as followed:
        followed.files()
        wanted = ["a.log", "a.log.1", "a-2024-03-05.log.gz"]
        assert [name for name in [*wanted, "b.log", "a"] if followed.wanted(name)] == wanted
    with Followed([tmp_path], "*.log") as followed:
        followed.files()
        wanted = ["a.log", "b.log", "b.log.1"]
        assert [name for name in [*wanted, "c", ".b.log"] if followed.wanted(name)] == wanted


def test_what_cannot_be_read_is_told_and_keeps_no_others_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "a", "a")
    bad = written(tmp_path / "b", "b")
    (tmp_path / "loop").symlink_to("loop")
    opened = os.open

    def refused(path: Any, *args: Any, **options: Any) -> int:
        if path == bad:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *args, **options)

    monkeypatch.setattr(os, "open", refused)
    with Followed([tmp_path]) as followed:
        for _ in range(2):
            assert names(followed.files()) == ["a"]
            assert set(followed.unreadable) == {bad, tmp_path / "loop"}
        monkeypatch.undo()
        assert names(followed.files()) == ["a", "b"]
        assert set(followed.unreadable) == {tmp_path / "loop"}


# -- rotation -------------------------------------------------------------------------------------


def test_a_renamed_file_is_the_same_one_and_goes_on_growing(tmp_path: Path) -> None:
    path = written(tmp_path / "a.log", "one\n")
    with Followed([path]) as followed:
        (before,) = followed.files()
        before.taken = 4
        path.rename(tmp_path / "a.log.1")
        written(path, "three\n", at=9)
        with (tmp_path / "a.log.1").open("a") as file:
            file.write("two\n")
        os.utime(tmp_path / "a.log.1", (T0, T0))
        for _ in range(2):
            files = followed.files()
            assert files[0] is before
            assert texts(files) == ["one\ntwo\n", "three\n"]
            assert [file.listed for file in files] == [False, True]
            assert [file.sibling for file in files] == [False, False]
            assert [file.followed for file in files] == [path, path]
            assert names(files) == ["a.log.1", "a.log"]
        assert before.taken == 4


def test_a_deleted_file_is_read_to_its_end_and_closed_once_no_one_writes(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with path.open("w") as writer, Followed([path]) as followed:
        (file,) = followed.files()
        path.unlink()
        writer.write("late\n")
        writer.flush()
        assert texts(followed.files()) == ["late\n"]
        file.taken = 5
        assert followed.files() == [file], "it may be written"
        assert not file.over
        now = os.fstat(writer.fileno()).st_mtime
        os.utime(writer.fileno(), (now - QUIET - 1, now - QUIET - 1))
        file.taken = 4
        assert followed.files() == [file], "it was not read"
        assert file.over
        file.taken = 5
        assert followed.files() == []
        assert not file.is_open


def test_files_beside_a_file_are_looked_at_when_it_was_rotated_or_truncated(tmp_path: Path) -> None:
    path = written(tmp_path / "a.log", "now\n", at=9)
    written(tmp_path / "a.log.1", "before\n", at=1)
    written(tmp_path / "b.log.1", "another\n", at=1)
    with Followed([path]) as followed:
        files = followed.files()
        assert names(files) == ["a.log.1", "a.log"], "at first"
        assert [(file.sibling, file.followed) for file in files] == [(True, path), (False, path)]
        written(tmp_path / "a-2024.log", "unnoticed\n", at=2)
        assert names(followed.files()) == ["a.log.1", "a.log"]
        written(path, "", at=9)  # the copy is beside it
        assert names(followed.files()) == ["a.log.1", "a-2024.log", "a.log"]
        written(tmp_path / "a.log.2", "copied\n", at=3)
        followed.rotated(path)  # it has the same size, and other lines
        assert names(followed.files()) == ["a.log.1", "a-2024.log", "a.log.2", "a.log"]
        (tmp_path / "a.log.2").rename(tmp_path / "a.log.3")
        path.rename(tmp_path / "a.log.2")
        written(tmp_path / "a.log.0", "made and rotated unseen\n", at=4)
        files = followed.files()
        assert names(files) == ["a.log.1", "a-2024.log", "a.log.3", "a.log.0", "a.log.2"]
        assert [file.sibling for file in files] == [True, True, True, True, False]


def test_a_rotated_file_that_matches_is_listed_itself(tmp_path: Path) -> None:
    path = written(tmp_path / "a.log", "1")
    with Followed([tmp_path], "*.log*") as followed:
        (before,) = followed.files()
        path.rename(tmp_path / "a.log.1")
        written(path, "2", at=1)
        files = followed.files()
        assert files[0] is before
        assert names(files) == ["a.log.1", "a.log"]
        assert [file.listed for file in files] == [True, True]


def test_few_rotated_files_stay_open_the_latest_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with Followed([path]) as followed:
        for n in range(of_files.ROTATED + 4):
            path.unlink(missing_ok=True)
            written(path, str(n), at=n)
            followed.files()
        assert texts(followed.files()) == [str(n) for n in range(3, of_files.ROTATED + 4)]


def test_files_beyond_the_limit_are_opened_when_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_files, "OPEN", 3)
    for n in range(6):
        written(tmp_path / f"{n}.log", str(n), at=n)
    with Followed([tmp_path]) as followed:
        for _ in range(2):
            files = followed.files()
            assert [file.is_open for file in files] == [False] * 3 + [True] * 3
            assert texts(files) == list("012345")
        os.utime(tmp_path / "0.log", (T0 + 9, T0 + 9))
        files = followed.files()
        assert names(files) == [f"{n}.log" for n in (1, 2, 3, 4, 5, 0)]
        assert [file.is_open for file in files] == [False] * 3 + [True] * 3
        written(tmp_path / "new", "another").rename(tmp_path / "1.log")
        with pytest.raises(FileNotFoundError, match="another file"):
            files[0].raw()


def test_without_descriptors_files_are_returned_as_well(tmp_path: Path) -> None:
    written(tmp_path / "a.log", "a")

    def work() -> None:
        with Followed([tmp_path / "a.log"]) as followed:
            free = os.open(os.devnull, os.O_RDONLY)
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, free))
            (file,) = followed.files()
            assert not file.is_open
            assert set(followed.unreadable) == {tmp_path}, "what is beside it cannot be listed"

    in_child(work)


# -- readers --------------------------------------------------------------------------------------


def test_readers_have_positions_of_their_own_and_outlive_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "a.log", "0123456789")
    with Followed([path]) as followed:
        (file,) = followed.files()
        first, second = file.raw(), file.raw()
    path.unlink()
    assert not file.is_open
    with first, second:
        assert first.seekable()
        assert first.read(4) == b"0123"
        assert second.read(2) == b"01"
        assert (first.tell(), second.tell()) == (4, 2)
        assert first.seek(-1, os.SEEK_END) == 9
        assert first.read() == b"9"
        assert first.read(1) == b""
        assert first.seek(-2, os.SEEK_CUR) == 8
        buffered = io.BufferedReader(second)
        buffered.seek(5)
        assert buffered.readlines() == [b"56789"]
        with pytest.raises(OSError, match="before the start"):
            first.seek(-1)
        assert first.tell() == 8
    with pytest.raises(ValueError, match="closed"):
        first.read(1)
    first.close()


def test_programs_that_are_executed_inherit_no_file(tmp_path: Path) -> None:
    path = written(tmp_path / "a.log", "a")
    code = "import os; print(*map(os.path.realpath, os.scandir('/proc/self/fd')))"
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system has no list of descriptors")
    with Followed([path]) as followed:
        (file,) = followed.files()
        with file.raw():
            found = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, check=True, close_fds=False
            )
    assert str(path) not in found.stdout.decode()
