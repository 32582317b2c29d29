"""Events to a file, in a format that `import` reads back to the same events.

Rules: at most one piece of the events is in memory, as `contract.tables.columns` cuts them. An
event that could not be read back is refused by name; it is never changed or cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from lmdbstore.contract.tables.columns import pieces
from lmdbstore.contract.tables.libraries import arrow_batch, arrow_schema, library
from lmdbstore.errors import InvalidEvent, shown
from lmdbstore.inputs.lines import LONGEST_LINE
from lmdbstore.rows import HEADER, csv_row, json_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, BinaryIO

    from lmdbstore.contract.event import Event

    Done: TypeAlias = Callable[[int], None]

__all__ = ["FORMATS", "Format", "check_format", "export", "row_of"]

Format = Literal["jsonl", "csv", "parquet", "arrow"]
FORMATS: tuple[Format, ...] = get_args(Format)


def export(
    events: Iterable[Event], file: BinaryIO, kind: Format, done: Done = lambda _number: None
) -> int:
    """Write events to a file; return how many.

    `done` is called with the number of events written so far, from time to time. The file need not
    be seekable, and stays open.

    Raises:
        InvalidEvent: an event has no place in this format.
        ExtraMissing: the format needs pyarrow, and it is not installed.
        OSError: the file cannot be written.
        EventStoreException: what reading the events raises.
    """
    write = {"jsonl": _json, "csv": _csv}.get(kind, _arrow_of(kind))
    number = 0
    for size in write(events, file):
        number += size
        done(number)
    return number


def check_format(kind: Format) -> None:
    """Raise ExtraMissing if the library of a format is missing."""
    if kind in {"parquet", "arrow"}:
        library("pyarrow", "arrow")


def _json(events: Iterable[Event], file: BinaryIO) -> Iterator[int]:
    return _rows(events, file, row_of("jsonl"))


def _csv(events: Iterable[Event], file: BinaryIO) -> Iterator[int]:
    file.write(f"{HEADER}\n".encode())
    return _rows(events, file, row_of("csv"))


def _rows(events: Iterable[Event], file: BinaryIO, row: Callable[[Event], bytes]) -> Iterator[int]:
    """Write rows; give the number of events of each piece that was written."""
    for piece in pieces(events):
        text = bytearray()  # not a list of rows: orjson gives each of them some kilobytes
        for event in piece:
            text += row(event)
        file.write(text)
        yield len(piece)


def row_of(kind: Literal["jsonl", "csv"]) -> Callable[[Event], bytes]:
    """Return a function for the row of an event, which raises InvalidEvent for one too long."""
    write = {"jsonl": json_row, "csv": csv_row}[kind]

    def row(event: Event) -> bytes:
        data = write(event)
        if len(data) > LONGEST_LINE + 1:
            raise _too_long(event)
        return data

    return row


def _too_long(event: Event) -> InvalidEvent:
    return InvalidEvent(
        f"content: that of the event with the id {shown(event.id)} takes more than "
        f"{LONGEST_LINE >> 20} MiB as a row, which import would not read; export it as parquet"
    )


def _arrow_of(kind: Format) -> Callable[[Iterable[Event], BinaryIO], Iterator[int]]:
    def write(events: Iterable[Event], file: BinaryIO) -> Iterator[int]:
        schema = arrow_schema()
        with _writer(kind, file, schema) as writer:
            for piece in pieces(events):
                writer.write_batch(arrow_batch(piece, schema))  # a group of rows of its own
                yield len(piece)

    return write


def _writer(kind: Format, file: BinaryIO, schema: Any) -> Any:
    if kind == "parquet":
        parquet = library("pyarrow.parquet", "arrow")
        return parquet.ParquetWriter(file, schema, compression="zstd")
    ipc = library("pyarrow.ipc", "arrow")
    return ipc.new_file(file, schema, options=ipc.IpcWriteOptions(compression="zstd"))
