"""Files of Parquet and Arrow, as `export` writes them, read back to events.

Rules: the first bytes decide what a file is, never its name. Columns are found by their names.
Other columns, or values that are not exactly those of events, are refused. At most a piece of the
events is in memory.
"""

from __future__ import annotations

import stat
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmdbstore.contract.event import Event
from lmdbstore.contract.tables.columns import PIECE_EVENTS
from lmdbstore.contract.tables.libraries import arrow_schema, library
from lmdbstore.errors import ExtraMissing
from lmdbstore.inputs.unpacking import UnreadableInput
from lmdbstore.rows import HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["arrow_file_kind", "read_arrow_file"]

BUFFER = 1 << 20  # bytes of a column that are read at once, instead of a whole group of rows
_TEXTS = {"string", "large_string", "string_view", "binary", "large_binary"}
_MARKS = {b"PAR1": "Parquet", b"ARROW1\0\0": "Arrow"}


def arrow_file_kind(name: str) -> str | None:
    """Return what a file is: "Parquet", "Arrow", or None; raises OSError."""
    path = Path(name)
    if not stat.S_ISREG(path.stat().st_mode):
        return None
    with path.open("rb", buffering=0) as file:
        head = file.read(max(map(len, _MARKS)))
    return next((kind for mark, kind in _MARKS.items() if head.startswith(mark)), None)


def read_arrow_file(name: str, kind: str) -> Iterator[list[Event]]:
    """Give the events of a file, in pieces. They are not checked.

    Raises:
        UnreadableInput: the rest cannot be read; the message gives the reason.
    """
    try:
        schema = arrow_schema()
        arrow = library("pyarrow", "arrow")
    except ExtraMissing as error:
        raise UnreadableInput(str(error)) from None
    with _own_errors(arrow.ArrowException):
        for batch in _parquet(name) if kind == "Parquet" else _arrow(name):
            yield _events(batch, schema)


@contextmanager
def _own_errors(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except (kind, OSError, UnicodeDecodeError) as error:
        raise UnreadableInput(f"it is damaged, or not a table of events: {error}") from None


def _parquet(name: str) -> Iterator[Any]:
    with library("pyarrow.parquet", "arrow").ParquetFile(name, buffer_size=BUFFER) as file:
        _check_columns(file.schema_arrow)
        yield from file.iter_batches(PIECE_EVENTS, columns=list(Event._fields))


def _arrow(name: str) -> Iterator[Any]:
    arrow, ipc = library("pyarrow", "arrow"), library("pyarrow.ipc", "arrow")
    with arrow.OSFile(name) as source, ipc.open_file(source) as file:
        _check_columns(file.schema)
        for number in range(file.num_record_batches):
            batch = file.get_batch(number)
            batch.validate(full=True)  # offsets are used unchecked otherwise
            yield batch


def _check_columns(schema: Any) -> None:
    """Refuse other columns, and values that a cast would change: a number as text, a bool."""
    if sorted(schema.names) != sorted(Event._fields):
        raise UnreadableInput(f"it has the columns {', '.join(schema.names)} instead of {HEADER}")
    for wanted in arrow_schema():
        kind = schema.field(wanted.name).type
        if not _is_like(kind, wanted.type):
            raise UnreadableInput(
                f"it has the column {wanted.name!r} with values of the type {kind} instead of "
                f"{wanted.type}"
            )


def _is_like(kind: Any, wanted: Any) -> bool:
    """Whether each value of a type is one of the wanted type, or refused when it is read."""
    types = library("pyarrow", "arrow").types
    if types.is_null(kind):  # no value is there
        return True
    if types.is_list(wanted):
        some = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        return some and _is_like(kind.value_type, wanted.value_type)
    if types.is_floating(wanted):
        return bool(types.is_floating(kind) or types.is_integer(kind))
    return str(kind.value_type if types.is_dictionary(kind) else kind) in _TEXTS


def _events(batch: Any, schema: Any) -> list[Event]:
    columns = [batch.column(name).cast(schema.field(name).type) for name in Event._fields]
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return list(starmap(_event, rows))


def _event(*fields: Any) -> Event:
    return tuple.__new__(Event, fields)
