"""The rows of CSV that `search` and `tail` print, and the file that `search --output` writes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lmdbstore import LMDBEventStore
from lmdbstore.rows import HEADER
from tests.tools.commands import on_terminal, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.surroundings


@pytest.mark.parametrize("command", ["search", "tail"])
def test_rows_of_csv_come_back_as_the_same_events(
    filled: Path, tmp_path: Path, command: str
) -> None:
    result = run(command, "--db", filled, "--format", "csv")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{HEADER}\n")
    assert run("import", "--db", tmp_path / "other", stdin=result.stdout).exit_code == 0
    with LMDBEventStore(filled) as before, LMDBEventStore(tmp_path / "other") as after:
        assert list(after.search()) == list(before.search())


def test_csv_has_a_header_if_nothing_is_found(filled: Path) -> None:
    result = run("search", "--db", filled, "--format", "csv", "absent")
    assert (result.exit_code, result.stdout) == (1, f"{HEADER}\n")


def test_rows_of_csv_have_no_separators_of_neighbours(filled: Path) -> None:
    result = run("search", "--db", filled, "force|evil", "-B", "1", "--format", "csv")
    assert "--\n" not in result.stdout


def test_a_terminal_gets_csv_without_control_characters(filled: Path) -> None:
    status, shown = on_terminal("search", "--db", filled, "evil", "--format", "csv")
    assert status == 0
    assert shown.splitlines()[1].endswith(r'"evil \x1b]0;title\x07 \x9b2J \u202e café"')


def test_output_is_what_a_pipe_gets(filled: Path, tmp_path: Path) -> None:
    for name, form in (("f.txt", "default"), ("f.csv", "csv"), ("f.jsonl", "jsonl")):
        status, shown = on_terminal("search", "--db", filled, "--output", tmp_path / name)
        assert (status, shown) == (0, "")
        printed = run("search", "--db", filled, "--format", form).stdout
        assert (tmp_path / name).read_text("utf-8") == printed
    result = run("search", "--db", filled, "--format", "raw", "--output", tmp_path / "raw.csv")
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / "raw.csv").read_text("utf-8") == run("search", "--db", filled).stdout


@pytest.mark.parametrize(
    "args",
    [
        ["--count"],
        ["--explain"],
        ["-o", "opened"],
        ["--count-by", "source"],
        ["--count-by", "opened by (.*)", "--json"],
    ],
)
def test_output_takes_whatever_is_printed(filled: Path, tmp_path: Path, args: list[str]) -> None:
    printed = run("search", "--db", filled, *args).stdout
    assert printed
    result = run("search", "--db", filled, *args, "--output", tmp_path / "numbers.csv")
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / "numbers.csv").read_text("utf-8") == printed


def test_a_file_stays_as_it_was_if_the_search_fails(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("before")
    for args in (["("], ["--where", "status"], ["--count", "--json"], ["--timeout", "x"]):
        result = run("search", "--db", filled, "--output", tmp_path / "f", *args)
        assert result.exit_code == 2
    assert (tmp_path / "f").read_text() == "before"
    assert sorted(os.listdir(tmp_path)) == sorted({filled.name, "f"})
    # Nothing found is no failure.
    assert run("search", "--db", filled, "--output", tmp_path / "f", "absent").exit_code == 1
    assert (tmp_path / "f").read_text() == ""


def test_the_error_names_the_store_or_the_file(filled: Path, tmp_path: Path) -> None:
    result = run("search", "--db", tmp_path / "none", "--output", tmp_path / "f")
    assert (result.exit_code, "there is no store in" in result.stderr) == (2, True)
    result = run("search", "--db", filled, "--output", tmp_path / "none" / "f")
    assert (result.exit_code, result.stderr) == (
        2,
        f"lmdbstore: {tmp_path / 'none' / 'f'}: No such file or directory\n",
    )
    result = run("search", "--db", filled, "--output", filled / "f")
    assert (result.exit_code, "is in the folder of the store" in result.stderr) == (2, True)


def test_csv_goes_with_neither_numbers_nor_parts(filled: Path) -> None:
    for more in (["-c"], ["-o"], ["--explain"], ["--count-by", "flag"]):
        result = run("search", "--db", filled, "--format", "csv", *more, "opened")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "csv" in result.stderr
