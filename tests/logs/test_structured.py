"""Lines of JSON: of loggers, and of our own export."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, MemoryEventStore
from lmdbstore.inputs import unpacking
from lmdbstore.logs.common import Options
from tests.tools.imports import MOMENT, MTIME, events_of, imported, written

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "a.log"  # the name says nothing


LOGGERS = [
    ('{"ts":1709632800.0,"level":"error","logger":"db","msg":"x"}', ["level:error", "logger:db"]),
    ('{"ts":"2024-03-05T11:00:00.000+0100","level":"dpanic","msg":"x"}', ["level:critical"]),
    ('{"time":1709632800,"level":"warn","message":"x"}', ["level:warning"]),
    ('{"level":30,"time":1709632800000,"pid":1,"msg":"x"}', ["level:info"]),
    ('{"name":"api","level":50,"msg":"x","time":"2024-03-05T10:00:00.000Z","v":0}', None),
    ('{"event":"a long text before it 2001-01-01","timestamp":"2024-03-05T10:00:00Z"}', []),
    ('{"eventVersion":"1.08","eventTime":"2024-03-05T10:00:00Z"}', []),
    ('{"instant":{"epochSecond":1709632800,"nanoOfSecond":0},"level":"FATAL"}', None),
    ('{"t":{"$date":"2024-03-05T11:00:00.000+01:00"},"s":"W","c":"NETWORK"}', ["level:warning"]),
    ('{"time":"2024-03-05T10:00:00Z","level":"INFO","msg":"x"}', ["level:info"]),
    ('{"level":"info","ts":1709632800.0,"logger":"http.log.access","msg":"handled"}', None),
    ('{"@timestamp":"2024-03-05T10:00:00.000Z","log.level":"ERROR"}', ["level:error"]),
    ('{"@timestamp":"2024-03-05T10:00:00.000Z","log":{"level":"debug"}}', ["level:debug"]),
    ('{"timestamp_ns":"1709632800000000000","severity":"INFO","body":"x"}', ["level:info"]),
    ('{"date":"2024-03-05","time":"10:00:00","msg":"x"}', []),
    ('{"timestamp":1709632800000,"msg":"x"}', []),
    ('{"timestamp":1709632800000000000,"msg":"x"}', []),
    ('{"msg":"x","time":"Tue, 05 Mar 2024 10:00:00 +0000"}', []),
    ('{"time":1709632800,"level":"\u00b2"}', []),  # a digit, and no number
    ('{"time":1709632800,"level":"' + "9" * 5000 + '"}', []),  # too long for `int`
]


@pytest.mark.parametrize(("line", "flags"), LOGGERS)
def test_a_line_of_a_logger_keeps_its_text_and_gets_its_time(
    log: Path, line: str, flags: list[str] | None
) -> None:
    events, report = events_of(log, f"{line}\n{line}\n")
    assert [(event.timestamp, event.content) for event in events] == [(MOMENT, line)] * 2
    if flags is not None:
        assert events[0].tags == flags
    assert report.details() == [f"{log}: JSON: 2 with their own time"]


def test_docker_and_journald_give_what_was_logged(log: Path) -> None:
    docker = '{"log":"hello\\n","stream":"stdout","time":"2024-03-05T10:00:00.0Z"}'
    (event,), _ = events_of(log, docker)
    assert (event.content, event.timestamp) == ("hello", MOMENT)
    journald = {"__REALTIME_TIMESTAMP": "1709632800000000", "PRIORITY": "3", "MESSAGE": "x"}
    (event,), _ = events_of(log, json.dumps(journald))
    assert (event.content, event.timestamp, event.tags) == ("x", MOMENT, ["level:error"])
    journald["MESSAGE"] = [104, 105, 255]  # type: ignore[assignment]
    (event,), _ = events_of(log, json.dumps(journald))
    assert event.content == "hi\\xff"


def test_a_file_of_cloudtrail_holds_many_events(log: Path) -> None:
    one = '{"eventTime":"2024-03-05T10:00:00Z","n":"é"}'
    two = one.replace("00Z", "01Z")
    events, _ = events_of(log, f'{{"Records":[{one},{two}]}}')
    assert [(event.timestamp - MOMENT, event.content) for event in events] == [(0, one), (1, two)]


def test_fields_can_be_named(log: Path) -> None:
    line = (
        '{"time":"2001-01-01T00:00:00Z","at":{"when":"2024-03-05T10:00:00Z"},"text":"hi",'
        '"labels":["a","b"],"host":"web1","app.name":"shop"}'
    )
    options = Options(
        time_field="at.when", message_field="text", tags_field="labels", source_field="host"
    )
    (event,), _ = events_of(log, line, options=options)
    assert event[1:] == ("web1", MOMENT, ["a", "b"], "hi")
    (event,), _ = events_of(log, line, options=Options(source_field="app.name"))
    assert event.source == "shop"


def test_a_line_without_a_time_has_that_of_the_line_before(log: Path) -> None:
    lines = [
        '{"msg":"before"}',
        '{"msg":"x","time":"2024-03-05T10:00:00Z"}',
        '{"msg":"after"}',
        "panic: not JSON",
        "[1,2]",
        "null",
        '{"msg":"x","time":"2024-02-30T10:00:00Z"}',
        '{"time":5,"msg":"uptime"}',
    ]
    events, report = events_of(log, "\n".join(lines))
    assert [event.content for event in events] == lines
    assert {event.timestamp for event in events} == {MOMENT}
    (details,) = report.details()
    assert details.startswith(f"{log}: JSON: 1 with their own time, 6 inherited, 1 with a contra")
    assert details.endswith("1 not JSON, kept as text, 2 not a JSON object, kept as text")


def test_a_log_of_json_without_times_has_that_of_the_file(log: Path) -> None:
    events, report = events_of(log, '{"msg":"x"}\n{"msg":"y"}\n')
    assert {event.timestamp for event in events} == {MTIME}
    assert "no line has a time" in report.warnings()[0]


EVENTS = [
    Event("a", "s\n", -0.1, ["x y", ""], 'q"\\\x00\x1b\u2028\U0001f600\n'),
    Event("b", "", 1e300, [], ""),
    Event("c", "s", 1709632801500.0, ["é"], '{"level":"error","time":1}'),
]


@pytest.mark.parametrize("chunk", [10, 1 << 18])
def test_our_own_export_comes_back_whatever_its_name(
    log: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "CHUNK", chunk)
    lines = [json.dumps(event._asdict()) for event in EVENTS]
    if chunk > 10:
        found, _ = events_of(log, "\n".join(lines))
        assert sorted(found) == EVENTS
    store = MemoryEventStore()
    imported(store, written(log, "\n".join(lines)), line_format="jsonl")
    assert sorted(store.search()) == EVENTS


def test_a_number_of_a_part_of_an_event_counts_what_its_size_shows(log: Path) -> None:
    for number in (1709632801500, 1709632801.5, 1709632801500000, 1709632801500000000):
        (event,), _ = events_of(log, f'{{"content":"x","timestamp":{number}}}')
        assert event.timestamp == MOMENT + 1.5
        assert event.content == "x"


def test_text_that_looks_like_json_at_times_is_text(log: Path) -> None:
    text = '2024-03-05 10:00:00 a\n2024-03-05 10:00:01 b\n{"x":1}\n'
    events, _ = events_of(log, text)
    assert [event.content for event in events] == [
        "2024-03-05 10:00:00 a",
        '2024-03-05 10:00:01 b\n{"x":1}',
    ]


@pytest.mark.parametrize("value", [None, True, [], {}, "", "x", -1, 1e400, {"$date": 7}])
def test_any_value_of_a_time_is_read_or_passed_over(log: Path, value: Any) -> None:
    line = json.dumps({"time": value, "msg": "x"}).replace("Infinity", "1e999")
    events, _ = events_of(log, line)
    assert [event.content for event in events] == [line]


def test_lone_surrogates_in_fields_do_not_stop_an_import(log: Path) -> None:
    line = '{"log":"a \\ud800","stream":"stdout","time":"2024-03-05T10:00:00Z"}'
    events, report = events_of(log, line)
    assert len(events) + report.unreadables == 1
