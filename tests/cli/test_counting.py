"""The commands `histogram` and `top`: their figures, and their bars at any width."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.cells import cell_len

from lmdbstore import Event, LMDBEventStore
from lmdbstore.cli.counting.bars import draw
from lmdbstore.cli.counting.periods import fitting, period_of
from tests.tools.commands import on_terminal, process, run

pytestmark = pytest.mark.surroundings

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
AUTUMN = datetime.fromisoformat("2025-10-26T00:00+02:00").timestamp()  # a day of 25 hours
DAY = 86_400


@pytest.fixture
def autumn(path: Path) -> Path:
    """Return the path of a store with an event in every hour of two days in autumn."""
    with LMDBEventStore(path) as store:
        store.save_many(
            Event(
                str(n),
                "door" if n % 3 else "a b\x1b[2J",
                AUTUMN + n * 3600,
                [f"f{m}" for m in (2, 3, 5) if n % m == 0],
                "opened" if n % 2 else "shut",
            )
            for n in range(49)
        )
    return path


def lines(path: Path, *args: object) -> list[str]:
    """Return what a command prints on a pipe."""
    ran = run(*args, "--db", path)
    assert ran.exit_code == 0, ran.output
    return ran.stdout.splitlines()


def test_on_a_pipe_a_line_is_a_start_and_a_number(autumn: Path) -> None:
    berlin = "histogram", "--tz", "Europe/Berlin", "--by"
    assert lines(autumn, *berlin, "day") == [
        "2025-10-26T00:00:00+02:00  25",
        "2025-10-27T00:00:00+01:00  24",
    ]
    assert lines(autumn, *berlin, "1d") == lines(autumn, *berlin, "DAY")
    hours = lines(autumn, *berlin, "hour")
    assert hours[2:4] == ["2025-10-26T02:00:00+02:00  1", "2025-10-26T02:00:00+01:00  1"]
    assert len(hours) == 49
    assert lines(autumn, *berlin, "month") == ["2025-10-01T00:00:00+02:00  49"]
    assert sum(int(line.split()[1]) for line in lines(autumn, *berlin, "6h")) == 49


def test_the_conditions_are_those_of_a_search(autumn: Path) -> None:
    until = ["--until", str(AUTUMN + DAY)]
    chosen = ["--flag", "f2", "--source", "door", *until, "--not-flag", "f5", "-i", "SHUT"]
    assert int(run("search", "--db", autumn, "--count", *chosen[:-2]).stdout) > 0
    counted = int(run("search", "--db", autumn, "--count", *chosen).stdout)
    for command in (["histogram", "--by", "1h"], ["histogram"]):
        found = lines(autumn, *command, *chosen)
        assert sum(int(line.split()[1]) for line in found) == counted
    top = json.loads(run("top", "--db", autumn, "--json", *chosen).stdout)
    assert top["source"] == {"values": {"door": counted}, "others": 0}
    nothing = run("histogram", "--db", autumn, "--since", "2030-01-01")
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert run("top", "--db", autumn, "--since", "2030-01-01").exit_code == 1


def test_json_has_seconds_and_numbers(autumn: Path) -> None:
    ran = run("histogram", "--db", autumn, "--by", "day", "--tz", "Europe/Berlin", "--json")
    assert json.loads(ran.stdout) == [
        {"start": AUTUMN, "events": 25},
        {"start": AUTUMN + 25 * 3600, "events": 24},
    ]
    assert run("histogram", "--db", autumn, "--since", "2030-01-01", "--json").stdout == "[]\n"


def test_top_prints_the_most_frequent_values(autumn: Path) -> None:
    assert [line.split() for line in lines(autumn, "top", "-n", 2)] == [
        ["flag:f2", "25"],
        ["flag:f3", "17"],
        ["source:door", "32"],
        ["source:a\\x20b\\x1b[2J", "17"],
        ["others:flags", "1"],
        ["others:sources", "0"],
    ]
    assert len(lines(autumn, "top", "--of", "source")) == 3
    shown = json.loads(run("top", "--db", autumn, "--of", "flags", "--json").stdout)
    assert shown == {"flags": {"values": {"f2": 25, "f3": 17, "f5": 10}, "others": 0}}


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_bars_fill_the_terminal(autumn: Path, columns: int) -> None:
    for command in (["histogram", "--by", "day"], ["top", "-n", "1"]):
        status, shown = on_terminal(*command, "--db", autumn, COLUMNS=str(columns))
        assert status == 0
        assert "\x1b[2J" not in shown
        plain = COLOUR.sub("", shown).splitlines()
        assert max(map(cell_len, plain)) == columns
        assert "█" in shown
    assert "\x1b[36m█" in shown
    assert "  and 2 more" in plain


def test_colour_is_left_out_if_it_is_not_wanted(autumn: Path) -> None:
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        status, shown = on_terminal("histogram", "--by", "day", "--db", autumn, **variables)
        assert (status, "\x1b" in shown, "█" in shown) == (0, False, True)
    _, shown, _ = process("histogram", "--db", autumn)
    assert "█" not in shown


def test_two_hours_with_one_name_have_their_offsets(autumn: Path) -> None:
    _, shown = on_terminal("histogram", "--by", "hour", "--db", autumn, TZ="Europe/Berlin")
    found = [line[:22].strip() for line in COLOUR.sub("", shown).splitlines()]
    assert found[1:5] == [
        "2025-10-26 01:00",
        "2025-10-26 02:00 +0200",
        "2025-10-26 02:00 +0100",
        "2025-10-26 03:00",
    ]


def test_bad_periods_zones_and_ranges_are_refused_with_the_remedy(autumn: Path) -> None:
    for by in ("fortnight", "0s", "5", "-1h", "", "1h30m"):
        ran = run("histogram", "--db", autumn, "--by", by)
        assert ran.exit_code == 2
        assert "is no period; give 'hour', 'day' or 'month'" in " ".join(ran.stderr.split())
    ran = run("histogram", "--db", autumn, "--tz", "Mars/Base")
    assert (ran.exit_code, "is no zone; give a name" in ran.stderr) == (2, True)
    ran = run("histogram", "--db", autumn, "--by", "1s")
    assert ran.exit_code == 2
    assert ran.stderr.endswith("over 100,000 buckets; give a longer --by, or --since and --until\n")


def test_without_a_period_one_is_chosen_that_fits() -> None:
    buckets = [fitting(seconds).bucket for seconds in (0, 40, 300, 2000, 20_000, 2 * DAY, 30 * DAY)]
    assert buckets == [1.0, 1.0, 10.0, 60.0, 600.0, "hour", "day"]
    assert fitting(1e9).bucket == fitting(1e300).bucket == "month"


@pytest.mark.parametrize(
    ("by", "shown"),
    [
        ("month", "2025-10"),
        ("1d", "2025-10-25"),
        ("15m", "2025-10-25 22:00"),
        ("10s", "2025-10-25 22:00:00"),
        ("0.5s", "2025-10-25 22:00:00.000000"),
    ],
)
def test_a_start_is_written_as_exactly_as_the_period_needs(by: str, shown: str) -> None:
    period = period_of(by)
    assert period is not None
    assert period.label(AUTUMN, UTC) == shown
    assert period.label(1e300, UTC) == "1e+300"


def test_wide_and_long_texts_keep_their_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    rows = [("東京" * 30, 5), ("a", 1), ("", 1000), ("x\ny", 0)]
    drawn = [line.rstrip("\n") for line in draw(rows, "  ", cut=True)]
    assert max(map(cell_len, drawn)) == 40
    assert "…" in drawn[0]
    before_bars = [re.sub("  [▏▎▍▌▋▊▉█]+$", "", line) for line in drawn]
    assert {cell_len(line) for line in before_bars} == {2 + 19 + 2 + 5}
    assert drawn[3].endswith(" 0")
    monkeypatch.setenv("COLUMNS", "5")
    assert "█" not in "".join(draw([("label", 7)]))
    assert list(draw([])) == []


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("opened by (\\w+)", "force  1\nkey  1\n"),
        ("[aeiou]pen", "open  2\n"),
        ("flag", "flag:alarm    2\nflag:night    1\nothers:flags  0\n"),
        ("source", "source:door     2\nsource:gate     1\nothers:sources  0\n"),
        ("day", "1970-01-01T00:00:00+00:00  3\n"),
        ("zzz", ""),
    ],
)
def test_a_search_counts_by_what_is_asked_for(filled: Path, by: str, expected: str) -> None:
    status, out, err = process("search", "--db", filled, "--count-by", by)
    assert (out, err) == (expected, "")
    assert status == (0 if expected else 1)


@pytest.mark.parametrize(
    "command",
    [["histogram"], ["top"], *(["search", "--count-by", by] for by in ("day", "flag", "by (.*)"))],
)
def test_an_option_decides_whether_bars_have_a_colour(filled: Path, command: list[str]) -> None:
    args = [*command, "--db", filled, "--color"]
    assert "\x1b[36m" in on_terminal(*args, "always", NO_COLOR="1")[1]
    shown = on_terminal(*args, "never")[1]
    assert "█" in shown
    assert "\x1b" not in shown


def test_counts_have_the_conditions_of_the_search(filled: Path) -> None:
    args = ["search", "--db", filled, "force|key", "--not-flag", "night", "--count-by"]
    assert process(*args, "source")[1] == "source:door     1\nothers:sources  0\n"
    assert json.loads(process(*args, "by (.*)", "--json")[1]) == {"force": 1}
    assert process(*args, "[")[0] == 2
    for more in (["--limit", "1"], ["--count"], ["-o"], ["-v"], ["-C", "1"], ["--desc"]):
        assert process(*args, "flag", *more)[0] == 2
