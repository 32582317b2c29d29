"""The executor: runs a plan, page by page.

Rules: each page is read in a short transaction of its own, and nothing is open when it is returned.
The unread part is a range of timeline keys, inclusive on both sides. Each read shrinks it from the
side where reading began, so a search continues after the last key it read, regardless of writes,
deletes, sealing, forks and map growth in the meantime. An event saved after the search began has a
local id at or above the watermark and is left out.

Sealed and live events are read apart and merged by key. The sealed ones are read first, up to some
key; then the live ones in the same range, of which there are few.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from lmdbstore.contract.commits.paged import Page
from lmdbstore.contract.left_out import LeftOut, Losses
from lmdbstore.contract.query import Position
from lmdbstore.disk import format as fmt

from .live import LiveReader
from .sealed import SealedReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdb import Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.disk.databases import Databases, Reads

    from .live import Live
    from .plan import Plan
    from .sealed import Sealed

__all__ = ["Executor"]

# Events. The first page is small, so that it comes at once; later ones are large, for speed.
# Decoding should not trigger the garbage collector, which CPython runs after 700 new container
# objects; an event has two.
FIRST_PAGE, LONGEST_PAGE = 128, 256
LONGEST_PATTERN = 1024  # live events whose contents are looked through at once
GROWTH = 4
KEY_CHUNK = 16_384  # events that are only counted


class _Place(NamedTuple):
    """The part of a search that is still to be read."""

    low: bytes
    high: bytes
    left: int | None  # how many events may still be returned
    size: int  # of the next page
    ended: bool


class _Part(NamedTuple):
    """What one transaction read."""

    events: list[Event]
    position: Callable[[int], Position]
    number: int  # of events
    reached: bytes | None  # the last key that was read; None at the end of the range


class Executor:
    """The unread rest of a search."""

    def __init__(self, reads: Reads, plan: Plan, watermark: bytes) -> None:
        """Run `plan`; `watermark` is the next local id at the time of the call, encoded."""
        self._reads = reads
        self._query = plan.query
        self._plan = plan
        self._counting = False  # whether only the number of events is needed
        self._losses = Losses() if plan.query.skip_damaged else None
        self._sealed = SealedReader(plan, fmt.decode_number(watermark), self._losses)
        self._live = LiveReader(plan, watermark, self._losses)
        self.left_out = LeftOut()  # so far
        self.reached: Position | None = None  # nothing matches between the last event and this
        low, high = plan.bounds
        left = plan.query.limit
        size = max(FIRST_PAGE, min(left or 0, LONGEST_PAGE))
        self._place = _Place(low, high, left, size, ended=bool(plan.nothing))

    def next_page(self) -> Page[Event, Position] | None:
        """Return the next events, or None at the end.

        If none of the events of some runs match, the page is empty: so a search that is closed ends
        soon. The place moves on as the last step before this returns: after an interrupt, the next
        call reads the same page again.
        """
        if self._place.ended:
            return None
        part = self._reads(self._next_part, views=True)
        page, place = Page(part.events, part.position), self._place_after(part)
        if self._losses is not None:
            self.left_out = self._losses.total()
        self.reached = _reached(part)
        self._place = place
        return page

    def count(self) -> int:
        """Return how many events remain, to the end."""
        self._counting = True
        total = 0
        while not self._place.ended:
            if self._plan.only_range and self._place.left is None:
                part = self._reads(self._counted_runs, views=True)
            else:
                self._place = self._place._replace(size=self._place.left or KEY_CHUNK)
                part = self._reads(self._next_part, views=True)
            left = self._place.left
            total += part.number if left is None else min(part.number, left)
            self._place = self._place_after(part)
        return total

    def _place_after(self, part: _Part) -> _Place:
        """Return the place after what was read."""
        low, high, left, size, _ = self._place
        reached = part.reached
        if left is not None:
            left = max(left - part.number, 0)
        if reached is None:
            return self._place._replace(left=left, ended=True)
        if self._query.descending:
            high = fmt.before_key(reached)
        else:
            low = fmt.after_key(reached)
        return _Place(low, high, left, min(size * GROWTH, LONGEST_PAGE), left == 0 or low > high)

    # -- reading a page: inside of a transaction --------------------------------------------------

    def _next_part(self, txn: Transaction[Any], databases: Databases) -> _Part:
        low, high, left, size, _ = self._place
        most = size if left is None else min(size, left)
        counting, descending = self._counting, self._query.descending
        live_at = None
        if txn.stat(databases.live)["entries"]:
            live_at = self._live.first(txn, databases, low, high)
        sealed = self._sealed.read(
            txn, databases, low, high, most, live_at, counting=counting, exact=left is not None
        )
        reached = sealed.reached
        if live_at is None or (
            reached is not None and _is_beyond(live_at, reached, descending=descending)
        ):
            return _sealed_part(sealed)
        if descending:
            low, high = low if reached is None else reached, live_at
        else:
            low, high = live_at, high if reached is None else reached
        if counting:
            number = sealed.number + self._counted_live(txn, databases, low, high, left)
            return _Part([], _nowhere, number, reached)
        # Contents are looked through in a whole chunk, of which few events are decoded.
        size = LONGEST_PATTERN if self._live.reads_contents else most
        live = self._live.read(txn, databases, low, high, size)
        part = _merged(sealed._replace(reached=reached), live, descending=descending)
        if left is None or part.number <= left:
            return part
        return part._replace(events=part.events[:left], number=left)

    def _counted_runs(self, txn: Transaction[Any], databases: Databases) -> _Part:
        """Count the sealed events of the whole range, and the live ones, by their keys."""
        low, high = self._place.low, self._place.high
        number = self._sealed.count(txn, databases, low, high)
        number += self._counted_live(txn, databases, low, high, None)
        return _Part([], _nowhere, number, None)

    def _counted_live(
        self,
        txn: Transaction[Any],
        databases: Databases,
        low: bytes,
        high: bytes,
        most: int | None,
    ) -> int:
        """Count the live events of a range that match, or at least `most` of them."""
        size = LONGEST_PATTERN if self._live.reads_contents else KEY_CHUNK
        number = 0
        while low <= high and (most is None or number < most):
            live = self._live.read(txn, databases, low, high, size, counting=True)
            number += len(live.keys)
            if live.reached is None:
                break
            if self._query.descending:
                high = fmt.before_key(live.reached)
            else:
                low = fmt.after_key(live.reached)
        return number


def _is_beyond(key: bytes, reached: bytes, *, descending: bool) -> bool:
    return key < reached if descending else key > reached


def _reached(part: _Part) -> Position | None:
    """Return the place after a part in which nothing matches."""
    if part.events or part.reached is None:
        return None
    position = fmt.decode_key(part.reached)
    return position if position.possible else None


def _nowhere(_: int) -> Position:
    raise IndexError("an empty page has no positions")


def _sealed_part(sealed: Sealed) -> _Part:
    events, parts = sealed.events.copy(), sealed.local_ids  # the page drops its own list

    def position(n: int) -> Position:
        ends = list(accumulate(map(len, parts)))
        part = bisect_right(ends, n)
        return Position(events[n].timestamp, parts[part][n - ends[part]])

    return _Part(sealed.events, position, sealed.number, sealed.reached)


def _merged(sealed: Sealed, live: Live, *, descending: bool) -> _Part:
    """Merge what was read of the same range; if live events are left, up to the last one."""
    reached = sealed.reached if live.reached is None else live.reached
    if not sealed.events:
        keys = live.keys
        return _Part(live.events, lambda n: fmt.decode_key(keys[n]), len(keys), reached)
    local_ids = chain.from_iterable(sealed.local_ids)
    rows = [
        (Position(event.timestamp, local_id), event)
        for event, local_id in zip(sealed.events, local_ids, strict=True)
    ]
    if live.reached is not None:
        last = fmt.decode_key(live.reached)
        rows = [row for row in rows if (row[0] >= last if descending else row[0] <= last)]
    if live.keys:
        rows += zip(map(fmt.decode_key, live.keys), live.events, strict=True)
        rows.sort(key=itemgetter(0), reverse=descending)
    positions = [position for position, _ in rows]
    events = [event for _, event in rows]
    return _Part(events, positions.__getitem__, len(events), reached)
