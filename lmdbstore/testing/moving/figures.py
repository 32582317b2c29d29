"""The contract of the figures that a store has of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.errors import InvalidQuery, StoreClosed

if TYPE_CHECKING:
    from lmdbstore.contract.api import EventStore


def figures(store: EventStore) -> tuple[object, ...]:
    """Return what every store knows of itself."""
    stats = store.stats()
    return stats.events, stats.oldest, stats.newest, stats.flags, stats.beyond_year_5000


class FigureContract:
    """`stats`."""

    def test_stats_are_those_of_the_present_state(self, store: EventStore) -> None:
        assert figures(store) == (0, None, None, 0, 0)
        store.save_many(
            [
                Event("b", timestamp=2.5, tags=["x", "y"]),
                Event("a", timestamp=-1e300, tags=["y"]),
                Event("c", timestamp=1_750_775_785_000.0),
            ]
        )
        assert figures(store) == (3, -1e300, 1_750_775_785_000.0, 2, 1)
        store.delete("c")
        store.save(Event("b", timestamp=0.0), on_duplicate="replace")
        assert figures(store) == (2, -1e300, 0.0, 1, 0)

    def test_stats_of_wrong_arguments_and_closed_stores(self, store: EventStore) -> None:
        with pytest.raises(InvalidQuery, match="timeout"):
            store.stats(timeout=-1)
        store.close()
        with pytest.raises(StoreClosed):
            store.stats()
