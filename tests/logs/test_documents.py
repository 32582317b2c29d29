"""JSON whose objects go on over lines: one after another, or in an array."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event
from lmdbstore.inputs import unpacking
from lmdbstore.logs import records
from lmdbstore.logs.common import Options
from lmdbstore.logs.documents import is_document
from tests.tools.imports import MOMENT, MTIME, events_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "a.json"


OBJECTS = [
    {
        "time": MOMENT + n,
        "level": "error",
        "logger": "db",
        "text": '}{ "\\',
        "in": {"a": [{}, n]},
    }
    for n in range(3)
]
PRETTY = [json.dumps(one, indent=2) for one in OBJECTS]
SHORT = [json.dumps(one) for one in OBJECTS]
INSIDE = json.dumps(OBJECTS, indent=1)
LAYOUTS = {
    "one after another": ("\n".join(PRETTY), PRETTY),
    "with blank lines": ("\n\n".join(PRETTY), PRETTY),
    "an array": (INSIDE, None),
    "an array with its commas at the start": ("[\n" + "\n, ".join(PRETTY) + "\n]\n", PRETTY),
    "an array with braces on one line": ("[" + ", ".join(PRETTY) + "]", PRETTY),
    "an array of lines": ("[\n" + ",\n".join(SHORT) + "\n]", SHORT),
    "an array in one line": (f"[{', '.join(SHORT)}]", SHORT),
    "two in one line": (f"{SHORT[0]}{PRETTY[1]} {SHORT[2]}", [SHORT[0], PRETTY[1], SHORT[2]]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("chunk", [150, 1 << 18])
def test_each_object_is_an_event_with_its_text(
    log: Path, layout: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "CHUNK", chunk)
    text, expected = LAYOUTS[layout]
    events, report = events_of(log, text)
    assert [event.timestamp - MOMENT for event in events] == [0, 1, 2]
    assert {tuple(event.tags) for event in events} == {("level:error", "logger:db")}
    contents = [event.content for event in events]
    assert [json.loads(content) for content in contents] == OBJECTS
    assert all(content in text for content in contents)
    assert expected is None or contents == expected
    assert report.details() == [f"{log}: JSON: 3 with their own time"]


def test_docker_journald_own_events_and_named_fields_are_read_as_in_lines(log: Path) -> None:
    own = Event("i", "s", MOMENT, ["a"], "x\n")
    objects = [
        {"log": "hello\n", "stream": "stdout", "time": "2024-03-05T10:00:00Z"},
        {"__REALTIME_TIMESTAMP": "1709632801000000", "PRIORITY": "3", "MESSAGE": "hi"},
        own._asdict(),
    ]
    events, _ = events_of(log, "\n".join(json.dumps(one, indent=4) for one in objects))
    assert sorted(event.content for event in events) == ["hello", "hi", "x\n"]
    assert own in events
    (event,), _ = events_of(
        log, '{\n"at": {\n"t": 1709632800}, "m": "x"\n}', options=Options(
            time_field="at.t", message_field="m"
        ),
    )  # fmt: skip
    assert event[2:] == (MOMENT, [], "x")


def test_other_text_between_objects_is_kept(log: Path) -> None:
    events, report = events_of(log, f"{PRETTY[0]} one\n[two]\n{PRETTY[1]}\n, three\n\n")
    assert [event.content for event in events] == [PRETTY[0], "one", "[two]", PRETTY[1], ", three"]
    assert report.details()[0].endswith("3 not JSON, kept as text")
    assert report.blank == 1


def test_an_object_that_does_not_end_is_kept_as_text(log: Path) -> None:
    text = f"{PRETTY[0]}\n{PRETTY[1][:-2]}"
    events, report = events_of(log, text)
    assert [event.content for event in events] == [PRETTY[0], PRETTY[1][:-2]]
    assert report.details()[0].endswith("1 not JSON, kept as text")


def test_objects_inside_of_an_object_need_no_indent(log: Path) -> None:
    text = '{"time":\n1709632800, "a":\n{"b": 1}, "c": [\n{"d": {\n}}\n]}'
    events, _ = events_of(log, f"{text}\n{text}")
    assert [event.content for event in events] == [text] * 2


def test_a_damaged_object_does_not_take_the_next_one_with_it(log: Path) -> None:
    damaged = '{\n  "time": 1709632800,\n  "text": "a'
    events, report = events_of(log, "\n".join([PRETTY[0], damaged, *PRETTY[1:]]))
    assert [event.content for event in events] == [PRETTY[0], damaged, *PRETTY[1:]]
    assert report.details()[0].endswith("1 not JSON, kept as text")


@pytest.mark.parametrize("limit", ["MOST_LINES", "MOST_CHARACTERS"])
@pytest.mark.parametrize("chunk", [20, 1 << 18])
def test_an_object_that_is_too_long_is_cut_and_kept_as_text(
    log: Path, limit: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "CHUNK", chunk)
    monkeypatch.setattr(records, limit, 4 if limit == "MOST_LINES" else 40)
    lines = ["{", *(f'  "name{n}": "{n}",' for n in range(8)), '  "z": {}', "}"]
    small = '{\n"time": 1709632800}'
    events, report = events_of(log, "\n".join([small, *lines, small]))
    contents = [event.content for event in events]
    assert contents[0] == contents[-1] == small
    assert "\n".join(contents[1:-1]) == "\n".join(lines)
    assert len(contents) == 5
    assert "3 not JSON, kept as text" in report.details()[0]
    assert {event.timestamp for event in events} == {MOMENT}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", True),
        ('{\n "a', True),
        ('[\n {"a": [1.5e3,\n tr', True),
        ('[{"a":1}]', True),
        ("", False),
        ("[", False),
        ("[1, 2]\n[3]", False),
        ("[2024-03-05 10:00:00] a\n{}", False),
        ('{"a":1} x\n{"a":2} y', False),
        ("{\nfoo = bar\n}", False),
        ("{'a': 1}\n{'b': 2}", False),
        ('2024-03-05 10:00:00 body\n{\n "a": 1,\n "b": 2\n}', False),
    ],
)
def test_the_first_lines_say_whether_a_file_is_of_objects(text: str, expected: bool) -> None:
    assert is_document(text.split("\n")) is expected


def test_each_line_is_an_event_if_asked(log: Path) -> None:
    events, _ = events_of(log, PRETTY[0], options=Options(each_line=True))
    assert [event.content for event in events] == PRETTY[0].split("\n")
    assert {event.timestamp for event in events} == {MTIME}
