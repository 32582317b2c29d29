"""Properties of imports of any input: nothing raises, is lost, or changes its order."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st

from lmdbstore.inputs.lines import blocks
from lmdbstore.logs.common import Maker, Options
from lmdbstore.logs.documents import Documents
from lmdbstore.logs.input_report import InputReport
from lmdbstore.logs.logfmt import FieldLines
from lmdbstore.logs.records import bare
from lmdbstore.logs.structured import JsonReader
from lmdbstore.logs.tables import TableReader, header_of
from lmdbstore.logs.text import TextReader
from lmdbstore.times.clock import Setting
from lmdbstore.times.dater import Dater
from lmdbstore.times.formats import FORMATS
from tests.tools.imports import MTIME
from tests.tools.properties import examples

if TYPE_CHECKING:
    from lmdbstore.logs.common import Batch, Reader

EXAMPLES = [entry.example for entry in FORMATS]
pieces = st.sampled_from(
    [*EXAMPLES, "  at x", "", "\0", "\x1b[0m", "\r", "é", "[",
     '{"time":1709632800,"x":1}', "#Fields: time x", "{", '"a":"', "}", "a=b ts=1709632800 "]
)  # fmt: skip
lines = st.lists(pieces | st.text(max_size=8), max_size=3).map("".join)
texts = st.lists(lines, max_size=12).map("\n".join)


def maker() -> Maker:
    return Maker("s", "k", ["t"], Setting(MTIME), Options(), InputReport("s"))


def read(reader: Reader, data: bytes, size: int) -> list[Batch]:
    chunks = [data[n : n + size] for n in range(0, len(data), size)]
    return [*(reader.read(block) for block in blocks(chunks)), reader.end()]


@examples(60)
@example("\r2024-03-05T10:00:00.000Z x\n", 2, False, False)
@given(texts, st.integers(1, 200), st.booleans(), st.booleans())
def test_the_lines_of_any_text_are_in_its_events_in_their_order(
    text: str, size: int, whole: bool, logfmt: bool
) -> None:
    data = text.encode()
    chunks = [data[n : n + size] for n in range(0, len(data), size)]
    again = (lambda: (block.lines for block in blocks(chunks))) if whole else None
    made = maker()
    fields = FieldLines(made, logfmt=logfmt)
    reader = TextReader(made, Dater(Setting(MTIME), again=again), hold=whole, fields=fields)
    batches = read(reader, data, size)
    found = "\n".join(event.content for batch in batches for event in batch.events)
    # Where carriage returns end the lines, a newline may be inside of one.
    lines = "\n".join(line for block in blocks(chunks) for line in block.lines)
    assert [line for line in found.split("\n") if line.strip()] == [
        line for line in lines.split("\n") if line.strip()
    ]
    numbers = [number for batch in batches for number in batch.numbers]
    assert numbers == sorted(set(numbers))
    assert all(math.isfinite(event.timestamp) for batch in batches for event in batch.events)


@examples(40)
@given(texts, st.integers(1, 200))
def test_any_text_is_read_as_json_or_as_a_table_without_an_error(text: str, size: int) -> None:
    reader: Reader = JsonReader(maker(), lambda _, __: None, strict=False, hold=True)
    for batch in read(reader, text.encode(), size):
        assert all(math.isfinite(event.timestamp) for event in batch.events)
    header = header_of(["time,x", "1709632800,y"])
    assert header is not None
    batches = read(TableReader(maker(), header), text.encode(), size)
    assert all(math.isfinite(event.timestamp) for batch in batches for event in batch.events)


@examples(60)
@given(texts, st.integers(1, 200))
def test_any_text_is_read_as_objects_over_lines(text: str, size: int) -> None:
    """What is in no object is the sign of an array, or kept; the same for all pieces."""
    text = text.replace("\r", "")
    lines = bare(text.split("\n"))
    found = []
    for pieces in (size, 1 << 20):
        documents = Documents()
        reader = JsonReader(
            maker(), lambda _, __: None, strict=False, hold=False, documents=documents
        )
        batches = read(reader, text.encode(), pieces)
        ids = [event.id for batch in batches for event in batch.events]
        assert len(set(ids)) == len(ids)
        found.append("".join(event.content for batch in batches for event in batch.events))
    assert found[0] == found[1]
    kept, given = (re.sub(r"[\s,\[\]]", "", one) for one in (found[0], "".join(lines)))
    assert kept == given


@examples(100)
@given(st.lists(st.binary(max_size=30), max_size=5))
def test_any_bytes_are_lines(chunks: list[bytes]) -> None:
    numbers: list[int] = []
    for block in blocks(chunks):
        numbers += range(block.first, block.first + len(block.lines))
    assert numbers == list(range(1, len(numbers) + 1))
