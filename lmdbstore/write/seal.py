"""Sealing: which live events are moved into runs, and when; in a write transaction.

Rules: sealing is part of a write and needs no thread. The events at the end of the timeline, after
the last run, fill new runs. An event at or before the end of a run is late: it waits live until
`LATE` of them belong to one run, and is sealed into that run with the others. A single save seals
one run at most, so that it stays short. Which events are live and which are sealed makes no
difference to a reader.

What takes long is spread: the save after the one that sealed a run makes its signature.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, chain
from typing import TYPE_CHECKING

from lmdbstore.disk import format as fmt
from lmdbstore.disk.keys import local_ids_of
from lmdbstore.patterns.made import RUN, RUN_BYTES
from lmdbstore.records.events import Events, live_events
from lmdbstore.records.layout import LOCAL_ID_SPAN

from .change import Change
from .live import put_live, take_live
from .runs import Runs, postings_of, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdbstore.errors import EventStoreException

    from .transaction import WriteTransaction

__all__ = ["RUN", "place", "seal_all", "seal_due"]

WAITING_BYTES = 2 * RUN_BYTES  # of the values of `live`, as RUN_BYTES: headers may be long
LONGEST = 768  # events; a run with more is split
KEEP = 32  # latest events that stay live: others that come a little late find their place there
LATE = 64  # late events that are worth writing a run again
PIECE_RUNS = 16  # that one transaction of `Seal` looks at
SHORT = 64  # events; a run with fewer has long contents
WAITING = 2 * LATE  # the same as `LATE`, where each of many writes adds a few to each run
LATE_KEYS = 4096  # late events that one save looks at, to find those that are worth sealing
SLACK = 16  # live events more, before those at the end are counted again


def place(txn: WriteTransaction, events: Events) -> None:
    """Put new events, in time order, where they belong: into runs, or among the live ones."""
    if _are_many(events):
        while _seal_next(txn, RUN):  # then those that wait are few
            pass
    last = txn.last_key(txn.databases.runs)
    late = bisect_right(events.keys, last)
    if late:
        _place_late(txn, events.between(0, late))
    if late < len(events.keys):
        _place_last(txn, events.between(late), last)
    _seal_all_due(txn)


def _place_last(txn: WriteTransaction, events: Events, last: bytes) -> None:
    """Seal many new events after the last run, with those that wait; a few wait, too."""
    runs = Runs(txn)
    if not _are_many(events):
        put_live(txn, events)
        return
    waiting = live_events(_waiting(txn, last, RUN), runs.known)
    new = waiting.merged(events) if waiting.keys else events
    short = _short_run(runs, last)
    both = short.merged(new) if short is not None else new
    waited = len(both.keys) - len(events.keys)
    earlier = both.keys[waited] == events.keys[0]
    sealed = _sealed_tail(runs, both, whole=True, joining=waited if earlier else 0)
    before = 0 if short is None else len(short.keys)
    runs.count(both.terms[min(before, sealed) : max(before, sealed)], sealed - before)
    take_live(txn, waiting)
    if sealed < len(both.keys):
        put_live(txn, both.between(sealed))
    runs.finish()


def _are_many(events: Events) -> bool:
    """Whether events fill a run, so that they need not be live first."""
    return (
        len(events.keys) >= RUN
        or sum(map(len, events.contents)) >= RUN_BYTES
        or sum(events.value_sizes()) >= WAITING_BYTES
    )


def _short_run(runs: Runs, end: bytes) -> Events | None:
    """Remove the last run and return its events, if they are so few that others should join."""
    if not end or runs.summary(end).events >= RUN // 2:
        return None
    run = runs.read(end)
    packed, deleted = run.unpacked(runs.known), runs.deleted(run)
    if len(run) >= RUN_BYTES:
        return None
    runs.remove(run, set(chain.from_iterable(packed.terms)))
    return packed.without(deleted)


def _waiting(txn: WriteTransaction, last: bytes, most: int) -> list[tuple[bytes, bytes]]:
    """Return the first live events after the last run; not many more bytes than a run has."""
    first = fmt.after_key(last) if last else fmt.FIRST_KEY
    return txn.first_items(txn.databases.live, first, most, WAITING_BYTES)


def _seal_next(txn: WriteTransaction, most: int, *, signed: bool = True) -> bool:
    """Seal the next run, of up to `most` live events after the last one, if it is complete."""
    runs = Runs(txn, signed=signed)
    items = _waiting(txn, txn.last_key(txn.databases.runs), most)
    events = live_events(items, runs.known)
    for begin, end in _cuts(events, whole=False):
        part = events.between(begin, end)
        runs.put(part, part.keys[-1])
        runs.count(part.terms, len(part.keys))
        take_live(txn, part, events.between(end))
        runs.finish()
        return True
    return False


def _sealed_tail(runs: Runs, events: Events, *, whole: bool, joining: int = 0) -> int:
    """Put runs of events that are after the last one; return how many events are in them."""
    done = 0
    for begin, end in _cuts(events, whole=whole, joining=joining):
        part = events.between(begin, end)
        runs.put(part, part.keys[-1])
        done = end
    return done


def _cuts(events: Events, *, whole: bool, joining: int = 0) -> Iterator[tuple[int, int]]:
    """Yield where complete runs begin and end; `whole`: also the last one, which is not.

    A run is complete if it is as large as what `_waiting` returns: there may be no more to see.
    The first events, `joining` in number, are added to the first run, or are one: so the others are
    cut as if they were alone, and signatures that were made in advance are theirs.
    """
    stop = len(events.keys)
    contents = list(accumulate(map(len, events.contents), initial=0))
    values = list(accumulate(events.value_sizes(), initial=0))
    limits = (contents, RUN_BYTES), (values, WAITING_BYTES)
    begin, first = 0, joining * all(of[joining] <= most for of, most in limits)
    while begin < stop:
        end = first if first - begin > LONGEST - RUN else min(first + RUN, stop)
        found = [bisect_right(of, of[first] + most, first, end + 1) - 1 for of, most in limits]
        cut = max(min(found), begin + 1)
        full = any(of[cut] - of[first] >= most for of, most in limits)
        complete = cut < end or cut - first == RUN or full
        low, high = min(events.local_ids[begin:cut]), max(events.local_ids[begin:cut])
        if not (complete or whole) or high - low >= LOCAL_ID_SPAN:
            return
        yield begin, cut
        begin = first = cut


# -- late events -----------------------------------------------------------------------------------


def _place_late(txn: WriteTransaction, events: Events) -> None:
    """Seal new late events into their runs where there are enough of them; the others wait."""
    runs = Runs(txn)
    begin = 0
    while begin < len(events.keys):
        end = txn.first_key(txn.databases.runs, events.keys[begin])
        stop = bisect_right(events.keys, end, begin)
        some = events.between(begin, stop)
        if not (_are_enough(txn, end, stop - begin) and _merge(runs, end, some)):
            put_live(txn, some)
        begin = stop
    runs.finish()


def _are_enough(txn: WriteTransaction, end: bytes, new: int) -> bool:
    """Whether so many new events, with those that wait, are worth writing a run again."""
    if new >= LATE:
        return True
    first = txn.first_of_run(end)
    waiting = txn.keys_from(txn.databases.live, first, WAITING - new)
    return len(waiting) == WAITING - new and waiting[-1] <= end


def _merge(runs: Runs, end: bytes, added: Events, *, counted: bool = False) -> bool:
    """Seal events into a run, with those that wait for it; False if they cannot be in one run.

    `counted`: the events are from another run, which was removed.
    """
    txn = runs.txn
    first = txn.first_of_run(end)
    items = txn.items_below(txn.databases.live, first, fmt.after_key(end))
    waiting = live_events(items, runs.known)
    run = runs.read(end)
    packed = run.unpacked(runs.known)
    had = postings_of(packed, end)
    packed = packed.without(runs.deleted(run))
    new = added.merged(waiting) if waiting.keys else added
    both = packed.merged(new)
    if max(both.local_ids) - min(both.local_ids) >= LOCAL_ID_SPAN:
        return False
    take_live(txn, waiting)
    runs.forget(run)
    for some in (waiting,) if counted else (waiting, added):
        runs.count(some.terms, len(some.keys))
    *others, last = _split(both)
    for part in others:
        runs.put(part, part.keys[-1], compress=run.is_compressed)
    runs.put(last, end, had=had, compress=run.is_compressed)
    return True


def _split(events: Events) -> list[Events]:
    """Cut events into runs of even length, unless one run can hold them."""
    number, size = len(events.keys), sum(map(len, events.contents))
    values = sum(events.value_sizes())
    pieces = max(
        -(-number // RUN) if number > LONGEST else 1,
        -(-size // (2 * RUN_BYTES)),
        -(-values // (2 * WAITING_BYTES)),
    )
    length = -(-number // min(pieces, number))
    return [events.between(begin, begin + length) for begin in range(0, number, length)]


# -- when ------------------------------------------------------------------------------------------


def seal_due(txn: WriteTransaction) -> None:
    """After a single save: seal a run, if one is complete, or make the signature of the last."""
    due = txn.due
    # Contents of many bytes have no signature until `Seal` makes it. After a run of few events the
    # next one is sealed too: else the live events might become more and more.
    if due.unsigned and sign(txn, due.unsigned.pop(), 2 * RUN_BYTES) >= SHORT:
        return
    live = txn.entries(txn.databases.live)
    if live < RUN + KEEP:
        return
    due.look_at(live)
    if live >= due.tail:
        _seal_tail_due(txn, live, signed=False)
    elif live >= due.late:
        _seal_late_due(txn, signed=False)


def _seal_all_due(txn: WriteTransaction) -> None:
    """After many saves: seal the complete runs."""
    due = txn.due
    due.look_at(txn.entries(txn.databases.live))
    while (live := txn.entries(txn.databases.live)) >= max(RUN + KEEP, due.tail):
        if not _seal_tail_due(txn, live, signed=True):
            break
    # One run only: `_place_late` has sealed late events into the runs that many wait for.
    if txn.entries(txn.databases.live) >= max(RUN + KEEP, due.late):
        _seal_late_due(txn, signed=True)


def _seal_tail_due(txn: WriteTransaction, live: int, *, signed: bool) -> bool:
    """Seal the run after the last one, if it is complete, or note when to look again."""
    due = txn.due
    last = txn.last_key(txn.databases.runs)
    first = fmt.after_key(last) if last else fmt.FIRST_KEY
    tail = len(txn.keys_from(txn.databases.live, first, RUN + KEEP))
    if tail < RUN + KEEP:
        due.tail, due.live = max(live - tail + RUN + KEEP, live + SLACK), live
        return False
    done = _seal_next(txn, RUN + KEEP, signed=signed)
    due.tail, due.live = 0 if done else live + SLACK, live
    return done


def _seal_late_due(txn: WriteTransaction, *, signed: bool) -> None:
    """Seal the late events of the next run that has enough of them; look at some of them only.

    The next call goes on from there. When all were looked at, note when to look again.
    """
    due = txn.due
    due.late = 0
    last = txn.last_key(txn.databases.runs)
    waiting = txn.keys_from(txn.databases.live, due.place, LATE_KEYS)
    more = len(waiting) == LATE_KEYS and waiting[-1] <= last
    del waiting[bisect_right(waiting, last) :]
    begin = 0
    while begin < len(waiting):
        end = txn.first_key(txn.databases.runs, waiting[begin])
        stop = bisect_right(waiting, end, begin)
        if stop - begin >= LATE:
            runs = Runs(txn, signed=signed)
            done = _merge(runs, end, live_events([], runs.known))
            runs.finish()
            if done:
                due.place = fmt.after_key(end)
                return
        elif more and stop == len(waiting):  # the next call sees all that wait for this run
            due.place = waiting[begin]
            return
        begin = stop
        due.place = fmt.after_key(end)
    if not more:
        live = txn.entries(txn.databases.live)
        due.place, due.live = fmt.FIRST_KEY, live
        due.late = live + max(LATE, (live - RUN) // 4)


# -- all of it -------------------------------------------------------------------------------------


class Seal(Change):
    """Seal live events, merge small runs and leave deleted events out, a piece at a time."""

    alone = True

    def __init__(self, *, compress: bool = False) -> None:
        """Begin at the lowest key; `compress`, even if the transaction does not."""
        self._compress = compress
        self.next_key: bytes | None = fmt.FIRST_KEY  # None when it is finished
        self.sealed = 0
        # What `apply` did, until it is committed: it may be applied again, in a larger map.
        self._following: bytes | None = None
        self._found = 0

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        txn.compresses |= self._compress
        before, at = txn.sealed, self.next_key or fmt.FIRST_KEY
        for _ in range(PIECE_RUNS):
            ends = txn.keys_from(txn.databases.runs, at, 2)
            if not ends:
                following = _seal_tail(txn)
                break
            _tidy(txn, *ends)
            following = at = fmt.after_key(ends[0])
        self._following, self._found = following, txn.sealed - before
        return None

    def step(self) -> None:
        """Go on to the next piece, because this one is committed."""
        self.next_key, self.sealed = self._following, self.sealed + self._found


def _tidy(txn: WriteTransaction, end: bytes, following: bytes | None = None) -> None:
    """Write a run again if events wait for it, or were deleted, or if the next can take it in."""
    runs = Runs(txn)
    first = txn.first_of_run(end)
    nothing = live_events([], runs.known)
    if following is not None and _fit_one_run(runs, first, end, following):
        run = runs.read(end)
        packed, deleted = run.unpacked(runs.known), runs.deleted(run)
        runs.remove(run, set(chain.from_iterable(packed.terms)))
        runs.finish()
        runs = Runs(txn)
        _merge(runs, following, packed.without(deleted), counted=True)
    elif runs.has_deleted(end) or txn.has_key_in(txn.databases.live, first, end):
        _merge(runs, end, nothing)
    elif txn.compresses and not runs.read(end).is_compressed:
        runs.rewrite(runs.read(end), set())
    elif not runs.summary(end).signature:
        sign(txn, end)
    runs.finish()


def _fit_one_run(runs: Runs, first: bytes, end: bytes, following: bytes) -> bool:
    """Whether two runs from the key `first` on, and what waits, may be one: few, short, near."""
    if runs.summary(end).events + runs.summary(following).events > RUN:
        return False
    one, other = runs.read(end), runs.read(following)
    one.check_front()
    other.check_front()
    contents, values = one.sizes()[1] + other.sizes()[1], len(one) + len(other)
    if contents > RUN_BYTES or values > WAITING_BYTES:
        return False
    waiting = runs.txn.items_below(runs.txn.databases.live, first, fmt.after_key(following))
    local_ids: list[int] = [one.lowest, one.highest, other.lowest, other.highest]
    local_ids += local_ids_of([key for key, _ in waiting])
    return max(local_ids) - min(local_ids) < LOCAL_ID_SPAN


def _seal_tail(txn: WriteTransaction) -> bytes | None:
    """Seal the first events after the last run; return where to continue, None at the end."""
    runs = Runs(txn)
    items = _waiting(txn, txn.last_key(txn.databases.runs), PIECE_RUNS * RUN)
    if not items:
        return None
    events = live_events(items, runs.known)
    done = _sealed_tail(runs, events, whole=True)
    runs.count(events.terms[:done], done)
    take_live(txn, events.between(0, done))
    runs.finish()
    return fmt.after_key(items[-1][0]) if done else None


def seal_all(write: Callable[[Change], None], *, compress: bool = False) -> int:
    """Seal all events, with `write`; return how many were sealed."""
    change = Seal(compress=compress)
    while change.next_key is not None:
        write(change)
        change.step()
    return change.sealed
