"""Export and import are exact inverses, in each format; what has no place in one is refused."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given

from lmdbstore import Event, InvalidEvent, MemoryEventStore
from lmdbstore.contract.tables import columns
from lmdbstore.ingest.importer import Importer
from lmdbstore.inputs import lines
from lmdbstore.inputs.opened import open_input
from lmdbstore.transfer import export as exporting
from lmdbstore.transfer.arrow_files import arrow_file_kind, read_arrow_file
from lmdbstore.transfer.export import FORMATS, Format, export
from tests.tools.any_events import any_events
from tests.tools.properties import examples

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lmdbstore.ingest.report import Report

FOREIGN = ('{"time":"2025-06-24"}\n' * 200, "2025-06-24 14:36:25 started\n" * 30)
TRAPS = [
    [Event("json", content="{}\n" * 200)],  # most of the first lines are JSON
    [Event("binary", content="\x02\x03" * 3000)],
    [Event("returns", content="a\r\nb\r\n\r\r\n"), Event("ends", content="\r")],
    [Event("blank", source="", content=""), Event("lines", content="\n\n \n")],
    [Event("a" * 237, content="ustar")],
    [Event("times", timestamp=float.fromhex("0x1.fffffffffffffp+1023")), Event("-", "", -5e-324)],
    [Event("log", content=text) for text in FOREIGN[:1]],
    [Event("b", timestamp=1.0), Event("a", timestamp=1.0)],  # equal times in the order of saving
]


def exported(events: Iterable[Event], kind: Format) -> bytes:
    file = io.BytesIO()
    if kind in {"parquet", "arrow"}:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    export(events, file, kind)
    return file.getvalue()


def imported(store: MemoryEventStore, name: Path) -> Report:
    importer = Importer(store)
    if kind := arrow_file_kind(str(name)):
        importer.read_events(str(name), kind, read_arrow_file(str(name), kind))
    else:
        with open_input(str(name)) as opened:
            importer.read(opened)
    return importer.finish()


@pytest.mark.parametrize("kind", FORMATS)
def test_import_gives_back_what_export_wrote(
    tmp_path_factory: pytest.TempPathFactory, kind: Format
) -> None:
    """Every field is equal, the timestamps to the bit, and equal times keep their order."""
    file = tmp_path_factory.mktemp("exports") / "events"

    @examples(60)
    @given(any_events())
    def inverse(events: list[Event]) -> None:
        with MemoryEventStore() as source, MemoryEventStore() as target:
            source.save_many(events)
            file.write_bytes(exported(source.search(), kind))
            report = imported(target, file)
            found, given = list(target.search()), list(source.search())
            assert found == given
            assert [struct.pack("<d", e.timestamp) for e in found] == [
                struct.pack("<d", e.timestamp) for e in given
            ]
            assert (report.new, report.unreadables) == (len(events), 0)

    for trap in TRAPS:
        inverse = example(trap)(inverse)
    inverse()


@pytest.mark.parametrize("kind", FORMATS)
def test_pieces_follow_one_another(
    tmp_path: Path, kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the borders of pieces of the export, and of blocks of the import."""
    monkeypatch.setattr(columns, "PIECE_EVENTS", 7)
    events = [Event(f"{n}", "s", n / 7, [], f"{n}\r\n" * (n % 90) * 20) for n in range(500)]
    numbers: list[int] = []
    (tmp_path / "f").write_bytes(exported(events, kind))
    with MemoryEventStore() as store:
        imported(store, tmp_path / "f")
        assert list(store.search()) == events
        assert export(events, io.BytesIO(), kind, numbers.append) == 500
    assert numbers == [*range(7, 500, 7), 500]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_row_that_import_would_not_read_is_refused(
    tmp_path: Path, kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest row is exported and comes back; one character more is refused by the id."""
    for module in (lines, exporting):
        monkeypatch.setattr(module, "LONGEST_LINE", 3000)
    monkeypatch.setattr("lmdbstore.logs.own.event_rows.LONGEST_LINE", 3000)
    empty = len(exported([Event("x", "s", 1.0)], kind)) - len(exported([], kind))
    longest = Event("x", "s", 1.0, [], "y" * (3001 - empty))
    (tmp_path / "f").write_bytes(exported([longest], kind))
    with MemoryEventStore() as store:
        assert imported(store, tmp_path / "f").unreadables == 0
        assert list(store.search()) == [longest]
    with pytest.raises(InvalidEvent, match=r"the id 'x' .*export it as parquet"):
        exported([longest._replace(content=longest.content + "y")], kind)


def test_csv_is_what_other_programs_write_and_read(tmp_path: Path) -> None:
    """Python's csv module reads it, and what that writes is read: CRLF, and few or all quotes."""
    import csv

    events = [
        Event("a", "s,t", 0.1, ["x", 'y"z'], 'one\n"two"'),
        Event("b", "", -1e300, [], ""),
        Event("c", "s", 7.0, ["é"], "\r\nx\r"),
    ]
    text = exported(events, "csv").decode()
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert rows[0] == ["id", "source", "timestamp", "tags", "content"]
    assert rows[1] == ["a", "s,t", "0.1", r'["x","y\"z"]', 'one\n"two"']
    for terminator, dialect in product(("\n", "\r\n"), ("excel", "unix")):
        other = io.StringIO(newline="")
        csv.writer(other, dialect, lineterminator=terminator).writerows(rows)
        (tmp_path / "f").write_bytes(other.getvalue().encode())
        with MemoryEventStore() as store:
            imported(store, tmp_path / "f")
            assert list(store.search()) == sorted(events, key=lambda event: event.timestamp)


BAD_ROWS = [
    ('"a","s",1.0,"[]"', "4 columns"),
    ('"a","s",soon,"[]","x"', "timestamp: 'soon'"),
    ('"a","s",nan,"[]","x"', "timestamp"),
    ('"","s",1.0,"[]","x"', "id: ''"),
    ('"a","s",1.0,"x","x"', "tags: 'x' is not a list in JSON"),
    ('"a","s",1.0,"[1]","x"', "tags: 1"),
    ('"a","s",1.0,"[]","x"y', "a quotation mark is out of place"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS)
def test_a_row_that_is_no_event_is_reported_and_the_others_are_read(
    tmp_path: Path, row: str, reason: str
) -> None:
    good = '"ok","s",1.0,"[]","x"\n'
    (tmp_path / "f").write_text(f"id,source,timestamp,tags,content\n{row}\n{good}")
    with MemoryEventStore() as store:
        report = imported(store, tmp_path / "f")
        assert [event.id for event in store.search()] == ["ok"]
    assert report.unreadables == 1
    assert reason in " ".join(report.notices())
    assert "line 2" in report.notices()[0]


def test_an_open_quotation_does_not_swallow_the_rest_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmdbstore.logs.own.event_rows.LONGEST_LINE", 500)
    rows = exported([Event(f"{n}", "s", 1.0, [], "x") for n in range(50)], "csv").splitlines(True)
    rows.insert(1, b'"open\n')
    (tmp_path / "f").write_bytes(b"".join([*rows, b'"at the end']))
    with MemoryEventStore() as store:
        report = imported(store, tmp_path / "f")
        assert store.get("49").content == "x"
    assert "longer than" in report.notices()[0]
    assert "a quotation is open" in report.notices()[-1]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_row_that_is_no_utf8_is_read_as_latin_1_and_reported(
    tmp_path: Path, kind: Format
) -> None:
    """Every byte is a character, so nothing of it is lost."""
    rows = exported([Event(f"{n}", content=f"{n} é\n?") for n in range(20)], kind)
    (tmp_path / "f").write_bytes(rows.replace("7 é".encode(), b"7 \xff\xe9", 1))
    with MemoryEventStore() as store:
        report = imported(store, tmp_path / "f")
        assert (len(store), store.get("7").content) == (20, "7 \xff\xe9\n?")
        assert "not UTF-8; read as Latin-1" in " ".join(report.notices())


def test_exports_may_be_joined_and_imported_again(tmp_path: Path) -> None:
    """The header is skipped wherever it is; ids make a second import change nothing."""
    events = [Event("a", "s", 1.0), Event("b", "s", 2.0, ["t"], "x\ny")]
    (tmp_path / "f").write_bytes(exported(events[:1], "csv") + exported(events, "csv"))
    with MemoryEventStore() as store:
        imported(store, tmp_path / "f")
        imported(store, tmp_path / "f")
        assert list(store.search()) == events


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_is_cut_gives_what_is_whole_and_a_report(tmp_path: Path, kind: Format) -> None:
    data = exported([Event(f"{n:03}", "s", float(n), [], "x" * 50) for n in range(99)], kind)
    (tmp_path / "f").write_bytes(data[: -len(data) // 3])
    with MemoryEventStore() as store:
        report = imported(store, tmp_path / "f")
        ids = [event.id for event in store.search() if len(event.id) == 3]
    assert ids == [f"{n:03}" for n in range(len(ids))]
    assert report.unreadables == 1 or kind == "jsonl"  # a cut line of JSON is kept as text
    assert len(ids) > 30 or kind in {"parquet", "arrow"}


def test_a_table_of_other_columns_or_values_is_refused(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    byte = arrow.py_buffer(b"\0\0\0\0\1\0\0\0"), arrow.py_buffer(b"\xff")
    not_utf8 = arrow.StringArray.from_buffers(1, *byte)
    good = {"id": ["a"], "source": ["s"], "timestamp": [1], "tags": [["t"]], "content": ["x"]}
    bad = [
        ({"id": ["a"]}, "instead of id,source"),
        ({**good, "more": ["x"]}, "instead of id,source"),
        ({**good, "timestamp": [[1.0]]}, "'timestamp' with values of the type list<"),
        ({**good, "id": [None]}, "id: None"),
        ({**good, "tags": [[None]]}, "tags: None"),
        ({**good, "content": not_utf8}, "not a table of events"),
        ({**good, "id": [7]}, "'id' with values of the type int64 instead of string"),
        ({**good, "content": [True]}, "'content' with values of the type bool instead of string"),
        ({**good, "tags": [[7]]}, "'tags' with values of the type list<"),
        (
            {**good, "timestamp": ["1"]},
            "'timestamp' with values of the type string instead of double",
        ),
        (
            {**good, "timestamp": [True]},
            "'timestamp' with values of the type bool instead of double",
        ),
    ]
    for columns_of_it, reason in bad:
        parquet.write_table(arrow.table(columns_of_it), tmp_path / "f")
        with MemoryEventStore() as store:
            report = imported(store, tmp_path / "f")
            assert len(store) == 0
        assert reason in " ".join(report.notices())
    # What other programs make of our columns is read: other kinds of text, other order.
    wide = {
        "id": arrow.array(["a"], arrow.string_view()),
        "source": arrow.array(["s"]).dictionary_encode(),
        "timestamp": [1],
        "tags": arrow.array([["t"]], arrow.large_list(arrow.large_string())),
        "content": arrow.array(["x"], arrow.large_string()),
    }
    parquet.write_table(arrow.table(dict(reversed(wide.items()))), tmp_path / "f")
    with MemoryEventStore() as store:
        imported(store, tmp_path / "f")
        assert list(store.search()) == [Event("a", "s", 1.0, ["t"], "x")]


@pytest.mark.parametrize("kind", FORMATS)
def test_export_takes_little_memory_whatever_the_number_of_events(
    kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 MB of events, a hundred at a time: less than a tenth of it is in memory at once."""
    monkeypatch.setattr(columns, "PIECE_EVENTS", 100)
    events = (Event(f"{n}", "s", float(n), ["t"], f"{n:0500}") for n in range(20_000))
    exported([Event()], kind)  # what is imported and made once does not count
    held = _arrow_bytes(kind)
    tracemalloc.start()
    try:
        with open(os.devnull, "wb") as nothing:
            assert export(events, nothing, kind) == 20_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak + _arrow_bytes(kind) - held < 1 << 20


def _arrow_bytes(kind: Format) -> int:
    """Return the most that pyarrow has allocated for itself."""
    if kind not in {"parquet", "arrow"}:
        return 0
    most: int = pytest.importorskip("pyarrow").default_memory_pool().max_memory()
    return most


def test_a_table_that_grows_is_read_on_from_any_place(tmp_path: Path) -> None:
    """The import before ended inside of a row, or between the two marks of a doubled one."""
    events = [Event(f"e{n}", "s", n / 7, ["t"], f'one "{n}"\ntwo\r\nthree {n}') for n in range(4)]
    data = exported(events, "csv")
    for cut in range(len(exported([], "csv")), len(data)):
        with MemoryEventStore() as store:
            for end in (cut, len(data)):
                (tmp_path / "f").write_bytes(data[:end])
                imported(store, tmp_path / "f")
            assert list(store.search()) == events, data[:cut]
