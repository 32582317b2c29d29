"""Reading events in the order of commits, page by page.

Rules: local ids are given in the order of commits, so a range of them is a part of the feed. A
window of it is planned in one transaction: the timeline keys of its events. Each page reads some of
these events in a transaction of its own, and nothing is open in between. An event keeps its key
until it is deleted, wherever its record is. So it does not matter whether events are sealed,
written again in other runs, or live, nor what changes between two pages. Events that are deleted
before their page is read are left out: a plan has them as long as their run does.

`live` has no order of local ids, so a plan looks at all of its keys. `commits` has an entry for
each run whose highest local id is in the rest of the feed. Runs overlap in local ids where events
came late, so a plan may look at many runs: windows are large, and take little memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import next_local_id
from lmdbstore.disk.keys import local_ids_of
from lmdbstore.errors import StoreDamaged
from lmdbstore.read.one import event_at
from lmdbstore.records.run import Run, positions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdb import Cursor, Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.disk.databases import Databases, Reads

__all__ = ["Feed", "FeedPage"]

# Events. The first window is small, so that the first page comes at once.
FIRST_WINDOW, LONGEST_WINDOW = 128, 1 << 14
LONGEST_PAGE = 256
PAGE_BYTES = 1 << 20  # about as many are read at once, or one event
GROWTH = 4
MANY = 16  # events of a run: then they are read together


class FeedPage(NamedTuple):
    """Events in the order of commits; none, if all that was read does not count."""

    local_ids: list[int]
    events: list[Event]
    reached: int  # the last local id that was read, whether there is an event or not


class _Window(NamedTuple):
    """The planned part of the feed."""

    keys: list[bytes]  # in the order of local ids
    sizes: list[int]  # about how many bytes each event takes
    following: int  # the first local id after it
    read: int = 0  # so many of the keys were read


class Feed:
    """The unread rest of the feed, or of a part of it."""

    def __init__(
        self,
        reads: Reads,
        low: int,
        high: int = fmt.LOCAL_IDS,
        chosen: Callable[[list[Event]], list[bool]] | None = None,
    ) -> None:
        """Read the events with local ids from `low` on and below `high`, as far as there are any.

        `chosen` says which of some events count.
        """
        self._reads = reads
        self._high = high
        self._chosen = chosen
        # The window, and the size of the next one.
        self.place: tuple[_Window, int] = _Window([], [], low), FIRST_WINDOW

    def next_page(self) -> FeedPage | None:
        """Return the next page; None if nothing more is committed.

        The place moves on as the last step before this returns: after an interrupt, the next call
        reads the same page again.
        """
        window, size = self.place
        if window.read == len(window.keys):
            low = window.following
            plan = partial(_planned, low=low, high=self._high, most=size)
            window = self._reads(plan, views=True)
            if window.following <= low:
                return None
            size = min(size * GROWTH, LONGEST_WINDOW)
        stop = _stop(window)
        keys = window.keys[window.read : stop]
        found = self._counting(self._reads(partial(_events, keys=keys), views=True))
        whole = stop == len(window.keys)
        reached = window.following - 1 if whole else local_ids_of(keys)[-1]
        page = FeedPage([local_id for local_id, _ in found], [event for _, event in found], reached)
        self.place = window._replace(read=stop), size
        return page

    def _counting(self, events: dict[int, Event]) -> list[tuple[int, Event]]:
        """Return the events that count, in order."""
        found = sorted(events.items())
        if self._chosen is None:
            return found
        return list(compress(found, self._chosen([event for _, event in found])))


def _stop(window: _Window) -> int:
    """Return where the next page of a window ends."""
    size = 0
    last = min(window.read + LONGEST_PAGE, len(window.keys))
    for place in range(window.read, last):
        size += window.sizes[place]
        if size >= PAGE_BYTES:
            return place + 1
    return last


# -- planning: inside of a transaction -------------------------------------------------------------


class _Found:
    """The lowest local ids that were found, at least `most` and one more, with their places."""

    def __init__(self, low: int, high: int, most: int) -> None:
        self._most = most
        self.low, self.high = low, high  # of what may still be among them
        self.rows: list[tuple[int, int, int]] = []  # local id, number of its run, slot

    def add(self, rows: list[tuple[int, int, int]]) -> None:
        self.rows += rows
        if len(self.rows) > self._most + self._most // 4:
            self.cut()

    def cut(self) -> bool:
        """Keep the lowest ones; return whether there are others."""
        self.rows.sort()
        if len(self.rows) <= self._most:
            return False
        self.high = self.rows[self._most][0]
        del self.rows[self._most :]
        return True


LIVE = -1  # instead of the number of a run


def _planned(
    txn: Transaction[Any], databases: Databases, *, low: int, high: int, most: int
) -> _Window:
    """Plan the first events from a local id on; their window is empty if there are none yet."""
    high = min(high, fmt.decode_number(next_local_id(txn, databases)))
    if high <= low:
        return _Window([], [], low)
    found = _Found(low, high, most)
    with txn.cursor(db=databases.live) as cursor:
        live = list(map(bytes, cursor.iternext(values=False)))
    local_ids = local_ids_of(live)
    found.add([(n, LIVE, place) for place, n in enumerate(local_ids) if low <= n < high])
    runs = list[Run]()
    for lowest, end in _ends(txn, databases, low):
        if lowest >= found.high:
            break
        run, number, inside = _run(txn, databases, end), len(runs), range(low, found.high)
        found.add([(n, number, slot) for slot, n in enumerate(run.local_ids()) if n in inside])
        runs.append(run)
    found.cut()
    chosen = Counter(number for _, number, _ in found.rows)
    keys_of = {
        number: runs[number].keys()
        for number, events in chosen.items()
        if number != LIVE and events >= MANY
    }
    keys, sizes = list[bytes](), list[int]()
    for _, number, slot in found.rows:
        if number == LIVE:
            keys.append(live[slot])
            sizes.append(len(txn.get(live[slot], db=databases.live) or b""))
        else:
            run = runs[number]
            keys.append(keys_of[number][slot] if number in keys_of else run.key(slot))
            sizes.append(len(run) // run.events)
    return _Window(keys, sizes, found.high)


def _ends(txn: Transaction[Any], databases: Databases, low: int) -> Iterator[tuple[int, bytes]]:
    """Yield the runs that have local ids from `low` on, by their lowest ones."""
    with txn.cursor(db=databases.commits) as cursor:
        if not cursor.set_range(fmt.encode_number(low)):
            return
        # An entry begins with the lowest local id.
        entries = sorted(map(bytes, cursor.iternext(keys=False)))
    yield from map(fmt.decode_commit, entries)


def _run(txn: Transaction[Any], databases: Databases, end: bytes) -> Run:
    value = txn.get(end, db=databases.runs)
    if value is None:
        raise StoreDamaged("commits names a run that is not there; verify the store")
    run = Run(end, value)
    run.check_front()
    return run


# -- reading: inside of a transaction --------------------------------------------------------------


def _events(txn: Transaction[Any], databases: Databases, *, keys: list[bytes]) -> dict[int, Event]:
    """Return the events that are still there, by their local ids; raises StoreDamaged."""
    keys = sorted(keys)
    found: dict[int, Event] = {}
    place = 0
    with txn.cursor(db=databases.runs) as cursor:
        while place < len(keys):
            sealed = cursor.set_range(keys[place])
            stop = bisect_right(keys, bytes(cursor.key()), place) if sealed else len(keys)
            some = keys[place:stop]
            if sealed and len(some) >= MANY:
                found |= _of_run(txn, databases, cursor, some)
            for local_id, key in zip(local_ids_of(some), some, strict=True):
                event = None if local_id in found else event_at(txn, databases, key)
                if event is not None:
                    found[local_id] = event
            place = stop
    return found


def _of_run(
    txn: Transaction[Any], databases: Databases, cursor: Cursor[Any], keys: list[bytes]
) -> dict[int, Event]:
    """Return those of many events that are in the run at a cursor."""
    run = Run(bytes(cursor.key()), cursor.value())
    run.check_front()
    deleted = set(positions(bytes(txn.get(run.end, db=databases.dead, default=b""))))
    wanted = set(local_ids_of(keys))
    slots = {
        local_id: slot
        for slot, local_id in enumerate(run.local_ids())
        if local_id in wanted and slot not in deleted
    }
    return dict(zip(slots, run.select(list(slots.values())), strict=True))
