"""The options that name fields, a format or a start: what they take, and what no line has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore.logs.common import Options
from lmdbstore.times.learning import format_named
from tests.tools.imports import MOMENT, MTIME, events_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


FIELDS: dict[str, Any] = {
    "time_field": "When",
    "message_field": "text",
    "tags_field": "LABEL",
    "source_field": "Host",
}


@pytest.mark.parametrize("mark", [",", "\t"])
def test_columns_of_a_table_can_be_named(log: Path, mark: str) -> None:
    rows = [
        ["when", "host", "level", "text", "label"],
        ["2024-03-05T10:00:00Z", "web1", "error", '"hello, ""you"""', "a b"],
        ["2024-03-05T10:00:01Z", "", "info", "", ""],
        ["2024-03-05T10:00:02Z", "web2"],
    ]
    text = "".join(mark.join(row) + "\n" for row in rows)
    events, report = events_of(log, text, tags=["t"], options=Options(**FIELDS))
    assert [event[1:] for event in events] == [
        (str(log), MOMENT, ["t"], mark.join(rows[0])),
        ("web1", MOMENT, ["t", "level:error", "a b"], 'hello, "you"'),
        (str(log), MOMENT + 1, ["t", "level:info"], ""),
        ("web2", MOMENT + 2, ["t"], mark.join(rows[3])),
    ]
    assert (report.unmet, report.warnings()) == (False, [])


def test_a_named_column_makes_a_table_of_lines_without_a_usual_column(log: Path) -> None:
    events, report = events_of(log, "a,b\n1,2\n", options=Options(message_field="b"))
    assert [event.content for event in events] == ["a,b", "2"]
    assert report.details() == [f"{log}: table: 2 from the file's time"]


def test_columns_of_the_w3c_format_can_be_named(log: Path) -> None:
    fields = "#Fields: date time x-when s-computername cs(User-Agent) cs-method"
    row = '2001-01-01 00:00:00 2024-03-05T10:00:00 {} "a b" GET'
    text = "\n".join([fields, row.format("web1"), row.format("-"), "#Fields: date time\n"])
    options = Options(
        time_field="X-When",
        message_field="cs(user-agent)",
        tags_field="cs-method",
        source_field="s-computername",
    )
    events, report = events_of(log, text, options=options)
    assert [event[1:] for event in events[1:-1]] == [
        ("web1", MOMENT, ["GET"], "a b"),
        (str(log), MOMENT, ["GET"], "a b"),
    ]
    assert not report.unmet


def test_a_number_in_the_named_field_is_a_source(log: Path) -> None:
    (event,), _ = events_of(log, '{"host":7}\n', options=Options(source_field="host"))
    assert event.source == "7"


JSON = '{"time":"2024-03-05T10:00:00Z","x":null}\n' * 2
TABLE = "time,x\n2024-03-05T10:00:00Z,1\n"
OTHER_TABLE = "when,x\n2024-03-05T10:00:00Z,1\n"
TEXT = "2024-03-05 10:00:00Z a\n"
IN_TEXT = "these lines are text; only JSON, logfmt and tables have fields"
GERMAN = format_named("%d.%m.%Y")


@pytest.mark.parametrize(
    ("text", "options", "warning"),
    [
        (JSON, {"time_field": "nope"}, "--time-field 'nope': no line has a time in this field"),
        (JSON, {"time_field": "x"}, "--time-field 'x': no line has a time in this field"),
        (JSON, {"message_field": "a.b"}, "--message-field 'a.b': no line has this field"),
        (JSON, {"tags_field": "x"}, "--tags-field 'x': no line has this field"),
        (JSON, {"source_field": "Time"}, "--source-field 'Time': no line has this field"),
        (JSON, {"record_start": re.compile("^{")}, "--record-start '^{': each line of JSON is an"),
        (JSON, {"time_format": GERMAN}, "--time-format '%d.%m.%Y': no line has a time of this"),
        (
            TABLE,
            {"time_field": "nope"},
            "--time-field 'nope': there is no such column; the columns",
        ),
        (TABLE, {"time_field": "X"}, "--time-field 'X': no row has a time in this column"),
        (
            TABLE,
            {"message_field": "a"},
            "'a': there is no such column; the columns are 'time', 'x'",
        ),
        (TABLE, {"tags_field": "a"}, "--tags-field 'a': there is no such column; the columns are"),
        (TABLE, {"source_field": "a"}, "--source-field 'a': there is no such column; the columns"),
        (
            TABLE,
            {"time_format": GERMAN, "time_field": "time"},
            "--time-format '%d.%m.%Y': no line has a time of this format",
        ),
        (OTHER_TABLE, {"time_field": "a"}, "there is no such column; the columns are 'when', 'x'"),
        (TEXT, {"time_field": "a"}, f"--time-field 'a': {IN_TEXT}"),
        (TEXT, {"message_field": "a"}, f"--message-field 'a': {IN_TEXT}"),
        (TEXT, {"time_format": GERMAN}, "--time-format '%d.%m.%Y': no line has a time of this"),
        (TEXT, {"record_start": re.compile("^#")}, "--record-start '^#': no line matches"),
    ],
)
def test_an_option_that_no_line_fulfils_is_reported(
    log: Path, text: str, options: dict[str, Any], warning: str
) -> None:
    _, report = events_of(log, text, options=Options(**options))
    assert report.unmet
    (found,) = [line for line in report.warnings() if "--" in line]
    assert found.startswith(f"{log}: --")
    assert warning in found


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ('{"at":{"t":"05.03.2024"}}\n{"x":1}\n', {"time_field": "at.t", "time_format": GERMAN}),
        ('{"content":"x","timestamp":1709632800,"tags":["a"],"source":"s"}\n',
         {"time_field": "timestamp", "message_field": "content", "tags_field": "tags",
          "source_field": "source"}),
        ('{"a":{"b":["x"]}}\n{"c":1}\n', {"tags_field": "a.b", "source_field": "c"}),
        ('{"content":"x","timestamp":"05.03.2024"}\n', {"time_format": GERMAN}),
        ("time,x\n05.03.2024,1\n", {"time_field": "Time", "time_format": GERMAN}),
        ("x 05.03.2024\n", {"time_format": GERMAN}),
        ("x\n# y\nz\n", {"record_start": re.compile("^#")}),
        ("\n \n", {"time_field": "nope", "time_format": GERMAN}),
        ("", {"time_field": "nope"}),
    ],
)  # fmt: skip
def test_an_option_that_a_line_fulfils_is_not(
    log: Path, text: str, options: dict[str, Any]
) -> None:
    _, report = events_of(log, text, options=Options(**options))
    assert not report.unmet
    assert not [line for line in report.warnings() if "--" in line]


def test_a_table_without_the_named_column_of_times_has_the_time_of_the_file(log: Path) -> None:
    events, _ = events_of(log, TABLE, options=Options(time_field="nope"))
    assert {event.timestamp for event in events} == {MTIME}


def test_many_columns_are_counted(log: Path) -> None:
    names = ",".join(f"c{n}" for n in range(30))
    _, report = events_of(log, f"{names}\n", options=Options(time_field="nope"))
    assert "'c0', 'c1'" in report.warnings()[0]
    assert "'c19' and 10 more" in report.warnings()[0]
