"""The command `import` with folders, and with files that cannot be read."""

from __future__ import annotations

import gc
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import LMDBEventStore
from lmdbstore.cli.importing import files as importing
from lmdbstore.ingest.importer import Importer
from tests.tools.commands import run

if TYPE_CHECKING:
    from lmdbstore.logs.input_report import InputReport

pytestmark = pytest.mark.surroundings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with files, a hidden one, a socket, and a folder with a file."""
    folder = tmp_path / "logs"
    (folder / "sub").mkdir(parents=True)
    for name in ("b.log", "a.log", "c.txt", ".hidden.log", "sub/d.log"):
        (folder / name).write_text(f"1600000000 {name}\n")
    os.mknod(folder / "socket.log", stat.S_IFSOCK | 0o600)
    (folder / "link.log").symlink_to("c.txt")
    return folder


def contents(path: Path) -> list[str]:
    with LMDBEventStore(path) as store:
        return [event.content[11:] for event in store.search()]


def inputs(out: str) -> list[str]:
    """Return the names of the inputs, in the order in which they were read."""
    return [Path(line.split(": ")[0]).name for line in out.splitlines()[:-1]]


def test_the_files_of_a_folder_are_imported_by_name(path: Path, folder: Path) -> None:
    result = run("import", "--db", path, folder)
    assert (result.exit_code, result.stderr) == (0, "")
    assert inputs(result.stdout) == ["a.log", "b.log", "c.txt", "link.log"]
    assert "4 lines: 3 new events, 1 already there; " in result.stdout


def test_a_pattern_chooses_files_of_folders_only(path: Path, folder: Path) -> None:
    text = folder / "c.txt"
    result = run("import", "--db", path, folder, text, "--glob", "[ab]*.log")
    assert result.exit_code == 0
    assert inputs(result.stdout) == ["a.log", "b.log", "c.txt"]


def test_a_pattern_that_begins_with_a_dot_chooses_hidden_files(path: Path, folder: Path) -> None:
    result = run("import", "--db", path, folder, "--glob", ".h*")
    assert (result.exit_code, inputs(result.stdout)) == (0, [".hidden.log"])
    result = run("import", "--db", path, folder, "--glob", "*hidden*")
    assert result.exit_code == 2


def test_a_folder_among_files_is_read_as_well_and_no_file_twice(path: Path, folder: Path) -> None:
    named = [folder / name for name in ("a.log", "b.log", "sub")]
    result = run("import", "--db", path, *named, folder, "--glob", "*.log")
    assert result.exit_code == 0
    assert inputs(result.stdout) == ["a.log", "b.log", "d.log", "link.log"]


@pytest.mark.parametrize("pattern", [None, "*.gz"])
def test_a_folder_without_a_file_to_read_is_reported(
    path: Path, folder: Path, pattern: str | None
) -> None:
    empty = folder / "empty"
    empty.mkdir()
    args = [] if pattern is None else ["--glob", pattern]
    which = "" if pattern is None else " that matches '*.gz'"
    reason = f"lmdbstore: {empty}: there is no file in this folder{which}"
    result = run("import", "--db", path, empty, *args)
    assert (result.exit_code, result.stderr) == (2, f"{reason}\n")
    assert not path.exists()
    result = run("import", "--db", path, empty, folder / "a.log", *args)
    assert (result.exit_code, result.stderr) == (1, f"{reason}; it is skipped\n")
    assert contents(path) == ["a.log"]


def test_a_pattern_without_a_folder_is_refused(path: Path, folder: Path) -> None:
    for names in ([], ["-"], [folder / "a.log"]):
        result = run("import", "--db", path, *names, "--glob", "*", stdin="x\n")
        assert result.exit_code == 2
        assert "--glob chooses files of a folder; give a folder" in result.stderr
        assert not path.exists()


def test_an_entry_that_cannot_be_read_does_not_keep_the_others_out(
    path: Path, folder: Path
) -> None:
    (folder / "ab.log").symlink_to("nowhere")
    (folder / "bin.log").write_bytes(b"\x00\x01\x02" * 100)
    result = run("import", "--db", path, folder, "--glob", "*.log")
    assert result.exit_code == 1
    assert f"lmdbstore: {folder}/ab.log: No such file or directory; it is skipped\n" in (
        result.stderr
    )
    assert f"lmdbstore: {folder}/bin.log: it is binary data\n" in result.stderr
    assert contents(path) == ["a.log", "b.log", "c.txt"]


def test_a_missing_file_does_not_keep_the_others_out(path: Path, folder: Path) -> None:
    missing = folder / "none\x1b[2J.log"
    result = run("import", "--db", path, missing, folder / "a.log", missing)
    assert result.exit_code == 1
    assert result.stderr == (
        f"lmdbstore: {folder}/none\\x1b[2J.log: No such file or directory; it is skipped\n"
    )
    assert contents(path) == ["a.log"]


def test_nothing_is_created_if_no_file_can_be_read(path: Path, folder: Path) -> None:
    result = run("import", "--db", path, folder / "none", folder / "a.log" / "b")
    assert result.exit_code == 2
    assert result.stderr == (
        f"lmdbstore: {folder}/none: No such file or directory\n"
        f"lmdbstore: {folder}/a.log/b: Not a directory\n"
    )
    assert not path.exists()


def test_an_empty_name_is_refused(path: Path, folder: Path) -> None:
    result = run("import", "--db", path, folder / "a.log", "")
    assert result.exit_code == 2
    assert "a FILE is empty" in result.stderr
    assert not path.exists()


@pytest.mark.parametrize("others", [True, False])
def test_a_file_that_disappears_during_the_import_is_reported(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *, others: bool
) -> None:
    gone, there = str(folder / "gone"), str(folder / "a.log")
    files = [gone, there] if others else [gone]
    monkeypatch.setattr(importing, "named_files", lambda *_: (files, []))
    result = run("import", "--db", path, *files)
    assert result.exit_code == (1 if others else 2)
    assert result.stderr == f"lmdbstore: {gone}: No such file or directory\n"
    assert contents(path) == ["a.log"] * others


def test_the_files_of_the_store_are_not_opened(path: Path, folder: Path) -> None:
    """Closing one would release the locks that the process holds on it."""
    LMDBEventStore(path).close()
    (path / "a.log").write_text("1600000000 x\n")
    result = run("import", "--db", path, path, path / "lock.mdb")
    assert result.exit_code == 1
    assert result.stderr == (
        f"lmdbstore: {path}/lock.mdb: it is a file of the store; it is skipped\n"
    )
    assert inputs(result.stdout) == ["a.log"]
    os.link(folder / "b.log", folder / "data.mdb")  # of no store
    assert inputs(run("import", "--db", path, folder / "data.mdb").stdout) == ["data.mdb"]


def test_cycles_of_objects_are_sought_more_rarely_during_an_import_only(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noted(importer: Importer, *args: Any) -> InputReport:
        during.append((gc.get_threshold()[0], gc.get_freeze_count() > 0))
        return read(importer, *args)

    read, during, before = Importer.read, list[tuple[int, bool]](), gc.get_threshold()
    monkeypatch.setattr(Importer, "read", noted)
    assert run("import", "--db", path, folder).exit_code == 0
    assert set(during) == {(importing.ALLOCATED, True)}
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
