"""Lines of logfmt, and lines of JSON among text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore.inputs import unpacking
from lmdbstore.logs.common import Options
from lmdbstore.times.learning import format_named
from tests.tools.imports import MOMENT, MTIME, events_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


LINES = [
    ('time="2024-03-05T11:00:00+01:00" level=warn msg="x" name=db', ["level:warning", "logger:db"]),
    ("ts=1709632800.0 level=eror logger=a.b msg=x", ["level:error", "logger:a.b"]),
    ("t=2024-03-05T10:00:00.0Z lvl=dbug msg=x", []),
    ('level=info ts=1709632800000 caller=main.go:7 msg="a \\"time=1\\" b"', ["level:info"]),
    ('date=2024-03-05 time=10:00:00 devname="f w" level="notice"', ["level:notice"]),
    ("msg= level=info at=2024-03-05T10:00:00Z done", ["level:info"]),
    ("level=info ts=1709632800 level=error ts=1709632801", ["level:info"]),
    ("ts=2024-03-05 10:00:00.0 level=info logger=a", ["level:info", "logger:a"]),
    ('level="in\\u0066o" ts=1709632800 msg="open', ["level:info"]),
]


@pytest.mark.parametrize(("line", "flags"), LINES)
def test_a_line_of_logfmt_keeps_its_text_and_gets_its_time(
    log: Path, line: str, flags: list[str]
) -> None:
    events, report = events_of(log, f"{line}\n{line}\n")
    assert [event[2:] for event in events] == [(MOMENT, flags, line)] * 2
    assert report.details() == [f"{log}: logfmt: 2 with their own time"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("type=SYSCALL msg=audit(1709632800.000:9): arch=c000003e syscall=2", "audit"),
        ('2024-03-05T10:00:00Z level=info ts=1 msg="x"', "iso"),
        ("Mar  5 10:00:00 h app: a=b level=info", "syslog"),
        ("ts=2024-03-05T10:00:00Z it said level=info", "logfmt"),
    ],
)
def test_text_with_pairs_in_it_is_text(log: Path, line: str, name: str) -> None:
    events, report = events_of(log, f"{line}\n{line}\n")
    assert [event.timestamp for event in events] == [MOMENT] * 2
    assert report.details()[0].startswith(f"{log}: {name}: 2 with their own time")


@pytest.mark.parametrize("chunk", [1, 50, 1 << 18])
def test_lines_that_are_no_logfmt_belong_to_the_record_before(
    log: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "CHUNK", chunk)
    lines = [
        "banner",
        "ts=1709632800 level=info msg=a",
        "ts=1709632801 level=error msg=b\n\x1b[31mpanic\x1b[0m: x\n\n\tmain.go:7 a=b c=d\nexit=1",
        "msg=c level=info",
        *["ts=1709632802 level=info msg=d"] * 3,
    ]
    text = "\n".join([*lines, ""])
    if small := chunk < 100:  # the first line alone would say what the others are
        text = text.removeprefix("banner\n")
    events, _ = events_of(log, text)
    assert [event.content for event in events] == lines[small:]
    seconds = [event.timestamp - MOMENT for event in events]
    assert seconds == [0, 0, 1, 1, 2, 2, 2][small:]


def test_lines_that_are_indented_hide_no_logfmt_and_colours_are_kept(log: Path) -> None:
    record = "\x1b[31mts=1709632800\x1b[0m level=error logger=db\n\tat x\n\tat y\n\tat z"
    events, report = events_of(log, f"{record}\n{record}\n")
    assert [event[2:] for event in events] == [(MOMENT, ["level:error", "logger:db"], record)] * 2
    assert report.details()[0].startswith(f"{log}: logfmt: 2 with their own time")


def test_a_time_of_day_has_its_date_from_another_field(log: Path) -> None:
    for line in ("date=2024-02-01 time=10:00:00 x=", '{"date":"2024-02-01","time":"10:00:00"}'):
        (event,), _ = events_of(log, line)
        assert event.timestamp == MOMENT - 33 * 86400


def test_other_lines_with_a_time_of_their_own_begin_records(log: Path) -> None:
    line = "ts=1709632800 level=info msg=x"
    klog = "E0305 10:00:01.000000       1 server.go:10] failed"
    events, _ = events_of(log, f"{line}\n{klog}\n  more\n{line}\n{line}\n")
    assert [event.content for event in events] == [line, line, line, f"{klog}\n  more"]
    assert events[3].tags == ["level:error"]


def test_fields_of_logfmt_can_be_named(log: Path) -> None:
    line = 'when=2024-03-05T10:00:00Z time=1 text="a\\n\\"b\\"" label="x y" host=web1 level=info'
    options = Options(
        time_field="when", message_field="text", tags_field="label", source_field="host"
    )
    events, report = events_of(log, f"{line}\n  more\n{line} text=\n", options=options)
    assert [event[1:] for event in events] == [
        ("web1", MOMENT, ["level:info", "x y"], 'a\n"b"\n  more'),
        ("web1", MOMENT, ["level:info", "x y"], 'a\n"b"'),
    ]
    assert not report.unmet
    (event,), _ = events_of(log, "when=1709632800 text=\n", options=options)
    assert event[1:] == (str(log), MOMENT, [], "when=1709632800 text=")
    _, report = events_of(log, line, options=Options(source_field="nope"))
    assert f"{log}: --source-field 'nope': no line has this field" in report.warnings()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"each_line": True}, 3),
        ({"record_start": re.compile("msg=a")}, 2),  # and what comes before the first match
        ({}, 2),
    ],
)
def test_the_user_says_which_lines_are_events(
    log: Path, options: dict[str, Any], expected: int
) -> None:
    text = "level=info ts=1709632800 msg=x\nmore\nlevel=info ts=1709632800 msg=a b=c\n"
    events, report = events_of(log, text, options=Options(**options))
    assert len(events) == expected + ("record_start" in options)
    assert {event.timestamp for event in events} == {MOMENT}
    assert ("logfmt-epoch" in report.details()[0]) == bool(options)


def test_a_log_of_logfmt_without_times_has_that_of_the_file(log: Path) -> None:
    events, report = events_of(log, "level=info msg=a\n  more\nlevel=error msg=b\n")
    assert [event[2:] for event in events] == [
        (MTIME, ["level:info"], "level=info msg=a\n  more"),
        (MTIME, ["level:error"], "level=error msg=b"),
    ]
    assert "no line has a time" in report.warnings()[0]


# -- JSON among text ------------------------------------------------------------------------------

OBJECT = '{"eventTime":"2024-03-05T10:00:01Z","level":"error","logger":"db","msg":"x"}'


@pytest.mark.parametrize("text", ["2024-03-05 10:00:00 a", "starting"])
@pytest.mark.parametrize("others", [1, 30])
def test_json_among_text_has_its_own_time_and_level(log: Path, text: str, others: int) -> None:
    lines = [text] * others + [OBJECT + "\n\tat x\n{"] + [text] * (1 if text[0] == "2" else 0)
    events, report = events_of(log, "\n".join(lines))
    found = {event.content: event for event in events}
    assert len(events) == len(lines)
    assert found[OBJECT + "\n\tat x\n{"][2:4] == (MOMENT + 1, ["level:error", "logger:db"])
    assert found[text].timestamp == (MOMENT if text[0] == "2" else MOMENT + 1)
    assert report.details()[0].startswith(f"{log}: JSON lines")


def test_a_given_format_of_times_counts_for_all_lines(log: Path) -> None:
    text = f"05.03.2024 a=b\n{OBJECT}\n05.03.2024 c\n"
    options = Options(time_format=format_named("%d.%m.%Y"))
    events, report = events_of(log, text, options=options)
    assert [event.content for event in events] == [f"05.03.2024 a=b\n{OBJECT}", "05.03.2024 c"]
    text = "level=info when=05.03.2024 msg=x\n" * 2
    events, report = events_of(log, text, options=options)
    assert [event.tags for event in events] == [["level:info"]] * 2
    options = Options(time_format=options.time_format, time_field="when")
    again, report = events_of(log, text, options=options)
    assert again == events
    assert not report.unmet
    assert "logfmt" in report.details()[0]


def test_json_without_a_time_among_text_belongs_to_the_line_before(log: Path) -> None:
    own = '{"content":"x","timestamp":1709632800}'
    text = f'2024-03-05 10:00:00 got\n  it\n{{"a":1}}\n  and\n{{"time":"soon"}}\n  end\n  .\n{own}'
    events, report = events_of(log, text)
    assert [event.content for event in events] == [text]
    assert report.details()[0].startswith(f"{log}: iso-space: 1 with")
