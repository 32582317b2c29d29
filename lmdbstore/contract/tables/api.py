"""The contract, continued: the events of a search as a table of another library."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from lmdbstore.contract.counting.api import EventCounts

from .chosen import Chosen
from .libraries import arrow_reader, library, pandas_frame, polars_frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Unpack

    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from lmdbstore.contract.event import Event
    from lmdbstore.contract.search import Search

__all__ = ["EventTables"]


class EventTables(EventCounts):
    """The calls of a view that give events as a table.

    The columns are the fields of an event: `id`, `source` and `content` are strings, `timestamp` is
    a float of seconds, exactly that of the event, and `tags` is a list of strings.
    """

    def to_arrow(self, **chosen: Unpack[Chosen]) -> pa.RecordBatchReader:
        """Return a `pyarrow.RecordBatchReader` over the events that `search` would find.

        Takes the arguments of `search`, by keyword, and raises the same. All events are of one
        state of the store, that of this call: a store takes a snapshot, which ends when the reader
        has given all or is garbage, and holds what a snapshot holds until then. Batches are read
        as they are asked for, with at most 16,384 events, or 4 Mi characters and one event more,
        so the memory used does not grow with the result. A reader gives its events once.

        `polars`, DuckDB and others take the reader, also without this library's extras.

        Raises:
            ExtraMissing: pyarrow is not installed; it is in the extra `arrow`.
            EventStoreException: what `search` and its iterator raise; the reader raises it, too.
        """
        library("pyarrow", "arrow")  # before a snapshot is taken
        return arrow_reader(self._of_one_state("to_arrow", chosen))

    def to_pandas(self, **chosen: Unpack[Chosen]) -> pd.DataFrame:
        """Return a `pandas.DataFrame` of the events that `search` would find.

        Takes the arguments of `search`, by keyword, and raises the same. All events are of one
        state of the store. The frame is in memory as a whole; `to_arrow` gives larger results.

        Raises:
            ExtraMissing: pandas is not installed; it is in the extra `pandas`.
        """
        library("pandas", "pandas")
        return pandas_frame(self._of_one_state("to_pandas", chosen))

    def to_polars(self, **chosen: Unpack[Chosen]) -> pl.DataFrame:
        """Return a `polars.DataFrame` of the events that `search` would find.

        Takes the arguments of `search`, by keyword, and raises the same. All events are of one
        state of the store. The frame is in memory as a whole; `to_arrow` gives larger results.

        Raises:
            ExtraMissing: polars is not installed; it is in the extra `polars`.
        """
        library("polars", "polars")
        return polars_frame(self._of_one_state("to_polars", chosen))

    def _of_one_state(self, method: str, chosen: Chosen) -> Iterator[Event]:
        """Return the events found in the present state; raises what `search` raises, at once."""
        for name in chosen.keys() - Chosen.__annotations__.keys():
            blamed = f"{type(self).__name__}.{method}()"
            raise TypeError(f"{blamed} got an unexpected keyword argument {name!r}")
        with ExitStack() as stack:
            view = stack.enter_context(self._one_state(chosen.get("timeout", ...)))
            events = _until_closed(view.search(**chosen), stack.pop_all())
        next(events)  # begins it, so that its end closes the view, also if nothing is read
        return events  # type: ignore[return-value]  # None was the first


def _until_closed(search: Search, stack: ExitStack) -> Iterator[Event | None]:
    with stack:
        yield None
        yield from search
