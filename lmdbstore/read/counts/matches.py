"""What a query finds in a transaction: runs with the slots that match, and live events.

Rules: all is of the one state that the transaction reads. Of a run, the front is read: it has the
times and the terms of its events. Contents are read only for conditions on contents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmdbstore.disk import format as fmt
from lmdbstore.read.live import LiveReader
from lmdbstore.read.run_range import RunRange
from lmdbstore.read.sealed import SealedReader
from lmdbstore.read.totals import planned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdb import Cursor, Transaction

    from lmdbstore.contract.query import Query
    from lmdbstore.disk.databases import Databases
    from lmdbstore.read.live import Live
    from lmdbstore.records.run import Run, Slots

__all__ = ["Matches"]

LIVE_CHUNK = 1024  # live events that are read at once


class Matches:
    """What a query finds in a transaction."""

    def __init__(self, txn: Transaction[Any], databases: Databases, query: Query) -> None:
        self._txn, self._databases = txn, databases
        self.plan, self._watermark = planned(txn, databases, query)
        self.watermark = fmt.decode_number(self._watermark)  # from which on no event shows
        self._sealed = SealedReader(self.plan, self.watermark, None)

    def part(self, cursor: Cursor[Any]) -> RunRange:
        """Return the range of the query; the cursor is one of `runs`."""
        return RunRange(self._txn, self._databases, cursor, *self.plan.bounds)

    def of_run(self, part: RunRange, end: bytes) -> tuple[Run, Slots]:
        """Return a run with the slots that match."""
        return self._sealed.found_in(part, end)

    def runs(self, part: RunRange) -> Iterator[tuple[Run, Slots]]:
        """Yield the runs in order of time, with the slots that match."""
        return self._sealed.found(part)

    def live(self, *, counting: bool) -> Iterator[Live]:
        """Yield live events in order of time, or with `counting` only their keys."""
        low, high = self.plan.bounds
        reader = LiveReader(self.plan, self._watermark, None)
        txn, databases = self._txn, self._databases
        ended = not txn.stat(databases.live)["entries"]
        while not ended:
            live = reader.read(txn, databases, low, high, LIVE_CHUNK, counting=counting)
            yield live
            ended = live.reached is None or live.reached >= high
            if live.reached is not None:
                low = fmt.after_key(live.reached)
