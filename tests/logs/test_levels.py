"""Levels of many lines at once are those of each line."""

from __future__ import annotations

import pytest

from lmdbstore.logs.fields import LEARNT_FROM, LevelFinder
from lmdbstore.times.learning import format_named

LINES = {
    "iso": ["2024-03-05T10:00:00Z ERROR a", "2024-03-05T10:00:00Z a", "2024-03-05T10:00:00Z INFOX"],
    "logcat": ["03-05 10:00:00.000  1  2 E a: WARN", "03-05 10:00:00.000  1  2 I a: ERROR"],
    "syslog": [
        "<11>Mar  5 10:00:00 h a: x",
        "Mar  5 10:00:00 h WARN x",
        "Mar  5 10:00:00 h err: x",
    ],
    "none": ["ERROR at the start", "[error] x", "", "x" * 70 + " ERROR"],
}


@pytest.mark.parametrize("first", LINES)
@pytest.mark.parametrize("style", ["ERROR x", "x", "[warn] x"])
@pytest.mark.parametrize("number", [1, LEARNT_FROM - 1, LEARNT_FROM, LEARNT_FROM + 7])
def test_the_levels_of_many_lines(first: str, style: str, number: int) -> None:
    """Before and after the ways are learnt in which the lines have levels."""
    lines = [f"2024-03-05T10:00:00Z {style}"] * number
    for name in sorted(LINES, key=first.__ne__):
        lines += LINES[name]
    clocks = [format_named(name).pattern.pattern for name in LINES if name != "none"]
    matches = [next(filter(None, (one.match(line) for one in clocks)), None) for line in lines]
    each, many = LevelFinder(), LevelFinder()
    expected = [each.of(*pair) for pair in zip(lines, matches, strict=True)]
    assert list(many.of_each(lines[:number], matches[:number])) == expected[:number]
    assert list(many.of_each(lines[number:], matches[number:])) == expected[number:]
    assert "error" in expected
