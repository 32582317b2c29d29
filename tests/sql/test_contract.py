"""The store on PostgreSQL keeps the contract: on one server, and on a coordinator with shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lmdbstore.testing import EventStoreContract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore import EventStore


class TestOneServer(EventStoreContract):
    @pytest.fixture
    def store(self, single: str, schema: str) -> Iterator[EventStore]:
        from lmdbstore.sql.store import SQLEventStore

        with SQLEventStore(single, schema=schema) as store:
            yield store


class TestShards(EventStoreContract):
    @pytest.fixture
    def store(self, sharded: str, schema: str) -> Iterator[EventStore]:
        from lmdbstore.sql.store import SQLEventStore

        with SQLEventStore(sharded, schema=schema) as store:
            yield store
