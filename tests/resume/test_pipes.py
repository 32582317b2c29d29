"""Pipes that give what was imported before, and live ones."""

from __future__ import annotations

import gzip
import io
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import MemoryEventStore
from lmdbstore.ingest import saving
from lmdbstore.ingest.importer import Importer
from lmdbstore.inputs import opened, spool
from lmdbstore.inputs.opened import Input
from tests.tools.imports import contents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore.ingest.report import Report

LINES = [f"2024-03-05 10:00:{n:02} line {n}\n" for n in range(60)]


@pytest.fixture
def store() -> MemoryEventStore:
    return MemoryEventStore()


@contextmanager
def pipe_with(data: bytes) -> Iterator[Input]:
    """Give an input that is a pipe with this data."""
    reading, writing = os.pipe()

    def write() -> None:
        with open(writing, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    with open(reading, "rb", buffering=0) as raw:
        given = Input("standard input", "stdin", raw)
        yield given
        given.close()
    thread.join()


def piped(store: Any, text: str | bytes, **options: Any) -> Report:
    work = Importer(store, **options)
    with pipe_with(text.encode() if isinstance(text, str) else text) as given:
        work.read(given)
    return work.finish()


def numbers(store: Any) -> list[int]:
    return [int(text.split()[3]) for text in contents(store)]


@pytest.mark.parametrize("in_memory", [1, 1 << 20])
def test_a_pipe_that_gives_known_lines_again_goes_on(
    store: MemoryEventStore, in_memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a pipe gave, while it was not known yet, lies in memory or in a temporary file."""
    monkeypatch.setattr(spool, "IN_MEMORY", in_memory)
    piped(store, "".join(LINES[:30]))
    assert piped(store, "".join(LINES[:30])).details() == ["standard input: 30 lines known"]
    assert piped(store, "".join(LINES[:40])).new == 10
    assert piped(store, gzip.compress("".join(LINES[:50]).encode())).new == 10
    assert numbers(store) == list(range(50))


def test_a_pipe_that_lacks_the_front_goes_on(store: MemoryEventStore) -> None:
    """As a journal does that was vacuumed."""
    piped(store, "".join(LINES[:30]))
    report = piped(store, "".join(LINES[10:40]))
    assert "its front was trimmed away" in report.details()[0]
    assert piped(store, "".join(LINES[25:45])).new == 5
    assert numbers(store) == list(range(45))
    assert piped(store, "".join(LINES[50:])).new == 10


def test_another_pipe_with_the_same_start_is_read_whole(store: MemoryEventStore) -> None:
    piped(store, "".join(LINES[:30]))
    assert piped(store, "".join([*LINES[:20], *LINES[40:]])).new == 40


def test_a_live_pipe_is_read_before_it_ends(
    store: MemoryEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines could be known ones; but it gives no more, and the reader does not wait for it."""
    monkeypatch.setattr(opened, "PATIENCE", 0.01)
    monkeypatch.setattr(saving, "BATCH_SECONDS", 0.0)
    piped(store, "".join(LINES[:30]))
    reading, writing = os.pipe()
    work = Importer(store)
    saved = threading.Event()
    work.progress = lambda _bytes, _lines: saved.set()
    with open(reading, "rb", buffering=0) as raw, open(writing, "wb", buffering=0) as other:
        given = Input("pipe", "stdin", raw)
        thread = threading.Thread(target=work.read, args=[given])
        thread.start()
        other.write("".join(LINES[50:]).encode())
        assert saved.wait(60)
        assert len(store) == 39  # the last record may go on
        other.write(LINES[0].encode())
        other.close()
        thread.join()
        given.close()
    work.finish()
    assert len(store) == 41


@pytest.mark.parametrize("known", [False, True])
def test_damage_in_a_pipe_is_reported_whether_or_not_its_lines_are_known(
    store: MemoryEventStore, *, known: bool
) -> None:
    if known:
        piped(store, "".join(LINES[:30]))
    damaged = gzip.compress("".join(LINES).encode())[:-9]
    report = piped(store, damaged)
    assert report.unreadables == 1
    assert "compressed data" in report.notices()[0]


def test_a_stream_that_the_system_cannot_wait_for_is_read(store: MemoryEventStore) -> None:

    piped(store, "".join(LINES[:30]))
    work = Importer(store)
    given = Input("x", "stdin", io.BytesIO("".join(LINES[:40]).encode()))
    work.read(given)
    given.close()
    work.finish()
    assert numbers(store) == list(range(40))
