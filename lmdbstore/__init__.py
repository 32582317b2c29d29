"""lmdbstore: an embedded event store on LMDB.

from lmdbstore import Event, LMDBEventStore

with LMDBEventStore("events") as store:
    store.save(Event(source="door", tags=["alarm"], content="opened by force"))
    for event in store.search(match="force", order="desc", limit=10):
        print(event.timestamp, event.content)
"""

from __future__ import annotations

from .api import EventStore, EventView
from .compacting import Compacted
from .errors import (
    DuplicateEvent,
    EventNotFound,
    EventReadException,
    EventStoreException,
    EventWriteException,
    InvalidEvent,
    InvalidOption,
    InvalidQuery,
    ReadOnlyStore,
    StoreClosed,
    StoreDamaged,
    StoreFull,
    StoreInUse,
    StoreOpenError,
)
from .event import Event
from .findings import Finding, FindingKind
from .holders import SnapshotInfo
from .maintenance import verify
from .memory import MemoryEventStore
from .purging import Purged
from .repairing import Repaired, repair
from .search import Search
from .statistics import StoreStatistics
from .store import LMDBEventStore

__all__ = [
    "Compacted",
    "DuplicateEvent",
    "Event",
    "EventNotFound",
    "EventReadException",
    "EventStore",
    "EventStoreException",
    "EventView",
    "EventWriteException",
    "Finding",
    "FindingKind",
    "InvalidEvent",
    "InvalidOption",
    "InvalidQuery",
    "LMDBEventStore",
    "MemoryEventStore",
    "Purged",
    "ReadOnlyStore",
    "Repaired",
    "Search",
    "SnapshotInfo",
    "StoreClosed",
    "StoreDamaged",
    "StoreFull",
    "StoreInUse",
    "StoreOpenError",
    "StoreStatistics",
    "repair",
    "verify",
]
__version__ = "0.1.0"
