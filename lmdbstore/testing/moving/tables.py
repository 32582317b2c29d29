"""The contract of tables: the events of a search in Arrow, pandas and polars.

Each test needs the library of its table, and is skipped without it.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.contract.tables import columns
from lmdbstore.errors import ExtraMissing, InvalidQuery, StoreClosed
from lmdbstore.testing.helpers import ids

if TYPE_CHECKING:
    from lmdbstore.contract.api import EventStore, EventView

FIELDS = ["id", "source", "timestamp", "tags", "content"]
EVENTS = [
    Event("a", "door", -1e300, ["x", "y"], "one\r\n\0two"),
    Event("b", "door", 5e-324, [], ""),
    Event("c", "gäte", 0.1 + 0.2, ["y"], '"\U0001f600\x1b'),
]


class TableContract:
    """The events of a search as a table."""

    def test_arrow_has_the_events_that_a_search_finds(self, store: EventStore) -> None:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        assert store.to_arrow().read_all().num_rows == 0
        store.save_many(EVENTS)
        table = store.to_arrow().read_all()
        assert table.column_names == FIELDS
        assert [Event(**row) for row in table.to_pylist()] == EVENTS
        for chosen in ({"flags": ["y"], "order": "desc"}, {"source": "door", "limit": 1}):
            arguments: Any = chosen
            found = store.to_arrow(**arguments).read_all().column("id").to_pylist()
            assert found == ids(store.search(**arguments))

    def test_arrow_has_one_state(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is that of the call, also if the first batch is read later."""
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        monkeypatch.setattr(columns, "PIECE_EVENTS", 2)
        store.save_many(Event(str(n), timestamp=float(n)) for n in range(9))
        reader = store.to_arrow()
        store.delete("0")
        first = reader.read_next_batch().column("id").to_pylist()
        store.delete("8")
        store.save(Event("late", timestamp=7.5))
        batches = [batch.column("id").to_pylist() for batch in reader]
        assert [first, *batches] == [["0", "1"], ["2", "3"], ["4", "5"], ["6", "7"], ["8"]]

    def test_arrow_batches_are_small_in_text(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        monkeypatch.setattr(columns, "PIECE_CHARACTERS", 10)
        store.save_many(Event(str(n), timestamp=float(n), content="x" * 6) for n in range(3))
        store.save(Event("3", timestamp=3.0, tags=["x" * 10]))
        store.save(Event("4", timestamp=4.0))
        store.save(Event("x" * 10, timestamp=5.0))
        store.save(Event("6", "x" * 9, timestamp=6.0))
        assert [batch.num_rows for batch in store.to_arrow()] == [2, 2, 2, 1]

    def test_a_snapshot_gives_tables_too(self, store: EventStore) -> None:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        store.save(EVENTS[0])
        with store.snapshot() as view:
            store.delete(EVENTS[0].id)
            assert view.to_arrow().read_all().num_rows == 1
            assert view.to_arrow().read_all().num_rows == 1  # it did not close the view

    def test_a_reader_ends_with_its_store(self, store: EventStore) -> None:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        store.save_many(EVENTS)
        reader = store.to_arrow()
        store.close()
        with pytest.raises(StoreClosed):
            reader.read_all()
        del reader
        gc.collect()

    def test_pandas_has_the_events_that_a_search_finds(self, store: EventStore) -> None:
        pytest.importorskip("pandas", reason="pandas is not installed")
        assert store.to_pandas().columns.tolist() == FIELDS
        store.save_many(EVENTS)
        frame = store.to_pandas(order="desc")
        assert frame.columns.tolist() == FIELDS
        assert [Event(**row) for row in frame.to_dict("records")] == EVENTS[::-1]

    def test_polars_has_the_events_that_a_search_finds(self, store: EventStore) -> None:
        pytest.importorskip("polars", reason="polars is not installed")
        assert store.to_polars().columns == FIELDS
        store.save_many(EVENTS)
        frame = store.to_polars(order="desc")
        assert [Event(**row) for row in frame.to_dicts()] == EVENTS[::-1]

    @pytest.mark.parametrize("name", ["pyarrow", "pandas", "polars"])
    def test_a_missing_library_is_named_with_its_extra(
        self, store: EventStore, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, name, None)
        extra = name.removeprefix("py")
        with pytest.raises(ExtraMissing, match=rf"{name} is not .*'lmdbstore\[{extra}\]'"):
            getattr(store, f"to_{extra}")()

    def test_wrong_arguments_are_refused_by_the_call(self, store: EventStore) -> None:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        with pytest.raises(InvalidQuery, match="match"):
            store.to_arrow(match="(")
        view: Any = store
        with pytest.raises(TypeError, match=r"to_arrow\(\) got an unexpected keyword .*'flag'"):
            view.to_arrow(flag="x")
        assert _is_free(store)


def _is_free(store: EventStore) -> bool:
    """Whether the store can be written, and read in a new snapshot."""
    store.save(Event("free"))
    with store.snapshot() as view:
        found: EventView = view
        return "free" in found
