"""Making signatures of runs, and removing those that are no longer correct, in a write transaction.

Rules: only a run that is complete in the timeline is signed; the tail after the last run waits
until it holds `RUN` events. The code that puts a record calls `unsign` with its key in the same
transaction. Deleting needs no change: a signature may cover more than the run holds. But code that
deletes many events calls `unsign_empty`, so that signatures of empty runs do not pile up.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.disk import format as fmt
from lmdbstore.patterns.signature import signature
from lmdbstore.read.runs import RUN

from .change import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lmdbstore.errors import EventStoreException

    from .transaction import WriteTransaction

__all__ = ["Sign", "Signed", "sign", "sign_all", "unsign", "unsign_empty", "unsigned_since"]


SIGN_EVENTS = 10_000  # events that one transaction of `Sign` signs, approximately


class Signed(NamedTuple):
    """The result of `sign`."""

    events: int
    next_key: bytes | None  # where to continue; None when nothing is left
    tail: int  # events after the last run, if the end was reached


def unsigned_since(txn: WriteTransaction) -> int:
    """Return how many events may wait for a signature at the end of the timeline, at most."""
    mark = txn.get(txn.databases.meta, fmt.SIGNED)
    return txn.next_local_id - (fmt.decode_number(mark) if mark else 0)


def unsign(txn: WriteTransaction, keys: Sequence[bytes]) -> None:
    """Remove the signatures of the runs that contain any of the sorted timeline keys."""
    for first, _ in _runs_of(txn, keys):
        txn.remove(txn.databases.signatures, first)


def unsign_empty(txn: WriteTransaction, keys: Sequence[bytes]) -> None:
    """Remove the signatures of the runs that hold no event any more; else like `unsign`."""
    for first, end in _runs_of(txn, keys):
        event = txn.first_key(txn.databases.timeline, first)
        if not event or event >= end:
            txn.remove(txn.databases.signatures, first)


def _runs_of(txn: WriteTransaction, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the first key and the end of each run that contains any of the sorted keys."""
    signatures = txn.databases.signatures
    place = 0
    while place < len(keys) and keys[place] < txn.signed_end:
        key = keys[place]
        run = txn.floor(signatures, key)
        if run is not None and key < fmt.run_end(run[1]):
            end = fmt.run_end(run[1])
            yield run[0], end
            place = bisect_left(keys, end, place)
            continue
        following = txn.ceiling(signatures, key)
        if following is None:
            return
        place = bisect_left(keys, following[0], place)


def sign(txn: WriteTransaction, key: bytes, most: int, *, whole: bool) -> Signed:
    """Sign the events after the last run that begins at or before `key`, about `most` of them.

    `whole`: a gap between two runs is signed even if it is shorter than a run, unless it is empty.
    """
    signatures = txn.databases.signatures
    before = txn.floor(signatures, key)
    at = fmt.FIRST_KEY if before is None else fmt.run_end(before[1])
    signed = 0
    while signed < most:
        following = txn.ceiling(signatures, at)
        if following is not None and following[0] == at:  # no gap
            at = fmt.run_end(following[1])
            continue
        end = None if following is None else following[0]
        items = txn.first_items(txn.databases.timeline, at, end, RUN)
        if len(items) < RUN:
            if following is None:
                _mark(txn, len(items))
                return Signed(signed, None, len(items))
            if not whole or not items:
                at = fmt.run_end(following[1])
                continue
        short = len(items) < RUN
        run_end = end if short and end is not None else fmt.after_key(items[-1][0])
        _put(txn, at, run_end, items)
        signed += len(items)
        at = run_end
    return Signed(signed, at, 0)


def _put(
    txn: WriteTransaction, first: bytes, end: bytes, items: Sequence[tuple[bytes, bytes]]
) -> None:
    contents = fmt.contents_of([record for _, record in items])
    txn.put(txn.databases.signatures, first, fmt.run_value(signature(contents), end))
    txn.signed_end = max(txn.signed_end, end)


def _mark(txn: WriteTransaction, tail: int) -> None:
    """Note which local ids are done, so that the tail is only checked again when it has grown."""
    txn.set(txn.databases.meta, fmt.SIGNED, fmt.encode_number(txn.next_local_id - tail))


class Sign(Change):
    """Sign the runs without a signature, a bounded piece each time that this is applied."""

    alone = True

    def __init__(self, *, rebuild: bool) -> None:
        """Sign from the beginning; with `rebuild` all signatures are removed first."""
        self._rebuild = rebuild
        self.signed = 0
        self.next_key: bytes | None = fmt.FIRST_KEY  # None when it is finished

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        if self._rebuild:
            txn.clear(txn.databases.signatures)
        done = sign(txn, self.next_key or fmt.FIRST_KEY, SIGN_EVENTS, whole=True)
        self._rebuild = False
        self.signed += done.events
        self.next_key = done.next_key
        return None


def sign_all(write: Callable[[Change], None], *, rebuild: bool) -> int:
    """Sign all runs without a signature, with `write`; return how many events were signed."""
    change = Sign(rebuild=rebuild)
    while change.next_key is not None:
        write(change)
    return change.signed
