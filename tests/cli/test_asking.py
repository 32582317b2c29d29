"""The options of `search` beside times and flags: any of some flags, fields of JSON, and grep's."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import Event, LMDBEventStore
from lmdbstore.cli.searching.options import match_of
from lmdbstore.patterns.pattern import compile_pattern
from tests.tools.commands import on_terminal, run
from tests.tools.damages import change_content, fill, make_small
from tests.tools.planting import writing
from tests.tools.properties import examples

pytestmark = pytest.mark.surroundings

LINES = [f"line {n}" if n % 7 else f"ERROR [{n}]" for n in range(30)]


@pytest.fixture
def log(path: Path) -> Path:
    """Return the path of a store with a log, another one beside it, and contents in JSON."""
    with LMDBEventStore(path) as store:
        store.save_many(
            Event(
                id=f"l{n}", source="log", timestamp=float(n // 2), tags=[f"{n % 3}"], content=line
            )
            for n, line in enumerate(LINES)
        )
        store.save_many(
            Event(id=f"o{n}", source="other", timestamp=n + 0.5, content=f"other {n}")
            for n in range(15)
        )
        store.save_many(
            Event(
                id=f"j{n}",
                source="json",
                timestamp=100.0 + n,
                content=json.dumps(
                    {"status": 400 + 50 * n, "user": {"id": f"{n % 2}"}, "ok": n == 1}
                ),
            )
            for n in range(5)
        )
    return path


def found(path: Path, *args: str) -> list[str]:
    out = run("search", "--db", path, "--json", *args).stdout
    return [json.loads(line)["id"] for line in out.splitlines()]


@pytest.mark.parametrize(
    ("args", "ids"),
    [
        (["--any-flag", "0", "--any-flag", "1", "^line [0-3]$"], "l1 l3"),
        (["--not-flag", "0", "--not-flag", "1", "^line [0-5]$"], "l2 l5"),
        (["--where", "status>=500"], "j2 j3 j4"),
        (["--where", "status >= 500", "--where", "status<600"], "j2 j3"),
        (["--where", "user.id=0"], ""),
        (["--where", 'user.id="0"'], "j0 j2 j4"),
        (["--where", 'user.id == "0"', "--where", "status!=500"], "j0 j4"),
        (["--where", "ok=true"], "j1"),
        (["--where", "user.id=x"], ""),
        (["--where", "user.id!=x"], "j0 j1 j2 j3 j4"),
        (["--where", "absent=null"], ""),
        (["-i", "error", "--limit", "2"], "l0 l7"),
        (["error"], ""),
        (["-F", "[7]"], "l7"),
        (["-F", "-i", "error [7"], "l7"),
        (["-v", "--source", "log", "line"], "l0 l7 l14 l21 l28"),
        (["-v", "-i", "LINE|other|status", "--limit", "2", "--desc"], "l28 l21"),
        (["-v", "--limit", "0", "x"], ""),
    ],
)
def test_options_choose_events(log: Path, args: list[str], ids: str) -> None:
    assert found(log, *args) == ids.split()
    counted = run("search", "--db", log, "--count", *args)
    assert counted.stdout == f"{len(ids.split())}\n"
    assert counted.exit_code == (0 if ids else 1)
    assert run("search", "--db", log, "--explain", *args).exit_code == 0


@pytest.mark.parametrize("args", [["-C", "2"], ["-A", "1"], ["-B", "3"], ["-C", "1", "-A", "0"]])
@pytest.mark.parametrize("pattern", ["ERROR", "line 1", "line", "absent", "line (3|5|8|20)$"])
def test_neighbours_are_printed_as_grep_prints_them(
    log: Path, tmp_path: Path, args: list[str], pattern: str
) -> None:
    """Of one source; and each event once."""
    file = tmp_path / "log"
    file.write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")
    grep = subprocess.run(
        ["grep", "-E", *args, pattern, str(file)], capture_output=True, text=True, check=False
    )
    ours = run("search", "--db", log, "--source", "log", *args, pattern)
    assert (ours.exit_code, ours.stdout) == (grep.returncode, grep.stdout)


def test_neighbours_newest_first_are_the_same_reversed(log: Path) -> None:
    for args in (["-C", "2"], ["-A", "1"], ["-B", "3"]):
        lines = run("search", "--db", log, *args, "ERROR").stdout.splitlines()
        reverse = run("search", "--db", log, *args, "ERROR", "--desc").stdout.splitlines()
        assert reverse == lines[::-1]


def test_neighbours_are_of_the_source_of_an_event(log: Path) -> None:
    out = run("search", "--db", log, "-C", "1", "^(ERROR .7.|other 3)$").stdout
    assert out == "line 6\nERROR [7]\nline 8\n--\nother 2\nother 3\nother 4\n"
    assert found(log, "-C", "1", "^(ERROR .7.|other 3)$") == ["l6", "l7", "l8", "o2", "o3", "o4"]
    assert run("search", "--db", log, "-C", "1", "--count", "ERROR").stdout == "5\n"


def test_a_limit_counts_what_was_found_and_not_its_neighbours(log: Path) -> None:
    assert found(log, "-B", "1", "--limit", "2", "ERROR") == ["l0", "l6", "l7"]
    assert found(log, "-B", "1", "--limit", "2", "-v", "line|other") == ["l0", "l6", "l7"]


def test_a_terminal_highlights_a_plain_text_in_any_case(log: Path) -> None:
    _, shown = on_terminal(
        *("search", "--db", log, "-i", "-F", "error [7]", "-A", "1", "--format", "raw")
    )
    assert shown.splitlines() == ["\x1b[1;31mERROR [7]\x1b[0m", "line 8"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--where", "status"], "'status' is no condition; give a path, one of"),
        (["--where", ">=500"], "is no condition"),
        (["--where", "a=[1]"], "'a=[1]' has no single value; give a number or a text"),
        (["--where", "a<null"], "where: ('<', None) cannot be used; only strings and numbers"),
        (["-v"], "-v prints what does not match a PATTERN; give one"),
        (["-A", "-1", "x"], "Invalid value for '-A'"),
        (["-C", "two", "x"], "Invalid value for '-C'"),
        (["-i", "("], "match: "),
    ],
)
def test_what_has_no_meaning_is_refused(log: Path, args: list[str], message: str) -> None:
    result = run("search", "--db", log, *args)
    assert result.exit_code == 2
    assert message in result.stderr


def test_damaged_neighbours_are_left_out_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch)
    path = tmp_path / "events"
    with LMDBEventStore(path) as store:
        fill(store)
        with writing(store) as (txn, databases):
            change_content(txn, databases)  # of the event 130
    args = ("search", "--db", path, "-C", "1", "--flag", "f131")
    assert run(*args).exit_code == 2
    skipping = run(*args, "--damaged", "skip")
    assert (skipping.exit_code, skipping.stdout) == (3, "content 131\n")
    assert "left out the neighbours of 1 event" in skipping.stderr


@examples(100)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.text("aA.\\[*", max_size=6))
def test_a_plain_text_matches_what_has_it(text: str, more: str) -> None:
    for plain in (more, text[1:4]):
        match = match_of(plain, fixed=True, ignore_case=False)
        assert match is not None
        assert compile_pattern(match).found_in(text + more) is (plain in text + more)
