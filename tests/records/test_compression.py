"""Compressed runs: read like others, never larger, no more than they say, and named if unread."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import CompressionMissing, Event, StoreDamaged
from lmdbstore.patterns.pattern import compile_pattern
from lmdbstore.read.run_match import RunMatcher
from lmdbstore.records import compression, layout
from lmdbstore.records.compression import MAGIC, compressed, decompressed, library, remains
from lmdbstore.records.layout import (
    HEAD,
    HEAD_SIZE,
    PACKED_CONTENTS,
    PACKED_HEADERS,
    ROW_SIZE,
    digest,
)
from lmdbstore.records.record import TermKeys
from lmdbstore.records.run import Run
from lmdbstore.records.salvage import salvaged
from tests.tools.runs import made_run
from tests.tools.zstd import needs_zstd

if TYPE_CHECKING:
    from tests.tools.runs import Made

pytestmark = needs_zstd


def both(contents: list[str]) -> tuple[Made, Made]:
    """Return a run of events with these contents, and the same compressed."""
    events = [
        (n + 5, Event(f"e{n}", "source", n / 4, ["a", f"f{n % 2}"], content))
        for n, content in enumerate(contents)
    ]
    return made_run(events), made_run(events, compress=True)


LINES = [f"line {n} of a log" for n in range(40)]


@pytest.mark.parametrize("contents", [LINES, [f"two\nlines é {n}" for n in range(40)], ["x" * 999]])
def test_a_compressed_run_is_read_like_another(contents: list[str]) -> None:
    one, other = both(contents)
    assert len(other.value) < len(one.value)
    run, packed = one.run, other.run
    assert packed.is_compressed
    assert not run.is_compressed
    assert packed.plain() == run.plain() == one.value
    assert len(packed) == len(run) == len(one.value)
    assert packed.unpacked(TermKeys()) == run.unpacked(TermKeys())
    assert packed.select(range(run.events)) == one.events
    for slot in range(run.events):
        assert packed.event(slot) == one.events[slot]
        assert packed.record_size(slot) == run.record_size(slot)
    pattern = compile_pattern("1[0-9]|x$")
    slots = range(run.events)
    assert RunMatcher(pattern).matching(packed, slots) == RunMatcher(pattern).matching(run, slots)


def test_a_section_is_compressed_only_if_that_is_smaller() -> None:
    one, other = both(["short"])
    assert other.value == one.value
    random = "".join(chr(33 + digest(b"%d" % n) % 90) for n in range(30))
    kinds = both([random])[1].run.kinds
    assert not kinds & PACKED_CONTENTS
    assert both(["x" * 99])[1].run.kinds & (PACKED_HEADERS | PACKED_CONTENTS) == PACKED_CONTENTS


def test_large_sections_are_not_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MOST_BYTES", 10_000)
    assert not both(["x" * 10_001])[1].run.kinds & PACKED_CONTENTS
    assert both(["x" * 10_000])[1].run.kinds & PACKED_CONTENTS


def with_front(value: bytes, place: int, number: int) -> bytes:
    """Change 4 bytes of a row, and the checksums of the front."""
    changed = value[:place] + number.to_bytes(4, "little") + value[place + 4 :]
    head, rest = changed[:HEAD_SIZE], changed[HEAD_SIZE:]
    front = rest[: HEAD.unpack(head)[-2] - HEAD_SIZE]
    head = digest(front).to_bytes(8, "little") + head[16:]
    return digest(head).to_bytes(8, "little") + head + rest


@pytest.mark.parametrize("size", [0, 1, 39, 100, 1 << 20, 1 << 31])
def test_a_section_of_another_size_than_the_rows_say_is_damage(size: int) -> None:
    """So a small one cannot fill the memory, whatever the front says."""
    value = both(["x" * 1000])[1].value
    terms_at = HEAD.unpack_from(value)[9]
    run = Run(b"", with_front(value, terms_at - ROW_SIZE + 16, size + 1))
    run.check_front()
    with pytest.raises(StoreDamaged):
        run.contents()


def test_no_more_is_decompressed_than_a_section_may_have() -> None:
    bomb = library().compress(bytes(1 << 26))
    assert len(bomb) < 10_000
    assert len(remains(bomb, 1000)) == 0
    assert remains(bomb) == b""
    with pytest.raises(StoreDamaged):
        decompressed(bomb, 1 << 26)


@pytest.mark.parametrize("value", [b"", b"\0", MAGIC, MAGIC * 9, b"text"])
def test_what_is_no_frame_is_damage(value: bytes) -> None:
    with pytest.raises(StoreDamaged):
        decompressed(value, 5)
    assert remains(value) == b""
    frame = library().compress(b"text")
    assert decompressed(frame, 4) == b"text"
    with pytest.raises(StoreDamaged):
        decompressed(frame + value[:1] + b"x", 4)
    with pytest.raises(StoreDamaged):
        decompressed(frame[:-1], 4)


def test_each_flip_is_salvaged_or_not_vouched_for() -> None:
    """A flip in the front loses nothing, and one in a section no more than the run."""
    one, other = both(LINES)
    headers_at = other.run._headers_at
    records = [left.record for left in salvaged(one.value)]
    assert [left.record for left in salvaged(other.value) if left.vouched] == records
    for place in range(len(other.value)):
        data = bytearray(other.value)
        data[place] ^= 1 << place % 8
        known = [left.record for left in salvaged(bytes(data)) if left.vouched]
        assert [record for record in records if record in known] == known
        assert len(known) == len(records) or place >= headers_at


def test_compressing_twice_or_not_at_all_changes_nothing() -> None:
    one, other = both(LINES)
    assert compressed(one.value) == other.value
    assert other.run.plain() == one.value


def test_the_documented_frame_is_one() -> None:
    frame = re.search(rf" ({MAGIC.hex()}[0-9a-f]+)\n", layout.__doc__ or "")
    assert frame
    assert decompressed(bytes.fromhex(frame[1]), 125) == b"word " * 25


def test_a_missing_library_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    value = both(LINES)[1].value
    hide_zstd(monkeypatch)
    run = Run(b"", value)
    run.check_front()
    assert run.local_ids()
    reads: list[Any] = [lambda: run.event(1), run.contents, lambda: salvaged(value)]
    for read in reads:
        with pytest.raises(CompressionMissing, match=r"pip install 'lmdbstore\[zstd\]'"):
            read()


def hide_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library be missing."""
    for name in ("backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    if "backports" in sys.modules:
        monkeypatch.delattr(sys.modules["backports"], "zstd", raising=False)
    library.cache_clear()
    monkeypatch.setattr(compression, "library", library.__wrapped__)
