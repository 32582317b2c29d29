"""Imports that other processes, refused events and foreign checkpoints get in the way of."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import MemoryEventStore, StoreFull
from lmdbstore.ingest import saving
from lmdbstore.ingest.importer import Importer
from lmdbstore.inputs import lines as lines_of
from lmdbstore.inputs import unpacking
from lmdbstore.inputs.opened import Input, open_input
from lmdbstore.logs import records
from lmdbstore.resume import content, recognise, tracked
from tests.tools.imports import contents, imported, written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAD = "2024-03-05 10:00:00 begin\n"


def read(work: Importer, path: Path, **options: Any) -> None:
    with open_input(str(path)) as opened:
        work.read(opened, **options)


def test_two_processes_read_different_files_that_begin_with_the_same_line(tmp_path: Path) -> None:
    store = MemoryEventStore()
    works = [Importer(store, source="app") for _ in range(2)]
    for n, work in enumerate(works):
        read(work, written(tmp_path / f"{n}", HEAD + f"2024-03-05 10:00:01 {n}\n"))
        work.finish()
    assert len(store) == 4


def test_a_recreated_file_is_another_one_in_a_process_that_does_not_know_the_former(
    tmp_path: Path,
) -> None:
    store = MemoryEventStore()
    late = Importer(store)
    path = written(tmp_path / "a", HEAD + "2024-03-05 10:00:01 a\n")
    imported(store, path)
    written(path, HEAD + "2024-03-05 10:00:01 b\n")
    read(late, path)
    late.finish()
    assert len(store) == 4


def test_two_processes_read_one_file_once_whatever_its_name(tmp_path: Path) -> None:
    store = MemoryEventStore()
    works = [Importer(store) for _ in range(3)]
    path = written(tmp_path / "a", HEAD + "2024-03-05 10:00:01 a\n")
    for n, work in enumerate(works):
        read(work, path)
        path = path.rename(tmp_path / f"{n}")
    for work in works:
        work.finish()
    assert len(store) == 2


class Full(MemoryEventStore):
    left = -1

    def save_many(self, *args: Any, **named: Any) -> Any:
        saved = super().save_many(*args, **named)
        self.left -= 1
        if not self.left:
            raise StoreFull("killed here")
        return saved


@pytest.mark.parametrize("at", range(1, 6))
def test_a_batch_with_a_refused_event_is_saved_at_once(tmp_path: Path, at: int) -> None:
    store = Full()
    text = "".join(f"2024-03-05 10:00:0{n} {n}\n" for n in range(8))
    store.left = at
    work = Importer(store, tags=["t"])
    path = written(tmp_path / "a", text)
    with open_input(str(path)) as opened:
        work.read(opened)
        sink: Any = work._sink
        sink._events[3] = sink._events[3]._replace(id="")
        with suppress(StoreFull):
            work.finish()
    store.left = -1
    imported(store, path.rename(tmp_path / "b"))
    assert sorted(contents(store)) == sorted(set(contents(store)))


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        "[" * 100_000,
        "{}",
        '{"key": 1}',
        '{"key":"x","source":"s","head":"h","window":3}',
        '{"key":"x","source":"s","head":"h","window":[3]}',
        '{"key":"x","source":"s","head":"h","chain":"x"}',
        '{"key":"y","source":"s","head":"h"}',
    ],
)
@pytest.mark.parametrize("name", ["import x", "import ", "import 0123456789abcdef"])
def test_a_checkpoint_of_another_program_is_passed_over(
    tmp_path: Path, name: str, text: str
) -> None:
    store = MemoryEventStore()
    store.save_many([], checkpoint=(name, text))
    path = written(tmp_path / "a", HEAD)
    assert imported(store, path).new == 1
    assert imported(store, path).new == 0
    assert store.checkpoint(name) == text


@pytest.mark.parametrize("first", range(1, 40, 3))
def test_a_long_record_is_cut_in_the_same_places_however_it_grows(
    tmp_path: Path, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MOST_LINES", 4)
    monkeypatch.setattr(unpacking, "CHUNK", 64)
    lines = [HEAD, *(f"  more {n}\n" if n % 5 else "\n" for n in range(40)), HEAD]
    whole, grown = MemoryEventStore(), MemoryEventStore()
    path = tmp_path / "a"
    for end in (first, first + 1, first + 7, len(lines)):
        imported(grown, written(path, "".join(lines[:end])))
    imported(whole, written(tmp_path / "b", "".join(lines)))
    assert [event.content for event in whole.search()] == [
        event.content for event in grown.search()
    ]
    assert [event.tags for event in whole.search()] == [event.tags for event in grown.search()]


@pytest.mark.parametrize("bits", range(1, 4))
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_character_that_is_not_complete_waits_for_its_rest(
    tmp_path: Path, encoding: str, bits: int
) -> None:
    mark = "\ufeff"
    text = f"{mark}{HEAD}2024-03-05 10:00:01 \U0001f600 b\n".encode(encoding)
    half = f"{mark}{HEAD}2024-03-05 10:00:01 ".encode(encoding)
    store = MemoryEventStore()
    path = tmp_path / "a"
    imported(store, written(path, text[: len(half) + bits]))
    imported(store, written(path, text))
    assert contents(store) == [HEAD.strip(), "2024-03-05 10:00:01 \U0001f600 b"]


def test_the_first_part_of_an_event_with_an_id_is_replaced(tmp_path: Path) -> None:
    lines = [json.dumps({"id": f"e{n}", "content": f"c{n}", "timestamp": 5.0}) for n in range(4)]
    store = MemoryEventStore()
    path = tmp_path / "a"
    text = "\n".join(lines) + "\n"
    for end in range(len(text) - 8 - len(lines[3]), len(text) + 1, 7):
        imported(store, written(path, text[:end]))
    imported(store, written(path, text))
    assert contents(store) == ["c0", "c1", "c2", "c3"]


def test_records_of_a_last_line_are_not_saved_again(tmp_path: Path) -> None:
    records = [{"eventTime": "2024-03-05T10:00:00Z", "n": n} for n in range(3)]
    line = json.dumps({"Records": records})
    store = MemoryEventStore()
    path = tmp_path / "a"
    imported(store, written(path, line))
    store.delete(next(store.search()).id)
    assert imported(store, written(path, line + "\n")).replaced == 0
    assert len(store) == 2


def test_a_file_that_is_a_pipe_by_now_is_not_waited_for(tmp_path: Path) -> None:
    store = MemoryEventStore()
    path = written(tmp_path / "a", HEAD)
    imported(store, path)
    path.unlink()
    os.mkfifo(path)
    assert imported(store, written(tmp_path / "b", HEAD)).new == 0


def test_short_pipes_with_different_sources_are_different() -> None:
    store = MemoryEventStore()
    for source, new in (("a", 1), ("b", 1), ("a", 0), ("b", 0)):
        work = Importer(store, source=source)
        with closing(Input("x", "stdin", io.BytesIO(b"done\n"))) as pipe:
            work.read(pipe)
        assert work.finish().new == new


def test_a_search_for_known_lines_in_a_live_pipe_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryEventStore()
    given = [f"2024-03-05 10:00:{n % 60:02} {n}\n".encode() for n in range(60)]

    class Endless(io.BytesIO):
        """Gives one line at a time; fails when all is taken before anything is saved."""

        def read(self, size: int | None = -1) -> bytes:  # noqa: ARG002  as BytesIO has it
            line = self.readline()
            assert line or len(store) > 40, "nothing was saved before the end"
            return line

    monkeypatch.setattr(recognise, "LONGEST_SEARCH", 0.0)
    monkeypatch.setattr(saving, "BATCH_SECONDS", 0.0)
    for lines in (given[:30], given[30:]):
        work = Importer(store)
        kind = io.BytesIO if len(store) == 0 else Endless
        with closing(Input("x", "stdin", kind(b"".join(lines)))) as pipe:
            work.read(pipe)
        work.finish()
    assert len(store) == 60


@pytest.mark.parametrize("size", [1, 3])
def test_a_copy_that_is_being_made_is_known_by_a_file_that_was_renamed(
    tmp_path: Path, size: int
) -> None:
    """The file is known where it is now, not only where it was read."""
    store = MemoryEventStore()
    text = "".join(f"2024-03-05 10:{n // 60:02}:{n % 60:02} {n * n}\n" for n in range(3000))
    path = written(tmp_path / "a.log", text)
    imported(store, path)
    path = path.rename(tmp_path / "a.log.1")
    written(tmp_path / "a.log", HEAD)
    assert imported(store, path).new == 0
    packed = gzip.compress(text.encode())
    report = imported(store, written(tmp_path / "a.log.1.gz", packed[: len(packed) * size // 4]))
    assert report.new == 0
    assert len(store) == 3000


def test_a_line_that_is_not_complete_leaves_no_trace(tmp_path: Path) -> None:
    store = MemoryEventStore()
    work = Importer(store)
    path = tmp_path / "a"
    for n in range(5):
        read(work, written(path, "x" * n), growing=True)
    work.finish()
    registry: Any = work._into
    assert not registry.registry._all
    assert not store.checkpoints("")


def test_a_redo_that_did_not_end_is_noted_until_one_ends(tmp_path: Path) -> None:
    store = Full()
    path = written(tmp_path / "a", HEAD)
    imported(store, path)
    store.left = 2
    with pytest.raises(StoreFull):
        imported(store, path, redo=True)
    store.left = -1
    imported(store, written(path, HEAD + HEAD))
    assert "did not end" in imported(store, path).details()[0]
    imported(store, path, redo=True)
    assert "did not end" not in imported(store, path).details()[0]


@pytest.mark.parametrize("failing", range(1, 12))
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_error_in_reading_is_reported_wherever_it_comes(
    tmp_path: Path, failing: int, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(content, "BLOCK", 100)
    store = MemoryEventStore()
    lines = [f"2024-03-05 10:00:{n:02} {n}\n" for n in range(20)]
    path = written(tmp_path / "a", pack("".join(lines[:10]).encode()))
    imported(store, path)
    left = [failing]
    pread = os.pread

    def refused(*args: Any) -> bytes:
        left[0] -= 1
        if not left[0]:
            raise OSError(errno.EIO, "Input/output error")
        return pread(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", refused)
        imported(store, written(path, pack("".join(lines).encode())))
    imported(store, path)
    assert contents(store) == [line.strip() for line in lines]


def test_a_long_line_that_goes_on_is_not_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_of, "LONGEST_LINE", 1000)
    for module in (tracked, recognise):
        monkeypatch.setattr(module, "MOST_HELD", 2000)
    monkeypatch.setattr(unpacking, "CHUNK", 300)
    monkeypatch.setattr(content, "BLOCK", 500)
    store = MemoryEventStore()
    long = "x" * 10_000
    path = written(tmp_path / "a", HEAD + long)
    for text in (HEAD + long, HEAD + long + "y", HEAD + long + "y\n2024-03-05 10:00:01 b\n"):
        imported(store, written(path, text))
    assert contents(store) == [HEAD.strip(), "2024-03-05 10:00:01 b"]
    registry: Any = Importer(store)._into
    (known,) = registry.registry._all.values()
    assert known.end == path.stat().st_size
