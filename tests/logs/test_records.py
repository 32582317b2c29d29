"""Records of text: what belongs together, whose time it has, and its flags."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from lmdbstore import MemoryEventStore
from lmdbstore.inputs import unpacking
from lmdbstore.inputs.lines import Block
from lmdbstore.logs import records
from lmdbstore.logs.common import Maker, Options
from lmdbstore.logs.input_report import InputReport
from lmdbstore.logs.text import TextReader
from lmdbstore.times.clock import Setting
from lmdbstore.times.dater import Dater
from lmdbstore.times.learning import format_named
from tests.tools.imports import MOMENT, MTIME, contents, events_of, imported, written

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore import Event

NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
TRACEBACK = """Traceback (most recent call last):
  File "app.py", line 3, in <module>
    main()
ValueError: no 2001-01-01 00:00:00"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


def rows(events: list[Event]) -> list[tuple[float, str]]:
    return [(event.timestamp - MOMENT, event.content) for event in events]


def test_a_traceback_belongs_to_the_line_before_it(log: Path) -> None:
    first = f"2024-03-05 10:00:00 ERROR failed\n{TRACEBACK}"
    second = "2024-03-05 10:00:01 INFO x"
    events, report = events_of(log, f"{first}\n{second}\n")
    assert rows(events) == [(0, first), (1, second)]
    assert [event.tags for event in events] == [["level:error"], ["level:info"]]
    assert report.details() == [f"{log}: iso-space: 2 with their own time, 4 inherited"]


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 18])
def test_records_do_not_depend_on_the_pieces_that_are_read(
    log: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    lines = [f"2024-03-05 10:00:{n:02} x\n  more\n\n" for n in range(9)]
    text = f"before\n{''.join(lines)}"
    whole, _ = events_of(log, text)
    monkeypatch.setattr(unpacking, "CHUNK", chunk)
    assert events_of(log, text)[0] == whole
    assert rows(whole)[1:] == [(n, line.rstrip("\n")) for n, line in enumerate(lines)]


def test_pretty_printed_json_and_sql_belong_to_their_line(log: Path) -> None:
    first = '2024-03-05 10:00:00 got {\n  "time": "2001-01-01 00:00:00",\n\n  "x": 1\n}'
    second = "2024-03-05 10:00:01 SELECT *\nFROM t\nWHERE day > '2001-01-01 00:00:00'"
    assert rows(events_of(log, f"{first}\n{second}\n\n")[0]) == [(0, first), (1, second)]


def test_lines_before_the_first_time_take_it_and_come_first(log: Path) -> None:
    text = "one\ntwo\n\nthree\n2024-03-05 10:00:00 four\n2024-03-05 10:00:01 five\n"
    events, report = events_of(log, text)
    assert rows(events) == [
        (0, "one"),
        (0, "two"),
        (0, "three"),
        (0, "2024-03-05 10:00:00 four"),
        (1, "2024-03-05 10:00:01 five"),
    ]
    assert report.blank == 1


def test_a_time_that_comes_after_many_lines_is_found(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "CHUNK", 50)
    preamble = "".join(f"line {n}\n" for n in range(100))
    events, _ = events_of(log, f"{preamble}2024-03-05 10:00:00 x\n")
    assert {event.timestamp for event in events} == {MOMENT}
    assert len(events) == 101


def test_lines_are_held_back_within_bounds(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "CHUNK", 50)
    monkeypatch.setattr(records, "HELD_BACK", 10)
    preamble = "".join(f"line {n}\n" for n in range(100))
    events, _ = events_of(log, f"{preamble}2024-03-05 10:00:00 x\n")
    assert {event.timestamp for event in events} == {MTIME, MOMENT}


def test_a_line_of_a_pipe_without_times_is_given_at_once() -> None:
    report = InputReport("pipe")
    setting = Setting(MTIME)
    maker = Maker("pipe", "k", [], setting, Options(), report)
    reader = TextReader(maker, Dater(setting), hold=False)
    assert [event.content for event in reader.read(Block(1, ["one"])).events] == ["one"]
    assert [event.content for event in reader.read(Block(2, ["two"])).events] == ["two"]
    assert reader.end().events == []


def test_lines_before_the_first_time_of_a_pipe_take_it_if_they_come_with_it() -> None:
    setting = Setting(MTIME)
    maker = Maker("pipe", "k", [], setting, Options(), InputReport("pipe"))
    reader = TextReader(maker, Dater(setting), hold=False)
    batch = reader.read(Block(1, ["one", "2024-03-05 10:00:00 two"]))
    assert rows(batch.events) == [(0, "one")]
    assert rows(reader.end().events) == [(0, "2024-03-05 10:00:00 two")]


def test_a_line_of_a_pipe_that_has_another_date_goes_on_with_the_record() -> None:
    setting = Setting(MTIME)
    reader = TextReader(
        Maker("pipe", "k", [], setting, Options(), InputReport("pipe")), Dater(setting), hold=False
    )
    for number, line in enumerate(["2024-03-05 10:00:00 x", "ValueError: 2001-01-01T00:00:00"], 1):
        assert reader.read(Block(number, [line])).events == []
    assert len(reader.end().events) == 1


def test_a_format_that_a_file_goes_on_with_is_learnt(log: Path) -> None:
    text = "Mar  5 10:00:00 h x\n" * 2000 + "2024-03-05T10:00:01Z h x\n" * 20_000
    events, report = events_of(log, text)
    assert len(events) == 22_000
    assert report.inputs[0].dater is not None
    assert report.inputs[0].dater.names == ["syslog", "iso"]


def test_each_line_is_an_event_if_asked(log: Path) -> None:
    text = f"2024-03-05 10:00:00 ERROR failed\n{TRACEBACK}\n"
    events, _ = events_of(log, text, options=Options(each_line=True))
    assert [event.content for event in events] == text.splitlines()
    assert {event.timestamp for event in events} == {MOMENT}


def test_a_record_begins_where_the_given_pattern_matches(log: Path) -> None:
    text = "# one\n2024-03-05 10:00:00 a\n2024-03-05 10:00:01 b\n# two\nx\n"
    events, _ = events_of(log, text, options=Options(record_start=re.compile("^# ")))
    assert rows(events) == [
        (0, "# one\n2024-03-05 10:00:00 a\n2024-03-05 10:00:01 b"),
        (0, "# two\nx"),
    ]


def test_a_record_is_bounded_in_lines_and_in_characters(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MOST_LINES", 3)
    monkeypatch.setattr(records, "MOST_CHARACTERS", 60)
    lines = ["2024-03-05 10:00:00 x", *"abcdefg", "y" * 50, "z" * 50, "2024-03-05 10:00:01 x"]
    for chunk in (9, 1 << 18):
        monkeypatch.setattr(unpacking, "CHUNK", chunk)
        events, _ = events_of(log, "\n".join(lines))
        assert "\n".join(event.content for event in events) == "\n".join(lines)
        assert max(event.content.count("\n") for event in events) <= 6
        assert not any("y" in event.content and "z" in event.content for event in events)
        assert [event.timestamp - MOMENT for event in events[:-1]] == [0] * (len(events) - 1)


def test_colours_do_not_hide_a_time_and_are_kept_unless_asked(log: Path) -> None:
    line = "\x1b[32m2024-03-05 10:00:00\x1b[0m \x1b[1;31mERROR\x1b[0m x \x1b]0;title\x07y"
    (event,), _ = events_of(log, line)
    assert (event.timestamp, event.content, event.tags) == (MOMENT, line, ["level:error"])
    (event,), _ = events_of(log, line, options=Options(strip_colours=True))
    assert event.content == "2024-03-05 10:00:00 ERROR x y"


def test_nuls_before_a_line_do_not_hide_its_time(log: Path) -> None:
    text = b"2024-03-05 09:59:59 x\n" + bytes(20) + b"2024-03-05 10:00:00 x\n"
    events, _ = events_of(log, text)
    assert rows(events)[1] == (0, "\0" * 20 + "2024-03-05 10:00:00 x")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_every_line_end_ends_lines(log: Path, end: str, *, last: bool) -> None:
    lines = [f"2024-03-05 10:00:{n:02} x" for n in range(5)]
    events, _ = events_of(log, end.join(lines) + end * last)
    assert [event.content for event in events] == lines


def test_a_date_in_the_message_is_not_the_time_of_the_line(log: Path) -> None:
    lines = [f"2024-03-05 10:00:{n:02} x" for n in range(60)]
    lines[30:30] = ["2001-01-01T00:00:00Z of a user", "Jan  1 00:00:00 of another"]
    events, _ = events_of(log, "\n".join(lines))
    assert len({event.timestamp for event in events}) == 60
    syslog = "Mar  5 10:00:00 h web[1]: 10.0.0.1 - - [01/Jan/2001:00:00:00 +0000] GET"
    assert rows(events_of(log, f"{syslog}\n{syslog}\n")[0]) == [(0, syslog)] * 2


def test_a_file_may_have_a_few_formats(log: Path) -> None:
    text = "Mar  5 10:00:00 h a: x\n2024-03-05T10:00:01Z h a: x\n"
    events, report = events_of(log, text * 20)
    assert len(events) == 40
    assert {event.timestamp - MOMENT for event in events} == {0, 1}
    assert report.details() == [
        f"{log}: iso, syslog: 40 with their own time, year guessed",
    ]


def test_a_contradictory_time_is_counted_and_the_line_is_an_event(log: Path) -> None:
    good, bad = "2024-03-05 10:00:00 x", "2024-02-30 10:00:00 x"
    events, report = events_of(log, f"{good}\n{bad}\n{good}\n")
    assert rows(events) == [(0, good), (0, bad), (0, good)]
    assert report.details() == [
        f"{log}: iso-space: 2 with their own time, 1 with a contradictory time",
    ]


def test_the_order_of_day_and_month_is_decided_by_the_file(log: Path) -> None:
    events, report = events_of(log, "05/03/2024 10:00:00 x\n")
    assert events[0].timestamp == MOMENT  # as May 3 it would be after the file
    assert "order of day and month guessed" in report.details()[0]
    events, report = events_of(log, "04/03/2024 10:00:00 x\n13/02/2024 10:00:00 x\n")
    assert [event.timestamp - MOMENT for event in events] == [-21 * 86400, -86400]
    assert "guessed" not in report.details()[0]
    events, _ = events_of(log, "03/04/2024 10:00:00 x\n02/13/2024 10:00:00 x\n")
    assert [event.timestamp - MOMENT for event in events] == [-21 * 86400, -86400]


def test_the_format_can_be_given(log: Path) -> None:
    for name in ("%H:%M:%S %d.%m.%Y", "%T %d.%m.%Y"):
        options = Options(time_format=format_named(name))
        (event,), _ = events_of(log, "at 10:00:00 05.03.2024 x", options=options)
        assert event.timestamp == MOMENT
    european = Options(time_format=format_named("european"))
    (event,), _ = events_of(log, "03/05/2024 10:00:00 x", options=european)
    assert event.timestamp == MOMENT + 59 * 86400


def test_a_log_of_thirteen_months_without_years(log: Path) -> None:
    names = [
        "Jan",
        "Feb",
        "Mar",
        "Apr",
        "May",
        "Jun",
        "Jul",
        "Aug",
        "Sep",
        "Oct",
        "Nov",
        "Dec",
        "Jan",
        "Feb",
    ]
    text = "".join(f"{name}  5 10:00:00 h x\n" for name in names)
    events, report = events_of(log, text)
    years = [time.gmtime(event.timestamp).tm_year for event in events]
    assert years == [2023] * 12 + [2024] * 2
    assert [event.content[:3] for event in events] == names
    assert report.details()[0].endswith("year guessed")


# -- flags ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "flags"),
    [
        ("2024-03-05 10:00:00 ERROR x", ["level:error"]),
        ("2024-03-05 10:00:00,000 - WARN [a.b.C] x", ["level:warning"]),
        ("2024-03-05 10:00:00 [main] SEVERE a.b.C x", ["level:critical"]),
        ("2024/03/05 10:00:00 [error] 7#7: x", ["level:error"]),
        ("[Tue Mar 05 10:00:00 2024] [core:warn] [pid 9] x", ["level:warning"]),
        ("2024-03-05T10:00:00Z info app[1] x", ["level:info"]),
        ("INFO 2024-03-05 10:00:00 x", ["level:info"]),
        ("[DEBUG 2024-03-05 10:00:00 main] x", ["level:debug"]),
        ("E0305 10:00:00.000000 1 a.go:1] x", ["level:error"]),
        ("W0305 10:00:00.000000 1 a.go:1] x", ["level:warning"]),
        ("03-05 10:00:00.000  1000  1001 F Tag: x", ["level:critical"]),
        ("<11>Mar  5 10:00:00 h su: x", ["level:error"]),
        ("<165>1 2024-03-05T10:00:00Z h su - - - x", ["level:notice"]),
        ('time="2024-03-05T10:00:00Z" level=warning msg="x"', ["level:warning"]),
        ('level=error ts=2024-03-05T10:00:00Z msg="x"', ["level:error"]),
        (
            "- 1709632800 2024.03.05 n 10.00.00 n RAS KERNEL FATAL x",
            ["level:critical"],
        ),
        ("9:M 05 Mar 2024 10:00:00.000 # x", ["level:warning"]),
        ("2024-03-05 10:00:00.000 UTC [9] FATAL:  x", ["level:critical"]),
        ("2024-03-05 10:00:00 0 [Note] ready", []),
        ("2024-03-05 10:00:00 GET /ERRORS.html", []),
        ("2024-03-05 10:00:00 " + "word " * 20 + "ERROR", []),
        ("Mar  5 10:00:00 h app: information about error handling", []),
    ],
)
def test_the_level_of_a_line_becomes_a_flag(log: Path, line: str, flags: list[str]) -> None:
    (event,), _ = events_of(log, line)
    assert event.tags == flags
    assert event.timestamp == MOMENT
    (event,), _ = events_of(log, line, options=Options(levels=False))
    assert event.tags == []


def test_the_ways_to_write_levels_are_learnt_from_many_lines(log: Path) -> None:
    lines = [f"2024-03-05 10:00:00 [{'error' if n % 9 else 'warn'}] x" for n in range(1500)]
    events, _ = events_of(log, "\n".join(lines))
    assert [event.tags for event in events] == [
        [f"level:{'error' if n % 9 else 'warning'}"] for n in range(1500)
    ]


def test_a_pattern_makes_flags(log: Path) -> None:
    options = Options(flag_from=re.compile(r"user=(?P<user>\w+)|code (\d+)"))
    line = "2024-03-05 10:00:00 ERROR user=ann code 7 user=bob"
    (event,), _ = events_of(log, line, tags=["t"], options=options)
    assert event.tags == ["t", "level:error", "user:ann", "7", "user:bob"]


def test_a_second_import_of_records_adds_nothing(tmp_path: Path) -> None:
    store = MemoryEventStore()
    path = written(tmp_path / "a", f"2024-03-05 10:00:00 ERROR failed\n{TRACEBACK}\n")
    assert imported(store, path).new == 1
    assert imported(store, path).present == 1
    assert len(contents(store)) == 1


def test_a_format_that_no_line_has_guesses_nothing(log: Path) -> None:
    options = Options(time_format=format_named("syslog"))
    _, report = events_of(log, "first\nsecond\n", options=options)
    assert report.details() == [f"{log}: syslog: 2 from the file's time"]
