"""What the page makes of times, colours, JSON and marks: its modules, called in the browser."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

CALL = """async ([module, name, calls]) => {
    const made = await import(`/page/${module}`);
    return calls.map((given) => {
        try { return made[name](...given); } catch (error) { return `${error.name}`; }
    });
}"""
HTML = """async ([name, calls]) => {
    const made = await import("/page/text/contents.js");
    return calls.map((given) => {
        const place = document.createElement("div");
        place.append(made[name](...given) ?? "no JSON");
        return place.innerHTML;
    });
}"""
NOW = 1792108800.0
ZONE = "Europe/Berlin"


def utc(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]  # of the star


TIMES: dict[str, Any] = {
    "": None,
    "now": NOW,
    "-15m": NOW - 900,
    "-1.5h": NOW - 5400,
    "-2w": NOW - 14 * 86400,
    "1792108800.25": NOW + 0.25,
    "-1e+22": -1e22,
    "2026-10-16T00:00:00Z": NOW,
    "2026-10-16T02:00:00.000001+02:00": NOW + 1e-6,
    "2026-10-16 02:00": NOW,
    "2026-10-16": NOW - 7200,
    "2026-01-16 12:00:30": utc(2026, 1, 16, 11, 0, 30),
    "2026-03-29 01:59": utc(2026, 3, 29, 0, 59),  # before summer time
    "2026-03-29 03:00": utc(2026, 3, 29, 1, 0),  # the minute after it
    "2026-10-25 03:00": utc(2026, 10, 25, 2, 0),  # after summer time
    "2026-02-30": "RangeError",
    "2026-10-16 24:00": "RangeError",
    "yesterday": "RangeError",
    "-5y": "RangeError",
}
CLOCKS = {
    NOW + 0.5: ("2026-10-16", "02:00:00", ".500"),
    0.0: ("1970-01-01", "01:00:00", ".000"),
    -1.25: ("1970-01-01", "00:59:58", ".750"),
    -62167305600.0: ("-1-12-31", "00:53:28", ".000"),
    1e15: ("1000000000000000 s", "", ""),
}
CONTENTS: list[tuple[str, list[Any], str]] = [
    ("asWritten", ["a<b>&c", [[1, 4]], 6], "a<mark>&lt;b&gt;</mark>&amp;c"),
    (
        "asWritten",
        ["\x1b[1;31mred\x1b[39m bold\x1b[0m!", [[5, 12]], 99],
        (
            '<mark><span class="ansi-bold ansi-1">red</span></mark>'
            '<span class="ansi-bold"> bold</span>!'
        ),
    ),
    ("asWritten", ["a\r\nb\tc\x07", [], 99], 'a\nb\tc<span class="control">\\x07</span>'),
    ("asWritten", ["cut here", [[0, 8]], 3], "<mark>cut</mark>"),
    (
        "asFields",
        ['{"a":[1e400,{}]}', [[6, 8]]],
        (
            '<span class="json-open">{</span>\n  <span class="json-key">"a"</span>'
            '<span class="json-colon">:</span> <span class="json-open">[</span>\n    '
            '<mark><span class="json-number">1e</span></mark><span class="json-number">400</span>'
            '<span class="json-comma">,</span>\n    <span class="json-open">{</span>'
            '<span class="json-close">}</span>\n  <span class="json-close">]</span>\n'
            '<span class="json-close">}</span>'
        ),
    ),
    ("asFields", ["no JSON", []], "no JSON"),
    ("asFields", ["[1", []], "no JSON"),
    ("asFields", ["12", []], "no JSON"),
]


def test_times_are_read_as_people_write_them(look: Callable[..., Page]) -> None:
    page = look()
    calls = [[text, ZONE, NOW] for text in TIMES]
    found = page.evaluate(CALL, ["base/dates.js", "seconds", calls])
    assert dict(zip(TIMES, found, strict=True)) == pytest.approx(TIMES)
    shown = page.evaluate(CALL, ["base/dates.js", "clock", [[time, ZONE] for time in CLOCKS]])
    assert [(one["day"], one["time"], one["fraction"]) for one in shown] == [*CLOCKS.values()]
    written = page.evaluate(CALL, ["base/dates.js", "iso", [[NOW], [NOW + 0.25], [-0.5], [1e15]]])
    assert written == [
        "2026-10-16T00:00:00Z",
        "2026-10-16T00:00:00.25Z",
        "1969-12-31T23:59:59.5Z",
        "1000000000000000",
    ]


def test_contents_become_nodes_with_marks(look: Callable[..., Page]) -> None:
    """Marks count in the content, whatever of it is hidden, coloured or laid out anew."""
    page = look()
    for name, given, html in CONTENTS:
        assert page.evaluate(HTML, [name, [given]]) == [html], given
