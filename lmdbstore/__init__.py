"""lmdbstore: an embedded event store on LMDB.

from lmdbstore import Event, LMDBEventStore

with LMDBEventStore("events") as store:
    store.save(Event(source="door", tags=["alarm"], content="opened by force"))
    for event in store.search(match="force", order="desc", limit=10):
        print(event.timestamp, event.content)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .care.compact import Compacted
from .care.purge import Purged
from .care.statistics import StoreStatistics
from .check.findings import Finding, FindingKind
from .check.repair import Repaired, repair
from .check.verify import verify
from .contract.api import EventStore, EventView
from .contract.commits.cursor import Cursor, CursorInfo, Lag
from .contract.counting.facets import Facet
from .contract.event import Event
from .contract.left_out import Count, LeftOut
from .contract.memory import MemoryEventStore
from .contract.search import Changes, Search
from .contract.types import SaveResult
from .errors import (
    CompressionMissing,
    CursorLost,
    DuplicateEvent,
    EventNotFound,
    EventReadException,
    EventStoreException,
    EventWriteException,
    ExtraMissing,
    InvalidEvent,
    InvalidOption,
    InvalidQuery,
    OpenBusy,
    ReadBusy,
    ReadOnlyStore,
    StoreBusy,
    StoreClosed,
    StoreDamaged,
    StoreFull,
    StoreInUse,
    StoreMoved,
    StoreOpenError,
    WriteBusy,
)
from .processes.snapshot_notes import SnapshotInfo
from .store import LMDBEventStore
from .version import __version__ as __version__

if TYPE_CHECKING:
    from .address import open_store
    from .handler.handler import LoggingHandler
    from .sql.store import SQLEventStore as SQLEventStore
    from .transfer.copying import Copied, copy_events

__all__ = [
    "Changes",
    "Compacted",
    "CompressionMissing",
    "Copied",
    "Count",
    "Cursor",
    "CursorInfo",
    "CursorLost",
    "DuplicateEvent",
    "Event",
    "EventNotFound",
    "EventReadException",
    "EventStore",
    "EventStoreException",
    "EventView",
    "EventWriteException",
    "ExtraMissing",
    "Facet",
    "Finding",
    "FindingKind",
    "InvalidEvent",
    "InvalidOption",
    "InvalidQuery",
    "LMDBEventStore",
    "Lag",
    "LeftOut",
    "LoggingHandler",
    "MemoryEventStore",
    "OpenBusy",
    "Purged",
    "ReadBusy",
    "ReadOnlyStore",
    "Repaired",
    "SaveResult",
    "Search",
    "SnapshotInfo",
    "StoreBusy",
    "StoreClosed",
    "StoreDamaged",
    "StoreFull",
    "StoreInUse",
    "StoreMoved",
    "StoreOpenError",
    "StoreStatistics",
    "WriteBusy",
    "copy_events",
    "open_store",
    "repair",
    "verify",
]
if not TYPE_CHECKING:  # a type checker would take every name for one of the package

    def __getattr__(name: str) -> object:
        """Import at its first use what only some programs need."""
        if name == "SQLEventStore":  # not in `__all__`: without its extra it cannot be read
            from .address import sql_event_store

            found = globals()[name] = sql_event_store()
            return found
        if name == "LoggingHandler":
            from .handler import handler as module
        elif name in {"Copied", "copy_events"}:
            from .transfer import copying as module
        elif name == "open_store":
            from . import address as module
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        found = globals()[name] = getattr(module, name)
        return found


def __dir__() -> list[str]:
    """Return the public names alone: no module, and nothing that was imported to define them."""
    return sorted([*__all__, "__version__"])
