"""The libraries of the extras `arrow`, `pandas` and `polars`, and what each makes of events.

Rules: a library is imported when it is needed, and its absence is `ExtraMissing`. Events are read
as the reader of the table asks for them, piece by piece.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lmdbstore.contract.event import Event
from lmdbstore.errors import ExtraMissing

from .columns import columns_of, pieces

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = [
    "arrow_batch",
    "arrow_reader",
    "arrow_schema",
    "library",
    "pandas_frame",
    "polars_frame",
]


def library(name: str, extra: str) -> Any:
    """Return a library of an extra; raises ExtraMissing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ExtraMissing(
            f"{name} is not installed, or cannot be imported ({error}); "
            f"pip install 'lmdbstore[{extra}]'"
        ) from error


def arrow_schema() -> pa.Schema:
    """Return the columns of a table of events in Arrow."""
    arrow = library("pyarrow", "arrow")
    text, seconds = arrow.string(), arrow.float64()
    tags = arrow.list_(arrow.field("item", text, nullable=False))
    kinds = dict.fromkeys(Event._fields, text) | {"timestamp": seconds, "tags": tags}
    return arrow.schema([arrow.field(name, kind, nullable=False) for name, kind in kinds.items()])


def arrow_batch(piece: list[Event], schema: pa.Schema) -> pa.RecordBatch:
    """Return some events as a record batch."""
    return library("pyarrow", "arrow").RecordBatch.from_pydict(columns_of(piece), schema)


def arrow_reader(events: Iterable[Event]) -> pa.RecordBatchReader:
    """Return a reader of events, which gives them batch by batch."""
    arrow, schema = library("pyarrow", "arrow"), arrow_schema()
    batches = (arrow_batch(piece, schema) for piece in pieces(events))
    return arrow.RecordBatchReader.from_batches(schema, batches)


def pandas_frame(events: Iterable[Event]) -> pd.DataFrame:
    """Return a frame of events."""
    pandas = library("pandas", "pandas")
    kinds = dict.fromkeys(Event._fields, "str") | {"timestamp": "float64", "tags": "object"}
    frames = [pandas.DataFrame(columns_of(piece)).astype(kinds) for piece in pieces(events)] or [
        pandas.DataFrame(columns_of([])).astype(kinds)
    ]
    return pandas.concat(frames, ignore_index=True)


def polars_frame(events: Iterable[Event]) -> pl.DataFrame:
    """Return a frame of events."""
    polars = library("polars", "polars")
    text = polars.String
    schema = dict.fromkeys(Event._fields, text) | {
        "timestamp": polars.Float64,
        "tags": polars.List(text),
    }
    frames = [polars.DataFrame(columns_of(piece), schema) for piece in pieces(events)]
    return polars.concat(frames or [polars.DataFrame(schema=schema)])
