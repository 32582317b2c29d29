"""What a terminal shows of a search: times, sources, folded lines, and why nothing was found."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from lmdbstore import Event, LMDBEventStore
from lmdbstore.cli.showing.folding import folded
from lmdbstore.cli.showing.on_terminal import TerminalLines
from lmdbstore.cli.showing.own_time import OwnTime
from lmdbstore.cli.terminal import MATCH_OFF, MATCH_ON
from lmdbstore.cli.times import local_time
from tests.tools.commands import on_terminal, process, run
from tests.tools.properties import examples
from tests.tools.zone import local_zone

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.surroundings

NOW = 1750775785.0  # 2025-06-24 14:36:25 UTC


def plain(text: str) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", text)


@pytest.mark.parametrize(
    ("content", "begins"),
    [
        ("2025-06-24 14:36:25 opened", True),
        ("Jun 24 14:36:25 host sshd[1]: opened", True),
        ("[24/Jun/2025:14:36:25 +0000] opened", True),
        ('{"status": 200, "time": 1750775785.0}', False),
        ("1750775785.5 opened", False),
        ("opened at 2025-06-24 14:36:25", False),
        ("opened", False),
        ("", False),
        ("2025-13-45 10:00:00", False),
    ],
)
def test_a_time_is_shown_where_the_content_begins_with_none(content: str, begins: bool) -> None:
    own = OwnTime(NOW)
    assert [own.begins(content), own.begins(content)] == [begins, begins]
    with local_zone("XXX-02:00"):
        line = TerminalLines(None, NOW, with_source=False, colour=False).line(
            Event("a", "door", NOW + 0.5, [], content)
        )
    assert line == (content if begins else f"2025-06-24 16:36:25.500  {content}")


def test_times_are_never_shown_later_than_they_are() -> None:
    with local_zone("UTC"):
        assert local_time(1750775785.9999) == "2025-06-24 14:36:25.999"
        assert local_time(-0.0001) == "1969-12-31 23:59:59.999"
        assert local_time(1e300) == "1e+300"


@examples(100)
@given(
    st.text("ab \t\n\x1bäあ\u0301", max_size=40),
    st.integers(1, 12),
    st.integers(0, 4),
    st.lists(st.integers(0, 40), max_size=4),
)
def test_a_folded_text_is_the_same_text(
    text: str, width: int, indent: int, places: list[int]
) -> None:
    """All of it is shown, in lines no wider than asked for, except single wide characters."""
    ends = sorted({min(place, len(text)) for place in places})
    spans = list(zip(ends[::2], ends[1::2], strict=False))
    shown = folded(text, spans, width, indent)
    lines = plain(shown).split("\n")
    assert all(line.startswith(" " * indent) for line in lines[1:])
    joined = "".join([lines[0], *(line[indent:] for line in lines[1:])])
    assert joined == text.replace("\n", "").replace("\x1b", "\\x1b")
    assert shown.count(MATCH_ON) == shown.count(MATCH_OFF)
    bright = "".join(
        re.findall(f"{re.escape(MATCH_ON)}(.*?){re.escape(MATCH_OFF)}", shown, re.DOTALL)
    )
    expected = "".join(text[start:end] for start, end in spans)
    assert re.sub(r"\n *", "", bright).replace(" ", "") == (
        expected.replace("\n", "").replace("\x1b", "\\x1b").replace(" ", "")
    )
    if "\t" not in text:
        assert all(
            cell_len(line) <= max(width, 4)
            for line in (lines[0], *(line[indent:] for line in lines[1:]))
        )


def test_lines_break_at_spaces() -> None:
    assert folded("one two three", [], 9, 2) == "one two \n  three"
    assert folded("abcdefghij", [], 4, 0) == "abcd\nefgh\nij"


def test_sources_are_shown_where_there_are_several(path: Path, filled: Path) -> None:
    _, shown = on_terminal("search", "--db", filled, "--limit", "1", NO_COLOR="1")
    assert shown == "1970-01-01 00:16:40.000  door  opened by force\r\n"
    _, shown = on_terminal("search", "--db", filled, "--source", "door", "force", NO_COLOR="1")
    assert shown == "1970-01-01 00:16:40.000  opened by force\r\n"
    assert process("search", "--db", path, "force")[1] == "opened by force\n"


def test_long_contents_are_folded_under_their_start(filled: Path) -> None:
    with LMDBEventStore(filled) as store:
        store.save(Event("d", "door", 4000.0, [], "word " * 12))
    _, shown = on_terminal("search", "--db", filled, "word", COLUMNS="60", NO_COLOR="1")
    head = "1970-01-01 01:06:40.000  door  "
    lines = shown.splitlines()
    assert lines[0].startswith(head + "word word")
    assert all(line.startswith(" " * len(head) + "word") for line in lines[1:])
    assert "".join(line[len(head) :] for line in lines) == "word " * 12


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (["--format", "raw"], "opened by force\r\n"),
        (["--format", "raw", "--color", "always"], "opened by \x1b[1;31mforce\x1b[0m\r\n"),
        (["--color", "never"], "1970-01-01 00:16:40.000  door  opened by force\r\n"),
        (["--color", "always"], None),
    ],
)
def test_the_form_and_the_colours_can_be_chosen(
    filled: Path, form: list[str], expected: str | None
) -> None:
    _, shown = on_terminal("search", "--db", filled, "force", *form, NO_COLOR="1")
    if expected is None:
        assert shown.startswith("\x1b[2m1970")
    else:
        assert shown == expected


def test_a_pipe_is_colourful_if_asked_and_json_has_one_name(filled: Path) -> None:
    out = process("search", "--db", filled, "force", "--color", "always")[1]
    assert out == f"opened by {MATCH_ON}force{MATCH_OFF}\n"
    lines = run("search", "--db", filled, "--format", "jsonl").stdout
    assert lines == run("search", "--db", filled, "--json").stdout
    assert run("search", "--db", filled, "--json", "--format", "raw").exit_code == 2


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["nothing"], "none of 3 events matches 'nothing'"),
        (["--flag", "alram"], "no event has the flag 'alram'; similar: 'alarm'"),
        (["--any-flag", "nigth"], "no event has the flag 'nigth'; similar: 'night'"),
        (["-i", "nothing"], "none of 3 events matches '(?i)nothing'"),
        (["--source", "roof"], "no event has the source 'roof'; there are 'door', 'gate'"),
        (["--flag", "alarm", "--flag", "night", "force"], "none of 1 event matches"),
        (["--flag", "night", "--source", "gate"], "none of 3 events meets all conditions"),
        (["--since", "2h", "--until", "3h"], "is after --until"),
        (["--since", "2000-01-01"], "is after the newest event, 1970-01-01 00:50:00.500"),
        (["--until", "1960-01-01"], "is before the oldest event, 1970-01-01 00:16:40.000"),
        (["--limit", "0"], "the limit is 0"),
    ],
)
def test_a_terminal_is_told_why_nothing_was_found(
    filled: Path, args: list[str], reason: str
) -> None:
    status, shown = on_terminal("search", "--db", filled, *args)
    assert status == 1
    assert shown.startswith("lmdbstore: nothing was found: ")
    assert reason in shown
    assert process("search", "--db", filled, *args) == (1, "", "")


def test_an_empty_store_is_called_empty(path: Path) -> None:
    LMDBEventStore(path).close()
    assert "the store is empty" in on_terminal("search", "--db", path)[1]


def test_a_search_for_what_does_not_match_says_why_it_finds_nothing(filled: Path) -> None:
    for args, why in (
        ([], "none of 3 events meets all conditions"),
        (["--source", "dor"], "no event has the source 'dor'; similar: 'door'"),
    ):
        status, shown = on_terminal("search", "--db", filled, "-v", "a|e", *args)
        assert (status, shown) == (1, f"lmdbstore: nothing was found: {why}\r\n")
