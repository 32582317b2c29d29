"""The command `search`: the events it finds, and its output to pipes and terminals."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from lmdbstore import Event, LMDBEventStore
from tests.tools.commands import LOG, TIMEOUT, on_terminal, process, run, start
from tests.tools.planting import writing

pytestmark = pytest.mark.surroundings


@pytest.mark.parametrize(
    ("args", "ids"),
    [
        ([], "abc"),
        (["opened"], "ab"),
        (["^opened by force$"], "a"),
        (["--", "-1"], ""),
        (["--since", "2000"], None),
        (["--since", "2000.0"], "bc"),
        (["--since", "-1h"], ""),
        (["--until", "-1h"], "abc"),
        (["--since=1970-01-01T00:33:20Z", "--until=1970-01-01T00:33:20+00:00"], "b"),
        (["--until", "1969-12-30"], ""),
        (["--flag", "alarm"], "ab"),
        (["--flag", "alarm", "--flag", "night"], "b"),
        (["--source", "gate"], "c"),
        (["--desc"], "cba"),
        (["--desc", "--limit", "1"], "c"),
        (["--limit", "0"], ""),
    ],
)
def test_search_finds_the_events(filled: Path, args: list[str], ids: str | None) -> None:
    result = run("search", "--db", filled, "--json", *args)
    assert result.exit_code == (2 if ids is None else 0 if ids else 1)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert "".join(event["id"] for event in found) == (ids or "")
    if ids is not None:
        counted = run("search", "--db", filled, "--count", *args)
        assert (counted.exit_code, counted.stdout) == (result.exit_code, f"{len(ids)}\n")


def test_a_pipe_gets_the_contents_unchanged(filled: Path) -> None:
    status, out, err = process("search", "--db", filled, "(?i)opened|EVIL")
    assert (status, err) == (0, "")
    assert (
        out == "opened by force\nopened by key\nagain\nevil \x1b]0;title\x07 \x9b2J \u202e café\n"
    )


def test_a_terminal_shows_the_match_highlighted(filled: Path) -> None:
    _, shown = on_terminal("search", "--db", filled, "f[o-r]+ce|again")
    assert shown.splitlines() == [
        "\x1b[2m1970-01-01 00:16:40.000  door  \x1b[0mopened by \x1b[1;31mforce\x1b[0m",
        "\x1b[2m1970-01-01 00:33:20.000  door  \x1b[0mopened by key",
        " " * 31 + "\x1b[1;31magain\x1b[0m",
    ]


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_there_is_no_colour_if_the_environment_forbids_it(
    filled: Path, variable: dict[str, str]
) -> None:
    _, shown = on_terminal("search", "--db", filled, "force", **variable)
    assert shown == "1970-01-01 00:16:40.000  door  opened by force\r\n"


@pytest.mark.parametrize("args", [[], ["--json"], ["é"]])
def test_stored_text_sends_no_control_characters_to_a_terminal(
    filled: Path, args: list[str]
) -> None:
    status, shown = on_terminal("search", "--db", filled, "--source", "gate", *args, NO_COLOR="1")
    assert status == 0
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown)
    if args == ["--json"]:
        assert json.loads(shown)["content"] == "evil \x1b]0;title\x07 \x9b2J \u202e café"
    else:
        assert shown == "1970-01-01 00:50:00.500  evil \\x1b]0;title\\x07 \\x9b2J \\u202e café\r\n"


def test_a_character_that_the_terminal_cannot_show_is_replaced(filled: Path) -> None:
    status, shown = on_terminal(
        "search", "--db", filled, "caf", PYTHONIOENCODING="ascii", NO_COLOR="1"
    )
    assert status == 0
    assert "caf\\xe9" in shown


def test_explain_prints_the_plan_and_does_not_search(filled: Path) -> None:
    result = run("search", "--db", filled, "--explain", "nothing like it")
    assert result.exit_code == 0
    assert "nothing like it" in result.stdout


@pytest.mark.parametrize("args", [["search"], ["search", "--json"], ["search", "--desc", "a"]])
def test_a_closed_pipe_ends_the_command_silently(path: Path, args: list[str]) -> None:
    run("import", "--db", path, LOG)
    with start(*args, "--db", path) as child:
        assert child.stdout
        assert child.stderr
        assert child.stdout.read(10)
        child.stdout.close()
        assert child.wait(TIMEOUT) == 141
        assert child.stderr.read() == b""


@pytest.mark.parametrize("args", [["search", "--count"], ["search", "--explain"], ["stats"]])
def test_a_pipe_closed_before_the_first_line_ends_the_command_silently(
    filled: Path, args: list[str]
) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        status, _, err = process(*args, "--db", filled, stdout=write)
    finally:
        os.close(write)
    assert (status, err) == (141, "")


@pytest.mark.parametrize("args", [["search"], ["stats"], ["seal"], ["import", str(LOG)]])
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_output_that_cannot_be_written_is_an_error_of_one_line(
    filled: Path, args: list[str]
) -> None:
    with open("/dev/full", "wb") as full:
        status, _, err = process(*args, "--db", filled, stdout=full)
    assert (status, err) == (2, "lmdbstore: standard output: No space left on device\n")


def test_an_interrupted_search_ends_silently(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"{n}", "", float(n), [], "x" * 4000) for n in range(2000))
    with start("search", "--db", path) as child:
        assert child.stdout
        assert child.stderr
        assert child.stdout.read(10)  # and then it waits for the pipe to be read
        child.send_signal(signal.SIGINT)
        assert child.wait(TIMEOUT) == 130
        assert child.stderr.read() == b""


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["search", "--help"]])
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_help_that_cannot_be_written_is_an_error_of_one_line(args: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        status, _, err = process(*args, stdout=full.fileno())
    assert (status, err) == (2, "lmdbstore: standard output: No space left on device\n")
    read, write = os.pipe()
    os.close(read)
    try:
        assert process(*args, stdout=write)[::2] == (141, "")
    finally:
        os.close(write)


def test_damaged_events_are_left_out_on_demand_and_said_so(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"e{n}", timestamp=float(n), content=f"text {n}") for n in range(9))
        store.seal()
        with writing(store) as (txn, databases):
            ((end, value),) = txn.cursor(db=databases.runs)
            txn.put(end, value.replace(b"text 4", b"next 4"), db=databases.runs)
    failed = run("search", "--db", path)
    assert (failed.exit_code, failed.stdout) == (2, "")
    assert "'lmdbstore verify' names the damage, and --damaged skip leaves it out" in failed.stderr
    counted = run("search", "--db", path, "--count", "text")
    assert (counted.exit_code, counted.stdout) == (2, "")
    assert counted.stderr.startswith("lmdbstore: the result is incomplete; ")
    said = "lmdbstore: left out 1 damaged event; 'lmdbstore verify' names the damage\n"
    partial = run("search", "--db", path, "--damaged", "skip")
    assert partial.stdout == "".join(f"text {n}\n" for n in range(9) if n != 4)
    assert (partial.exit_code, partial.stderr) == (3, said)
    counted = run("search", "--db", path, "--damaged", "skip", "--count", "text")
    assert (counted.exit_code, counted.stdout, counted.stderr) == (3, "8\n", said)
    whole = run("search", "--db", path, "--damaged", "skip", "--until", "1970-01-01T00:00:02Z")
    assert (whole.exit_code, whole.stdout, whole.stderr) == (0, "text 0\ntext 1\ntext 2\n", "")
    assert run("search", "--db", path, "--damaged", "ignore").exit_code == 2


def test_only_the_parts_that_match_are_printed(filled: Path) -> None:
    """As `grep -o` does: each in a line, and none for a match of nothing."""
    result = run("search", "--db", filled, "-o", "o[a-z]*e|z*")
    assert (result.exit_code, result.stdout) == (0, "opene\norce\nopene\n")
    shown = on_terminal("search", "--db", filled, "-o", "ope.ed|\x1b")[1]
    assert shown == "opened\r\nopened\r\n\\x1b\r\n"
    for more in ((), ("x", "-v"), ("x", "--json"), ("x", "--count"), ("x", "-C", "1")):
        assert run("search", "--db", filled, "-o", *more).exit_code == 2
