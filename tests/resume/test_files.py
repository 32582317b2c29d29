"""Files that were imported before: grown, renamed, packed, truncated, recreated, trimmed."""

from __future__ import annotations

import bz2
import gzip
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import MemoryEventStore
from lmdbstore.ingest import importer
from lmdbstore.ingest.importer import Importer
from lmdbstore.inputs import unpacking
from lmdbstore.inputs.file_reader import FileReader
from lmdbstore.inputs.opened import open_input
from lmdbstore.logs.common import Options
from lmdbstore.logs.records import MOST_LINES
from lmdbstore.resume import content as hashing
from lmdbstore.resume.content import Content
from lmdbstore.resume.recognise import recognise
from tests.tools.imports import contents, imported, written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LINES = [f"2024-03-05 10:00:{n:02} line {n}\n" for n in range(60)]


@pytest.fixture
def store() -> MemoryEventStore:
    return MemoryEventStore()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return written(tmp_path / "a.log", "".join(LINES[:30]))


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def numbers(store: Any) -> list[int]:
    return [int(text.split()[3]) for text in contents(store)]


def test_a_grown_file_gives_what_is_new(store: MemoryEventStore, log: Path) -> None:
    imported(store, log)
    append(log, "".join(LINES[30:]))
    report = imported(store, log)
    assert (report.new, report.present, report.lines) == (30, 30, 60)
    assert report.details() == [f"{log}: iso-space: 31 with their own time, 30 lines known"]
    assert numbers(store) == list(range(60))


def test_an_unchanged_file_is_not_read_again(store: MemoryEventStore, log: Path) -> None:
    imported(store, log)
    report = imported(store, log)
    assert (report.new, report.present, report.lines) == (0, 30, 30)
    assert report.details() == [f"{log}: 30 lines known"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_a_rotated_file_is_known_and_the_new_one_begins(
    store: MemoryEventStore, log: Path, pack: Callable[[bytes], bytes]
) -> None:
    imported(store, log)
    append(log, "".join(LINES[30:40]))
    log.with_suffix(".1").write_bytes(pack(log.read_bytes()))
    log.unlink()
    written(log, LINES[0] + "".join(LINES[40:]))
    report = imported(store, log, log.with_suffix(".1"))
    assert numbers(store) == [0, 0, *range(1, 60)]
    assert "another file than the one imported before" in report.details()[0]
    assert "30 lines known" in report.details()[1]
    assert {event.source for event in store.search()} == {os.path.realpath(log)}


def test_a_file_that_was_truncated_and_grew_again_is_noticed(
    store: MemoryEventStore, log: Path
) -> None:
    imported(store, log)
    shutil.copy(log, log.with_suffix(".1"))
    with log.open("r+") as file:
        file.truncate(0)
        file.write("".join(LINES[30:]) * 2)
    report = imported(store, log, log.with_suffix(".1"))
    assert numbers(store) == sorted([*range(30), *range(30, 60), *range(30, 60)])
    assert "another file than the one imported before" in report.details()[0]


def test_a_recreated_file_with_the_same_first_line_is_another(
    store: MemoryEventStore, log: Path
) -> None:
    imported(store, log)
    written(log, "".join([LINES[0], *LINES[30:]]))
    assert imported(store, log).new == 31


def test_a_file_without_its_front_goes_on(store: MemoryEventStore, log: Path) -> None:
    imported(store, log)
    written(log, "".join(LINES[12:40]))
    report = imported(store, log)
    assert "its front was trimmed away" in report.details()[0]
    assert numbers(store) == list(range(40))
    written(log, "".join(LINES[12:50]))
    assert imported(store, log).new == 10
    assert numbers(store) == list(range(50))


def test_too_few_known_lines_are_no_proof(store: MemoryEventStore, log: Path) -> None:
    """The lines may be others that look like them: so they are stored twice, but not lost."""
    written(log, "2024-03-05 10:00:00 same\n" * 100)
    imported(store, log)
    written(log, "2024-03-05 10:00:01 other\n" + "2024-03-05 10:00:00 same\n" * 50)
    assert imported(store, log).new == 51


def test_a_record_that_grew_takes_the_place_of_its_first_part(
    store: MemoryEventStore, log: Path
) -> None:
    written(log, LINES[0] + "Traceback:\n")
    imported(store, log)
    (first,) = store.search()
    append(log, "  line\n  li")
    assert imported(store, log).replaced == 1
    append(log, "ne 2\n" + LINES[1])
    report = imported(store, log)
    assert (report.new, report.replaced) == (1, 1)
    (whole, _) = store.search()
    assert whole == first._replace(content=f"{LINES[0]}Traceback:\n  line\n  line 2")


def test_a_line_that_was_not_complete_is_completed(store: MemoryEventStore, log: Path) -> None:
    for text in (b"x", b"xy", b"xyz\n", b"xyz\n{", b'xyz\n{"a":', b'xyz\n{"a":1}'):
        written(log, text)
        imported(store, log)
        assert contents(store) == text.decode().splitlines()


def test_what_was_deleted_does_not_come_back(store: MemoryEventStore, log: Path) -> None:
    imported(store, log)
    for event in list(store.search()):
        store.delete(event.id)
    assert imported(store, log).new == 0
    append(log, LINES[30])
    imported(store, log)
    packed = written(log.with_suffix(".gz"), gzip.compress(log.read_bytes()))
    imported(store, packed)
    assert numbers(store) == [30]


def test_files_with_one_source_and_first_line_are_different(
    store: MemoryEventStore, log: Path, tmp_path: Path
) -> None:
    other = written(tmp_path / "b.log", "".join([LINES[0], *LINES[30:]]))
    for new in (61, 0):
        assert imported(store, log, other, log, source="app").new == new
    assert {event.source for event in store.search()} == {"app"}


def test_a_file_that_is_given_twice_is_read_once(
    store: MemoryEventStore, log: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(log)
    copy = tmp_path / "copy"
    shutil.copy(log, copy)
    assert imported(store, log, tmp_path / "link", copy).new == 30


def test_a_year_is_counted_over_what_is_known(store: MemoryEventStore, log: Path) -> None:
    written(log, "Dec 30 10:00:00 h a\nJan  1 10:00:00 h b\nJun  1 10:00:00 h c\n")
    imported(store, log, options=Options(year=2020))
    append(log, "Jan  2 10:00:00 h d\n")
    imported(store, log, options=Options(year=2020))
    years = [1970 + int(event.timestamp // 31556952) for event in store.search()]
    assert years == [2020, 2021, 2021, 2022]


def test_text_with_lines_of_json_goes_on(store: MemoryEventStore, log: Path) -> None:
    """What the lines of JSON have is not learnt as a format of the others."""
    line = '{"time":"2024-03-05T10:00:00Z","level":"error"}\n'
    written(log, LINES[0] + line + LINES[1] + LINES[2])
    imported(store, log)
    append(log, line + "  more\n")
    report = imported(store, log)
    assert (report.new, report.details()) == (
        1,
        [f"{log}: JSON lines, iso-space: 2 with their own time, 1 inherited, 4 lines known"],
    )


def test_a_log_without_years_goes_on(store: MemoryEventStore, log: Path) -> None:
    """The file's time is that of 6 March 2024."""
    written(log, "Dec 30 10:00:00 h a\n  more\n")
    imported(store, log)
    append(log, "  and more\nMar  5 10:00:00 h b\n")
    os.utime(log, (1709683200, 1709683200))
    imported(store, log)
    assert [event.timestamp for event in store.search()] == [1703930400.0, 1709632800.0]
    assert contents(store)[0] == "Dec 30 10:00:00 h a\n  more\n  and more"


@pytest.mark.parametrize(
    "lines",
    [
        ['{"time":"2024-03-05T10:00:00Z","msg":"a"}', '{"msg":"b"}'],
        ["time,level,text", "2024-03-05T10:00:00Z,error,a", '2024-03-05T10:00:01Z,info,"b'],
        ["#Fields: date time x", "2024-03-05 10:00:00 a", "2024-03-05 10:00:01 b"],
        [
            *("#Fields: date time x", "2024-03-05 10:00:00 a", "#Fields: x time date"),
            *("b 10:00:01 2024-03-06", "#Fields: time x", "#Date: 2024-03-07", "10:00:00 a"),
            *("#Date: 2024-03-08", "10:00:01 b"),
        ],
        ["ts=1709632800 level=info msg=a", "panic: x", "  b", "ts=1709632801 level=error msg=b"],
        ["{", '  "time": 1709632800,', '  "a": [', "  {}],", "}", "{", '"level": "error"}'],
        ['[{"time": 1709632800}, {', '"b": [{', "}]", "}, {", '"level": "error"}', "]", ""],
        ["2024-03-05 10:00:00 a", '{"time":1709632801,"level":"error"}', "  at x", "b"],
    ],
)
def test_structured_files_go_on(store: MemoryEventStore, log: Path, lines: list[str]) -> None:
    """Line by line, or all at once, the events are the same."""
    whole = MemoryEventStore()
    imported(whole, written(log, "\n".join([*lines, lines[-1]])))
    log.unlink()
    for n in range(2, len(lines) + 2):
        imported(store, written(log, "\n".join([*lines, lines[-1]][:n])))
    assert [event[2:] for event in store.search()] == [event[2:] for event in whole.search()]


def test_a_file_without_its_header_goes_on(store: MemoryEventStore, log: Path) -> None:
    """The front of a log of a web server was trimmed away."""
    rows = [f"x{n} 10:00:{n:02} 2024-03-06" for n in range(20)]
    imported(store, written(log, "\n".join(["#Fields: x time date", *rows, ""])))
    log.unlink()
    imported(store, written(log, "\n".join([*rows[5:], "y 10:00:30 2024-03-06", ""])))
    assert contents(store)[-1] == "y 10:00:30 2024-03-06"
    assert len(store) == 22
    assert [event.timestamp for event in store.search()][-1] == 1709719230.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "ts=1709632800 level=info msg=a\npanic: x\n\n  at 1\nts=1709632801 level=error msg=b\n",
            [
                "ts=1709632800 level=info msg=a\npanic: x\n\n  at 1",
                "ts=1709632801 level=error msg=b",
            ],
        ),
        (
            '{\n "a": "}",\n "b": {}\n}\n{\n "c": 1\n}\n',
            ['{\n "a": "}",\n "b": {}\n}', '{\n "c": 1\n}'],
        ),
        ('[{"a": 1}, {\n"b": 2}, {"c":\n3}]\n', ['{"a": 1}', '{\n"b": 2}', '{"c":\n3}']),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 20])
def test_a_record_grows_in_any_steps(
    store: MemoryEventStore, log: Path, text: str, expected: list[str], step: int
) -> None:
    """From where the first lines show what the file is; also within a line or an object."""
    begun = len("ts=1709632800 level=i") if text.startswith("ts") else 2
    written(log, "")
    for end in [*range(begun, len(text), step), len(text)]:
        written(log, text[:end])
        imported(store, log)
    assert sorted(contents(store)) == sorted(expected)
    assert imported(store, log).new == 0
    assert len({event.id for event in store.search()}) == len(expected)


def test_a_grown_file_is_read_from_the_last_block_on(
    store: MemoryEventStore, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(log, "".join(f"2024-03-05 10:00:00 {'x' * 10_000}\n" for _ in range(1_000)))
    imported(store, log)
    append(log, LINES[0])
    read: list[int] = []
    readinto = FileReader.readinto

    def counted(self: FileReader, buffer: bytearray) -> int:
        read.append(readinto(self, buffer))
        return read[-1]

    monkeypatch.setattr(FileReader, "readinto", counted)
    imported(store, log)
    assert sum(read) < 2 * hashing.BLOCK
    assert len(store) == 1_001


def test_a_hash_is_that_of_the_whole_text_however_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hashing, "BLOCK", 10)
    text = bytes(range(35))
    whole = Content()
    whole.update(text)
    assert (whole.base, whole.offset) == (30, 35)
    for size in (1, 3, 10, 30):
        parts = Content()
        for at in range(0, len(text), size):
            parts.update(text[at : at + size])
        assert parts.digest() == whole.digest()
        later = Content(parts.chain, parts.base)
        later.update(text[parts.base :])
        assert later.digest() == whole.digest()
    for changed in range(len(text)):
        other = Content()
        other.update(text[:changed] + b"x" + text[changed + 1 :])
        assert other.digest() != whole.digest()
    exact = Content()
    exact.update(text[:30])
    assert exact.base == 20


def test_short_files_with_the_same_text_are_different(
    store: MemoryEventStore, tmp_path: Path
) -> None:
    """Unless one of them has taken the place of the other."""
    for n in range(3):
        written(tmp_path / f"{n}", LINES[0])
    for new in (3, 0):
        assert imported(store, *(tmp_path / f"{n}" for n in range(3))).new == new
    moved = (tmp_path / "0").rename(tmp_path / "moved")
    packed = written(tmp_path / "1.gz", gzip.compress((tmp_path / "1").read_bytes()))
    written(tmp_path / "1", LINES[1])  # truncated
    assert imported(store, moved, packed).new == 0


@pytest.mark.parametrize("growing", [False, True])
def test_a_file_that_is_truncated_after_it_was_recognised_loses_nothing(
    store: MemoryEventStore, log: Path, monkeypatch: pytest.MonkeyPatch, *, growing: bool
) -> None:
    """What it gets then is behind the place at which reading goes on."""
    imported(store, log)
    append(log, "".join(LINES[30:40]))
    copy = log.with_suffix(".1")

    def recognised(*args: Any) -> Any:
        known = recognise(*args)
        shutil.copy(log, copy)
        with log.open("r+") as file:
            file.truncate(0)
            file.write("".join(LINES[40:]) * 3)
        return known

    work = Importer(store)
    with monkeypatch.context() as patch, open_input(str(log)) as opened:
        patch.setattr(importer, "recognise", recognised)
        patch.setattr(unpacking, "CHUNK", 100)
        work.read(opened, growing=growing)
    report = work.finish()
    assert report.unreadables == (not growing)
    imported(store, copy, log)
    assert numbers(store) == sorted([*range(40), *[*range(40, 60)] * 3])


def test_a_row_of_several_lines_is_read_again_if_its_last_line_had_no_end(tmp_path: Path) -> None:
    """The import before ended at any place in a table."""
    rows = [f'2024-03-05 10:00:0{n},"one\ntwo {n}"\n' for n in range(3)]
    text = "time,message\n" + "".join(rows)
    for cut in range(text.index(rows[1]), len(text)):
        table, store = tmp_path / f"{cut}.csv", MemoryEventStore()
        imported(store, written(table, text[:cut]))
        append(table, text[cut:])
        imported(store, table)
        assert contents(store) == ["time,message", *map(str.strip, rows)], text[:cut]


def test_a_record_in_pieces_goes_on_though_the_first_block_has_no_time(
    store: MemoryEventStore, tmp_path: Path
) -> None:
    """Of a packed file each member is a block here; that of the last piece has no time either."""
    piece = "  at b\n" * MOST_LINES
    parts = ["before\n", f"2024-03-05 10:00:00 a\n{piece}", f"{piece}  at c\n", "  at d\n\ne\n"]
    packed, once = tmp_path / "a.gz", MemoryEventStore()
    packed.write_bytes(b"".join(gzip.compress(part.encode()) for part in parts[:-1]))
    imported(store, packed)
    with packed.open("ab") as file:
        file.write(gzip.compress(parts[-1].encode()))
    imported(store, packed)
    imported(once, packed)
    assert contents(store) == contents(once)
    assert len(contents(once)) == 4
