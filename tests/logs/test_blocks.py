"""What is remembered or read for a whole block changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore.inputs.lines import Block
from lmdbstore.logs.common import Maker, Options
from lmdbstore.logs.input_report import InputReport
from lmdbstore.logs.structured import JsonReader
from lmdbstore.logs.tables import TableReader, header_of
from lmdbstore.times.clock import Setting
from lmdbstore.times.learning import format_named
from tests.tools.properties import examples

if TYPE_CHECKING:
    from lmdbstore.contract.event import Event
    from lmdbstore.logs.common import Reader
    from lmdbstore.logs.tables import Header

TIMES = ["2024-03-05T10:00:00Z", "2024-03-05T10:00:01.5Z", "05/Mar/2024:10:00:02 +0000", "10:00:03"]
FIELDS: dict[str, list[Any]] = {
    "timestamp": [*TIMES, 1709632800, None, "no time", "2024-02-30T10:00:00Z"],
    "time": [*TIMES, {"$date": TIMES[0]}],
    "date": ["2024-03-06", 7],
    "level": ["info", "error", "x", "", 3, 1, True, 1.0, ["info"], None],
    "severity": ["WARN"],
    "log": [{"level": "debug", "logger": "l"}, "said\n"],
    "log.level": ["fatal"],
    "logger": ["a", "b", "", 7, ["a"], None],
    "name": ["n"],
    "stream": ["out"],
    "content": ["c"],
    "Records": [[{"eventTime": TIMES[1]}], 7],
    "other": [{"when": TIMES[1]}, 5],
}
OBJECTS = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values) for name, values in FIELDS.items()}
)
LINES = st.lists(
    OBJECTS.map(lambda found: orjson.dumps(found).decode()) | st.sampled_from(["", "no JSON", "7"]),
    max_size=9,
)
OPTIONS = (
    Options(),
    Options(levels=False),
    Options(time_field="other.when", tags_field="level", source_field="name"),
    Options(time_format=format_named("common"), message_field="logger"),
)


def read(
    lines: list[str], size: int, options: Options, header: Header | None = None
) -> tuple[list[Event], InputReport, Any]:
    """Read lines in blocks of this size: rows of a table if it has a header, else JSON."""
    report = InputReport("name")
    maker = Maker("/log", "0" * 16, ["own"], Setting(1.7e9), options, report)
    refused: list[tuple[int, str]] = []
    reader: Reader = JsonReader(maker, lambda *one: refused.append(one), strict=False, hold=True)
    if header is not None:
        reader = TableReader(maker, header)
    events = []
    for first in range(0, len(lines), size):
        events += reader.read(Block(first + 1, lines[first : first + size])).events
    return events + reader.end().events, report, refused


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "no levels", "fields", "given"])
@given(LINES)
@examples(150)
def test_lines_at_once_and_one_by_one_are_the_same_events(
    options: Options, lines: list[str]
) -> None:
    assert repr(read(lines, len(lines) or 1, options)) == repr(read(lines, 1, options))


ISO, COMMON = '{"ts":"2024-03-05T10:00:00+00:00"}', '"05/Mar/2024:10:00:02 +0000"'
CASES = {
    "records between, with their times elsewhere": (
        Options(),
        [
            '{"time":"2024-03-05T10:00:00Z"}',
            '{"Records":[{"eventTime":"2024-03-05T10:00:01.5Z"}]}',
            '{"timestamp":"2024-03-05T10:00:00Z","time":"2024-03-05T10:00:01.5Z"}',
        ],
    ),
    "second name of a level": (
        Options(),
        [
            '{"level":null,"severity":"WARN","ts":1709632800}',
            '{"level":null,"severity":"ERROR","ts":1709632800}',
        ],
    ),
    "second name of a logger": (
        Options(),
        ['{"logger":"","name":"a","ts":1709632800}', '{"logger":"","name":"b","ts":1709632800}'],
    ),
    "equal values that are different": (
        Options(),
        ['{"level":1,"ts":1709632800}', '{"level":true,"ts":1709632801}'],
    ),
    "a time of day with its date": (
        Options(),
        ['{"time":"10:00:03"}', '{"time":"10:00:03","date":"2024-03-07"}'],
    ),
    "a given format that fits later": (
        Options(time_format=format_named("%Y-%m-%dT%H:%M:%SZ")),
        [ISO, ISO, '{"ts":"2024-03-05T10:00:00Z"}'],
    ),
    "a given field, after an event": (
        Options(time_field="ts"),
        [f'{{"content":"c","timestamp":{COMMON}}}', f'{{"ts":{COMMON}}}'],
    ),
    "no such month, but another time": (
        Options(),
        [f'{{"ts":{COMMON}}}', '{"ts":"05/Abc/2024:10:00:02 +0000","time":1709632800}'],
    ),
}


@pytest.mark.parametrize(("options", "lines"), CASES.values(), ids=CASES.keys())
def test_lines_that_differ_from_those_before(options: Options, lines: list[str]) -> None:
    assert repr(read(lines, len(lines), options)) == repr(read(lines, 1, options))
    (*_, last), report, _ = read(lines, len(lines), options)
    assert report.missing == {}
    assert report.own == len(lines)
    if "date" in lines[-1]:
        assert last.timestamp == datetime(2024, 3, 7, 10, 0, 3, tzinfo=UTC).timestamp()


CSV = ["time,level,flag,text", "1,a,b,c"]
W3C = ["#Fields: date time level flag", "x"]
ROWS = [
    "time,level,flag,text",
    "#Fields: time flag level",
    "#Date: 2024-03-07",
    "",
    "a",
    '2024-03-05 10:00:00,info,"a',
    'b",c',
    "2024-03-05 10:00:00,info,a\rb,c",
    "05/Mar/2024:10:00:02 +0000,error,a\0b",
    "2024-02-30T10:00:00Z,error,,",
    f"1709632800,3,{'x' * 200_000}",
    '2024-03-05 10:00:00 INFO "a b"',
    "2024-03-05 10:00:01 - a",
    "10:00:03 a error",
    *["2024-03-05T10:00:00Z,WARN,a,b", "2024-03-05T10:00:01Z,,,"] * 2,
]
OF_TABLES = (
    Options(),
    Options(levels=False, time_field="time"),
    Options(tags_field="flag", message_field="text", source_field="level"),
    Options(time_field="time", time_format=format_named("common")),
)


@pytest.mark.parametrize("first", [CSV, W3C], ids=["csv", "w3c"])
@given(st.sampled_from(OF_TABLES), st.lists(st.sampled_from(ROWS), max_size=9))
@examples(150)
def test_rows_at_once_and_one_by_one_are_the_same_events(
    first: list[str], options: Options, lines: list[str]
) -> None:
    header = header_of(first, options)
    assert header is not None
    at_once, each = (read(lines, size, options, header) for size in (len(lines) or 1, 1))
    assert repr(at_once) == repr(each)


def test_of_numbers_in_a_row_each_is_a_time_by_its_size() -> None:
    numbers = ["1709632800", "1709632801.5", "true", "7", "1709632802000", "9" * 30, "1709632803"]
    events, report, _ = read([f'{{"ts":{number}}}' for number in numbers], 9, Options())
    expected = [0, 1.5, 1.5, 1.5, 2, 2, 3]
    assert [event.timestamp - 1709632800 for event in events] == expected
    assert (report.own, report.undated) == (4, 3)
