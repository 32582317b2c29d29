"""Events, checkpoints, reports and stores are the same with a second process and without one."""

from __future__ import annotations

import gzip
import os
import random
import re
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import LMDBEventStore, MemoryEventStore
from lmdbstore.ingest import saving
from lmdbstore.ingest.apart import parent, sending
from lmdbstore.logs.common import Options
from lmdbstore.patterns import made
from lmdbstore.resume.checkpoint import PREFIX
from lmdbstore.times.learning import format_named
from lmdbstore.times.zones import Zones, zone_named
from lmdbstore.write import runs
from tests.tools.apart import apart, imported_apart
from tests.tools.imports import contents, imported, written

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore.ingest.report import Report

NUMBER = 6000  # lines: more than one block
TRACEBACK = "Traceback:\n  File a, line 1\n\nError: no\n"


def text(number: int = NUMBER, start: int = 0) -> str:
    """Return a log with levels, tracebacks, a contradictory time and blank lines."""
    lines = [
        f"2024-03-{1 + n // 3600:02} {n // 60 % 60:02}:{n % 60:02}:00 ERROR line {n} {'x' * 60}\n"
        + TRACEBACK * (n % 50 == 0)
        for n in range(start, start + number)
    ]
    return "\n \n".join(["".join(lines[:20]), "".join(lines[20:])])


def as_json(number: int = NUMBER) -> str:
    lines = [f'{{"time": {1600000000 + n}, "level": "warn", "m": "{n}"}}\n' for n in range(number)]
    lines[7:7] = ["not JSON\n", "[1]\n", '{"id": "own", "content": "x", "timestamp": 5}\n', "\n"]
    lines[9:9] = ['{"id": "bad", "content": 1, "timestamp": 5}\n']
    return "".join(lines)


def documents() -> str:
    return "".join(
        f'{{\n "time": {1600000000 + n},\n "m": "\u20ac {n}"\n}}\n' for n in range(NUMBER)
    )


def logfmt() -> str:
    return "".join(
        f'ts=2024-03-05T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z level=info msg="m {n}"\n'
        for n in range(NUMBER)
    )


def event_rows() -> str:
    rows = [f'"id{n}","s","{n}.5","[""a"",""b{n % 3}""]","two\nlines {n}"\n' for n in range(NUMBER)]
    return "id,source,timestamp,tags,content\n" + "".join(rows) + "x,y\n"


def table() -> str:
    rows = [
        f'2024-03-05 10:{n // 60 % 60:02}:{n % 60:02},info,"a\nb",s{n % 3}\n' for n in range(NUMBER)
    ]
    return "time,level,text,from\n" + "".join(rows)


def syslog() -> str:
    return "".join(
        f"Dec {1 + n // 300} 10:00:00 host p[1]: {n} {'y' * 50}\n" for n in range(NUMBER)
    )


LINES = syslog().splitlines(keepends=True)
packed = gzip.compress(text().encode())
INPUTS: dict[str, tuple[bytes, Options]] = {
    "text": (text().encode(), Options()),
    "options": (
        text().encode(),
        Options(
            zones=Zones(zone_named("Europe/Berlin")),
            time_format=format_named("%Y-%m-%d %H:%M:%S"),
            record_start=re.compile("ERROR"),
            flag_from=re.compile("(?P<n>line 1.)"),
            strip_colours=True,
        ),
    ),
    "unmet": (text().encode(), Options(zones=Zones(UTC), time_field="when")),
    "JSON": (as_json().encode(), Options()),
    "documents": (documents().encode(), Options()),
    "logfmt": (logfmt().encode(), Options()),
    "CSV of events": (event_rows().encode(), Options()),
    "table": (table().encode(), Options(message_field="text", source_field="from")),
    "syslog": (syslog().encode(), Options()),
    "year": (syslog().encode(), Options(year=2020)),
    "no order": ("".join(random.Random(1).sample(LINES, NUMBER)).encode(), Options()),
    "no time": (b"some words\n" * 40_000, Options()),
    "latin-1": (text().replace("line", "s\u00e4tt").encode("latin-1"), Options()),
    "UTF-16": (text().encode("utf-16"), Options()),
    "gzip": (packed, Options()),
    "damaged": (packed[: len(packed) // 2] + b"\0" * 99 + packed[len(packed) // 2 :], Options()),
    "cut": (packed[:-500], Options()),
    "binary": (b"PK\x03\x04" + bytes(1 << 20), Options()),
    "empty": (b"", Options()),
    "long": (b"2024-03-05 10:00:00 x\n" + b"z" * (17 << 20) + b"\n" + text().encode(), Options()),
}


@pytest.fixture(autouse=True)
def _no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """So batches are the same, however fast the machine is."""
    monkeypatch.setattr(saving, "BATCH_SECONDS", 1e9)
    monkeypatch.setattr(saving, "BATCH_EVENTS", 1500)


def compare(one: Any, other: Any, here: Report, there: Report) -> None:
    assert list(one.search()) == list(other.search())
    assert one.checkpoints(PREFIX) == other.checkpoints(PREFIX)
    for of_here, of_there in zip(here.inputs, there.inputs, strict=True):
        assert replace(of_here, dater=None) == replace(of_there, dater=None)
    for report in (here, there):
        report.seconds = 0.0
    assert there.details() == here.details()
    assert there.notices() == here.notices()
    assert there.warnings() == here.warnings()
    assert there.summary() == here.summary()


@pytest.mark.parametrize("kind", INPUTS)
def test_an_input_is_the_same(tmp_path: Path, kind: str) -> None:
    data, options = INPUTS[kind]
    path = written(tmp_path / "a.log", data)
    given: dict[str, Any] = {"tags": ["t"], "options": options}
    if options.source_field is None:
        given["source"] = "s"
    one, other = MemoryEventStore(), MemoryEventStore()
    read: list[tuple[int, ...]] = []
    with apart(1 << 60) as none:
        here = imported_apart(one, path, progress=lambda *so_far: read.append(so_far), **given)
    last = read[-1]
    read.clear()
    with apart() as started:
        there = imported_apart(other, path, progress=lambda *so_far: read.append(so_far), **given)
    assert (len(none), len(started)) == (0, 1)
    lines = [so_far[1] for so_far in read]
    assert lines == sorted(lines)
    assert read[-1] == last
    compare(one, other, here, there)


@pytest.mark.parametrize("kind", ["text", "JSON", "no order", "table"])
@pytest.mark.parametrize("busy", [False, True])
def test_a_store_is_the_same_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, *, busy: bool
) -> None:
    """With signatures of the second process, and without them; later batches join the first."""
    data, options = INPUTS[kind]
    path = written(tmp_path / "a.log", data)
    monkeypatch.setattr(sending.Sender, "is_ahead", busy)
    taken: list[int] = []

    def signed(contents: list[bytes]) -> bytes:
        taken.append(made.joined_digest(b"\n".join(contents)) in made._made)
        return made.signature_of(contents)

    monkeypatch.setattr(runs, "signature_of", signed)
    with LMDBEventStore(tmp_path / "one") as one, LMDBEventStore(tmp_path / "other") as other:
        here = imported(one, path, options=options)
        with apart() as started:
            there = imported_apart(other, path, options=options)
        assert len(started) == 1
        compare(one, other, here, there)
        assert dump(one) == dump(other)
    assert (taken.count(True) > 0) == busy


def dump(store: LMDBEventStore) -> dict[str, list[tuple[bytes, bytes]]]:
    """Return what a store has of events, except the ids: each store hashes these differently."""
    return store._session.read(
        lambda txn, databases: {
            name: list(txn.cursor(db=getattr(databases, name)))
            for name in ("live", "runs", "summaries", "run_postings", "totals", "commits")
        }
    )


@pytest.mark.parametrize("line_format", ["lines", "jsonl"])
def test_a_given_format_is_the_same(tmp_path: Path, line_format: str) -> None:
    path = written(tmp_path / "a.log", as_json())
    one, other = MemoryEventStore(), MemoryEventStore()
    here = imported(one, path, line_format=line_format)
    with apart() as started:
        there = imported_apart(other, path, line_format=line_format)
    assert len(started) == 1
    compare(one, other, here, there)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_input_that_goes_on_is_the_same(tmp_path: Path, pack: Any) -> None:
    """Its last record has grown, and takes the place of the stored one."""
    first = text()
    more = "  and more\n" + text(NUMBER, NUMBER)
    path = written(tmp_path / "a.log", pack(first.encode()))
    one, other = MemoryEventStore(), MemoryEventStore()
    imported(one, path)
    with apart() as started:
        imported_apart(other, path)
        written(path, pack((first + more).encode()))
        here = imported(one, path)
        there = imported_apart(other, path)
    assert len(started) == 2
    assert there.replaced == 1
    compare(one, other, here, there)


def test_an_input_without_its_front_is_the_same(tmp_path: Path) -> None:
    lines = text().splitlines(keepends=True)
    path = written(tmp_path / "a.log", "".join(lines[:5000]))
    one, other = MemoryEventStore(), MemoryEventStore()
    imported(one, path)
    with apart() as started:
        imported_apart(other, path)
        path.unlink()
        written(path, "".join(lines[2000:]))
        here = imported(one, path)
        there = imported_apart(other, path)
    assert len(started) == 2
    assert "front was trimmed" in there.details()[0]
    compare(one, other, here, there)


def test_a_file_whose_name_is_no_text_is_the_same(tmp_path: Path) -> None:
    """It is in the report and in the checkpoint."""
    path = written(tmp_path / os.fsdecode(b"\xff.log"), text())
    one, other = MemoryEventStore(), MemoryEventStore()
    here = imported(one, path)
    with apart() as started:
        there = imported_apart(other, path)
    assert len(started) == 1
    compare(one, other, here, there)


def test_a_file_without_a_name_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The open file counts: another one may have the name by now."""
    path = written(tmp_path / "a.log", text())
    start = parent._Child.start

    def without_name(*args: Any) -> Any:
        path.unlink()
        return start(*args)

    monkeypatch.setattr(parent._Child, "start", without_name)
    store = MemoryEventStore()
    with apart() as started:
        report = imported_apart(store, path)
    assert len(started) == 1
    assert report.new == len(contents(store)) == NUMBER
