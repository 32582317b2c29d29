"""An import into a store: ids, times, skipped lines, and reports."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import DuplicateEvent, Event, InvalidEvent, LMDBEventStore, MemoryEventStore
from lmdbstore.ingest import saving
from lmdbstore.ingest.importer import Importer
from lmdbstore.inputs import lines as reading
from lmdbstore.inputs import unpacking
from lmdbstore.inputs.opened import open_input
from lmdbstore.logs.common import LineIds
from tests.tools.imports import MTIME, contents, imported, written

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lmdbstore import SaveResult


@pytest.fixture
def memory() -> MemoryEventStore:
    return MemoryEventStore()


def test_an_event_has_the_values_of_its_line(memory: MemoryEventStore, tmp_path: Path) -> None:
    log = written(tmp_path / "a.log", b"1600000000 one \t\r\n\n  \n1600000001 two\x00\rx")
    report = imported(memory, log, tags=["t", "u", "t"])
    assert (report.lines, report.new, report.blank, report.unreadables) == (4, 2, 2, 0)
    source = os.path.realpath(log)
    head = hashlib.blake2b(b"1600000000 one \t", digest_size=8).hexdigest()
    status = log.stat()
    named = f"{status.st_dev}\0{status.st_ino}\0{head}\0000".encode()
    event_id = hashlib.blake2b(named, digest_size=8).hexdigest() + "00000001"
    assert list(memory.search())[0] == Event(  # noqa: RUF015
        event_id, source, 1_600_000_000.0, ["t", "u"], "1600000000 one \t"
    )
    assert list(memory.search())[1].content == "1600000001 two\x00\rx"


def test_ids_of_lines_ascend_and_depend_on_file_and_number() -> None:
    numbers = [1, 2, 9, 10, 15, 16, 2**32 - 1]
    ids = LineIds("s").of(numbers)
    assert ids == sorted(ids)
    ids += [*LineIds("s").of([2**32]), *LineIds("t").of([1])]
    assert len({*ids}) == 9
    assert LineIds("s").of([7, 7, 8, 7]) == ["s00000007", "s00000007-1", "s00000008", "s00000007-2"]


def test_lines_of_a_file_without_any_time_have_the_time_of_the_file(
    memory: MemoryEventStore, tmp_path: Path
) -> None:
    report = imported(memory, written(tmp_path / "a", b"first\n  at y\n\nlast"))
    times = [(event.content, event.timestamp) for event in memory.search()]
    assert times == [("first", MTIME), ("  at y", MTIME), ("last", MTIME)]
    assert report.warnings() == [
        f"{tmp_path / 'a'}: no line has a time; all events have the time of the file"
    ]
    assert report.details() == [f"{tmp_path / 'a'}: no time format: 3 from the file's time"]


def test_a_second_import_by_any_spelling_of_the_path_adds_nothing(
    store: LMDBEventStore, tmp_path: Path
) -> None:
    log = written(tmp_path / "a.log", b"".join(b"line %d\n" % n for n in range(3000)))
    (tmp_path / "link").symlink_to(log)
    assert imported(store, log).new == 3000
    again = imported(store, tmp_path / "." / "a.log", tmp_path / "link")
    assert (again.new, again.present) == (0, 6000)
    assert len(store) == 3000


def test_a_second_import_of_a_grown_file_adds_the_new_lines(
    store: LMDBEventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "BATCH_EVENTS", 7)
    lines = [b"same\n"] * 50
    imported(store, written(tmp_path / "a.log", b"".join(lines[:33])))
    report = imported(store, written(tmp_path / "a.log", b"".join(lines)))
    assert (report.new, report.present) == (17, 33)


def test_bytes_that_are_not_utf8_are_imported_and_reported(
    memory: MemoryEventStore, tmp_path: Path
) -> None:
    report = imported(memory, written(tmp_path / "a", b"\xef\xbb\xbfok \xc3\xa9\nbad \xe9\n"))
    assert contents(memory) == ["ok é", "bad é"]
    assert [n for n in report.notices() if "line 2: not UTF-8; read as Latin-1" in n]
    assert report.unreadables == 0


def test_a_line_that_is_too_long_is_skipped(
    memory: MemoryEventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 10)
    monkeypatch.setattr(unpacking, "CHUNK", 7)
    lines = [b"a" * 10, b"b" * 11, b"c", b"d" * 12, b"e" * 10 + b"\r", b"f" * 99, b"g", b"h" * 50]
    report = imported(memory, written(tmp_path / "a", b"\n".join(lines)))
    assert contents(memory) == ["a" * 10, "c", "e" * 10, "g"]
    assert report.unreadables == 4
    assert [notice.split(": ")[1] for notice in report.notices()] == ["lines 2, 4, 6, 8"]


def test_a_line_that_unpacks_to_far_more_is_never_in_memory(
    memory: MemoryEventStore, tmp_path: Path
) -> None:
    """A gzip file of a tenth of a megabyte holds one line of 100 MiB: six times the longest."""
    bomb = written(tmp_path / "a.gz", gzip.compress(bytes(100 << 20), 1) + gzip.compress(b"\nok"))
    tracemalloc.start()
    try:
        report = imported(memory, bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert contents(memory) == ["ok"]
    assert report.unreadables == 1
    assert peak < 3 * reading.LONGEST_LINE


@pytest.mark.parametrize("damage", [slice(None, -20), slice(None, 30)])
def test_a_damaged_gzip_file_is_reported_and_the_next_is_read(
    memory: MemoryEventStore, tmp_path: Path, damage: slice
) -> None:
    packed = gzip.compress(b"".join(b"%d\n" % n for n in range(1000)))
    bad, good = written(tmp_path / "a.gz", packed[damage]), written(tmp_path / "b", b"good\n")
    report = imported(memory, bad, good)
    assert report.unreadables == 1
    assert "too early" in report.notices()[0]
    assert "good" in contents(memory)


def test_json_lines_are_imported(memory: MemoryEventStore, tmp_path: Path) -> None:
    lines = [
        '{"id":"i","source":"s","timestamp":1.5,"tags":["a","a"],"content":"c"}',
        '{"content":"1600000000 x"}',
        '{"content":"y","timestamp":null,"tags":null}',
        '{"content":"z","timestamp":"2020-01-01T00:00:00Z"}',
    ]
    path = written(tmp_path / "e.jsonl", "\n".join(lines).encode())
    report = imported(memory, path, tags=["t"], source="mine")
    assert report.new == 4
    assert memory.get("i") == Event("i", "s", 1.5, ["a", "t"], "c")
    found = {event.content: event for event in memory.search()}
    assert found["y"]._replace(id="") == Event("", "mine", 1.6e9, ["t"], "y")
    assert found["z"].timestamp == 1577836800.0
    assert imported(memory, path, source="mine").new == 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("7", "not a JSON object"),
        ("[]", "not a JSON object"),
        ('{"content":7}', "content: 7"),
        ('{"content":"x","tags":"t"}', "tags: 't'"),
        ('{"content":"x","tags":[1]}', "tags: 1"),
        ('{"content":"x","id":""}', "id: ''"),
        ('{"content":"x","timestamp":"yesterday"}', "timestamp: 'yesterday'"),
        ('{"content":"x","timestamp":true}', "timestamp: True"),
        ('{"content":"x","timestamp":[]}', "timestamp: "),
        ('{"content":"\\ud800"}', "not JSON"),
        ('{"content":"\x1b[2J', "not JSON"),
    ],
)
def test_a_bad_json_line_is_reported_with_its_number(
    memory: MemoryEventStore, tmp_path: Path, line: str, reason: str
) -> None:
    good = '{"content":"good"}'
    path = written(tmp_path / "e", f"{good}\n{line}\n{good}\n".encode())
    report = imported(memory, path, line_format="jsonl")
    assert (report.new, report.unreadables) == (2, 1)
    (notice,) = report.notices()
    assert "line 2: " in notice
    assert reason in notice
    assert "\x1b" not in notice
    assert {event.timestamp for event in memory.search()} == {MTIME}


def test_lines_of_one_input_with_the_same_kind_of_error_are_reported_together(
    memory: MemoryEventStore, tmp_path: Path
) -> None:
    paths = [
        written(tmp_path / "a", b"\xe9\n" + b"x\n" * 1234),
        written(tmp_path / "b", b'\xe9\n{"content":7}\n{"content":8}\n{"content":9}\n[1,2]\n'),
    ]
    report = imported(memory, *paths, line_format="jsonl")
    first, second = paths
    expected = "unexpected character, expected a JSON value at column 1"
    assert report.notices() == [
        f"{first}: line 1: not UTF-8; read as Latin-1",
        f"{second}: line 1: not UTF-8; read as Latin-1",
        f"{first}: lines 1, 2, 3, 4, 5 and 1,230 more: not JSON: {expected}",
        f"{second}: line 1: not JSON: {expected}",
        f"{second}: lines 2, 3, 4: the first: content: 7 cannot be stored; give a str",
        f"{second}: line 5: not a JSON object",
    ]
    assert report.unreadables == 1240
    assert "1,240 unreadable" in report.summary()


def test_ten_kinds_are_listed_and_the_other_lines_counted(
    memory: MemoryEventStore, tmp_path: Path
) -> None:
    paths = [written(tmp_path / f"{n}", b"x\nx\n") for n in range(12)]
    report = imported(memory, *paths, line_format="jsonl")
    assert len(report.notices()) == 11
    assert report.notices()[-1] == "and 4 more lines that could not be read"


def test_warnings_of_many_inputs_are_counted(memory: MemoryEventStore, tmp_path: Path) -> None:
    report = imported(memory, *(written(tmp_path / f"{n}", b"x\n") for n in range(25)))
    assert len(report.warnings()) == 21
    assert report.warnings()[-1] == "and 5 more warnings"


def test_the_same_id_twice_in_one_batch_is_one_event(store: LMDBEventStore, tmp_path: Path) -> None:
    lines = b'{"id":"a","content":"1"}\n{"id":"b","content":"2"}\n{"id":"a","content":"3"}\n'
    report = imported(store, written(tmp_path / "e.jsonl", lines))
    assert (report.new, report.present) == (2, 1)
    assert store.get("a").content == "1"


class Racing(MemoryEventStore):
    """Another writer saves the same events just before, and one event cannot be stored."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = 0

    def save_many(self, events: Iterable[Event], **named: Any) -> SaveResult:
        events = list(events)
        if any(event.content == "5" for event in events):
            self.refusals += 1
            raise InvalidEvent("the store says no")
        if self.refusals == 2 and "9" not in contents(self):
            super().save_many([event for event in events if event.content == "9"])
            raise DuplicateEvent("too late")
        return super().save_many(events, **named)


def test_the_valid_events_of_a_refused_batch_are_saved(tmp_path: Path) -> None:
    store = Racing()
    report = imported(store, written(tmp_path / "a", b"".join(b"%d\n" % n for n in range(20))))
    assert sorted(map(int, contents(store))) == [n for n in range(20) if n != 5]
    assert (report.unreadables, report.lines) == (1, 20)
    assert "line 6: the store says no" in report.notices()[0]


@pytest.mark.parametrize("committed", [False, True])
def test_an_interrupt_after_a_commit_is_reported_with_its_events(
    tmp_path: Path, *, committed: bool
) -> None:
    class Interrupted(MemoryEventStore):
        def save_many(self, events: Iterable[Event], **named: Any) -> SaveResult:
            if committed:
                super().save_many(events, **named)
            raise KeyboardInterrupt

    store = Interrupted()
    work = Importer(store)
    with open_input(str(written(tmp_path / "a", b"1600000000 x\n1600000001 y\n"))) as opened:
        work.read(opened)
    with pytest.raises(KeyboardInterrupt):
        work.finish()
    assert work.report.new == len(store) == 2 * committed


def test_tags_and_source_are_checked_before_anything_is_read(memory: MemoryEventStore) -> None:
    with pytest.raises(InvalidEvent, match="tags"):
        Importer(memory, tags=["\ud800"])
    with pytest.raises(InvalidEvent, match="source"):
        Importer(memory, source="\ud800")


def test_slow_input_is_saved_while_it_is_read(
    memory: MemoryEventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "BATCH_SECONDS", 0.0)
    monkeypatch.setattr(unpacking, "CHUNK", 2)
    calls: list[tuple[int, int]] = []
    work = Importer(memory)
    work.progress = lambda position, lines: calls.append((position, lines))
    with open_input(str(written(tmp_path / "a", b"1\n2\n"))) as opened:
        work.read(opened)
    assert len(memory) == 2
    assert calls == [(2, 1), (4, 2), (4, 2), (4, 2)]


def test_events_written_as_json_lines_are_imported_unchanged(
    store: LMDBEventStore, tmp_path: Path
) -> None:
    events = [
        Event("a", "s\n", -0.1, ["x y", ""], 'q"\\\x00\x1b\u2028\U0001f600\n'),
        Event("b", "", 1e300, [], ""),
        Event("c", "s", 1700000000.1234567, ["é"], " \r"),
    ]
    lines = "\n".join(json.dumps(event._asdict()) for event in events)
    imported(store, written(tmp_path / "e.ndjson", lines.encode()))
    assert sorted(store.search()) == events
