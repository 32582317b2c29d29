"""Both stores keep the contract; the LMDB store does so with every option that changes how it works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from indexes import assert_indexes_agree

from lmdbstore import LMDBEventStore, MemoryEventStore
from lmdbstore.testing import EventStoreContract

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lmdbstore import EventStore


class TestMemory(EventStoreContract):
    @pytest.fixture
    def store(self) -> Iterator[EventStore]:
        with MemoryEventStore() as store:
            yield store


class TestLMDB(EventStoreContract):
    """As it is by default: every save is on the disk when it returns."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[EventStore]:
        with LMDBEventStore(tmp_path / "events") as store:
            yield store
        assert_indexes_agree(tmp_path / "events")
