"""Waiting for changes in folders: by notices of the kernel, and by looking."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore.watch import changes
from lmdbstore.watch.changes import Changes

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 60  # seconds; ends a hang, decides nothing
OLD = 1_000_000_000  # seconds since 1970
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


@pytest.fixture(params=["notices", "looks"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Let a change be found by one way only; return whether it is the way of notices."""
    notices = bool(request.param == "notices")
    if notices:
        only_notices(monkeypatch)
    else:
        monkeypatch.setattr(changes, "LOOK", 0.001)
    return notices


def only_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("inotify_simple")
    look = Changes._look

    def blind(self: Changes) -> bool:
        look(self)
        return False

    monkeypatch.setattr(Changes, "_look", blind)


def old(path: Path, content: str = "a\n") -> Path:
    """Write a file whose time is final."""
    path.write_text(content)
    os.utime(path, (OLD, OLD))
    return path


def append(path: Path) -> None:
    old(path, path.read_text() + "b\n")


CHANGES: dict[str, Callable[[Path], object]] = {
    "grown": lambda folder: append(folder / "a.log"),
    "created": lambda folder: old(folder / "b.log"),
    "renamed": lambda folder: (folder / "a.log").rename(folder / "a.log.1"),
    "moved away": lambda folder: (folder / "a.log").rename(folder.parent / "a.log"),
    "moved here": lambda folder: (folder.parent / "z.log").rename(folder / "z.log"),
    "deleted": lambda folder: (folder / "a.log").unlink(),
    "truncated": lambda folder: os.truncate(folder / "a.log", 0),
    "replaced": lambda folder: old(folder.parent / "new", "b\n").rename(folder / "a.log"),
    "made readable": lambda folder: (folder / "a.log").chmod(0o604),
    "linked": lambda folder: (folder / "l.log").symlink_to("a.log"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "inside").mkdir()
    old(folder / "a.log")
    old(tmp_path / "z.log")
    return folder


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_before_a_wait_ends_it(
    folder: Path, change: Callable[[Path], object], *, way: bool
) -> None:
    with Changes([folder], notices=way) as watched:
        assert not watched.wait(0.02)
        change(folder)
        assert watched.wait(LONG)


def test_a_change_during_a_wait_ends_it(folder: Path, *, way: bool) -> None:
    with Changes([folder], notices=way) as watched:
        pid = os.fork()
        if not pid:
            time.sleep(0.05)
            os.mkdir(folder / "new")
            os._exit(0)
        assert watched.wait(LONG)
        os.waitpid(pid, 0)


def test_a_change_is_told_once(folder: Path) -> None:
    """By its notice; the look that follows knows it."""
    pytest.importorskip("inotify_simple")
    with Changes([folder]) as watched:
        old(folder / "b.log")
        assert watched.wait(LONG)
        assert not watched.wait(0)


def test_a_look_finds_what_gave_no_notice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The target of a link is in another folder, as what another machine writes is nowhere."""
    monkeypatch.setattr(changes, "LOOK", 0.001)
    target = old(folder.parent / "target")
    (folder / "link").symlink_to(target)
    with Changes([folder]) as watched:
        assert not watched.wait(0.02)
        append(target)
        assert watched.wait(LONG)


def test_a_wait_ends_with_a_look(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "LOOK", LONG)
    with Changes([folder], notices=False) as watched:
        append(folder / "a.log")
        assert watched.wait(0)


def test_a_file_that_has_just_been_changed_is_looked_at_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two changes in one step of the file system's clock look like one."""
    monkeypatch.setattr(changes, "STEP", 0.1)
    monkeypatch.setattr(changes, "LOOK", 0.001)
    with Changes([folder], notices=False) as watched:
        (folder / "a.log").write_text("b\n")
        assert watched.wait(LONG)
        status = (folder / "a.log").stat()
        (folder / "a.log").write_text("c\n")
        os.utime(folder / "a.log", ns=(status.st_atime_ns, status.st_mtime_ns))
        assert watched.wait(LONG)


def test_a_folder_is_watched_once_it_is_there_and_made_again(
    tmp_path: Path, *, way: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "LOOK", 0.001)
    folder = tmp_path / "later"
    with Changes([folder], notices=way) as watched:
        assert not watched.wait(0.02)
        for _ in range(2):
            folder.mkdir()
            watched.wait(0.02)  # its watch is made by a look
            old(folder / "a.log")
            assert watched.wait(LONG)
            folder.rename(tmp_path / "away")
            assert watched.wait(LONG)
            watched.wait(0.02)
            old(tmp_path / "away" / "b.log")
            assert not watched.wait(0.02), "the folder is at another path"
            (tmp_path / "away").rename(tmp_path / str(time.monotonic_ns()))


def test_names_that_are_not_wanted_do_not_count(folder: Path, *, way: bool) -> None:
    with Changes([folder], lambda name: name.endswith(".log"), notices=way) as watched:
        old(folder / "a.txt")
        (folder / "inside" / "c.log").mkdir()
        assert not watched.wait(0.02)
        old(folder / "b.log")
        assert watched.wait(LONG)


def test_other_folders_are_set_without_a_gap(folder: Path, *, way: bool) -> None:
    other = folder / "inside"
    with Changes([folder], notices=way) as watched:
        append(folder / "a.log")
        watched.set([other, folder])
        assert watched.wait(LONG), "a change before the call"
        old(other / "a.log")
        assert watched.wait(LONG)
        watched.set([other])
        append(folder / "a.log")
        assert not watched.wait(0.02)


def test_lost_notices_are_a_change(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_notices(monkeypatch)
    most = int(QUEUE.read_text())
    if most > 1 << 17:
        pytest.skip(f"the queue holds {most} notices")
    with (
        Changes([folder], lambda name: name == "wanted") as watched,
        (folder / "b").open("wb", buffering=0) as first,
        (folder / "c").open("wb", buffering=0) as second,
    ):
        for _ in range(most // 2 + 2):  # notices of one file in a row would become one
            first.write(b"x")
            second.write(b"x")
        assert watched.wait(LONG)
        assert not watched.wait(0)


@pytest.mark.parametrize("call", ["make", "watch"])
@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOSPC])
def test_where_inotify_is_used_up_looks_find_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    library = pytest.importorskip("inotify_simple")

    def fails(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    if call == "make":
        monkeypatch.setattr(library, "INotify", fails)
    else:
        monkeypatch.setattr(library.INotify, "add_watch", fails)
    monkeypatch.setattr(changes, "LOOK", 0.001)
    with Changes([folder]) as watched:
        append(folder / "a.log")
        assert watched.wait(LONG)
        assert not watched.wait(0.02)


def test_a_folder_that_cannot_be_read_is_like_none(tmp_path: Path, *, way: bool) -> None:
    file = old(tmp_path / "file")
    with Changes([file, tmp_path / "no" / "where"], notices=way) as watched:
        assert not watched.wait(0.02)


def test_a_program_that_is_executed_inherits_no_watch(folder: Path) -> None:
    pytest.importorskip("inotify_simple")
    with Changes([folder]) as watched:
        assert watched._notices is not None
        assert not os.get_inheritable(watched._notices._inotify.fileno())
