"""How many events have a term, inside a read transaction: the live ones, and those of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmdbstore.disk import format as fmt
from lmdbstore.records.layout import digest
from lmdbstore.records.record import flag_name
from lmdbstore.records.run import Run

from .cursor import number
from .one import event_at

if TYPE_CHECKING:
    from lmdb import Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.disk.databases import Databases

__all__ = ["flag_totals", "total_of"]


def total_of(txn: Transaction[Any], databases: Databases, term: bytes) -> int:
    """Return how many events have a term; O(1)."""
    sealed = txn.get(term, db=databases.totals)
    with txn.cursor(db=databases.postings) as postings:
        return number(postings, term) + (0 if sealed is None else fmt.decode_number(bytes(sealed)))


def flag_totals(txn: Transaction[Any], databases: Databases) -> dict[str, int]:
    """Return every flag with its number of events."""
    numbers: dict[bytes, int] = {}
    with txn.cursor(db=databases.totals) as totals:
        for key, value in totals.iternext():
            numbers[bytes(key)] = fmt.decode_number(bytes(value))
    with txn.cursor(db=databases.postings) as postings:
        for key in postings.iternext_nodup(keys=True, values=False):
            numbers[bytes(key)] = numbers.get(bytes(key), 0) + postings.count()
    flags = [key for key in numbers if fmt.is_flag(key)]
    named = {_name(txn, databases, key): numbers[key] for key in flags}
    return dict(sorted(named.items()))


def _name(txn: Transaction[Any], databases: Databases, key: bytes) -> str:
    return flag_name(key, None) if fmt.is_whole(key) else flag_name(key, _any(txn, databases, key))


def _any(txn: Transaction[Any], databases: Databases, term: bytes) -> Event | None:
    """Return any event that has a term."""
    found = txn.get(term, db=databases.postings)
    if found is not None:
        return event_at(txn, databases, bytes(found))
    posting = txn.get(term, db=databases.run_postings)
    if posting is None:
        return None
    end = fmt.posting_key(posting)
    value = txn.get(end, db=databases.runs)
    if value is None:
        return None
    run = Run(end, value)
    run.check_front()
    slots = run.common([max(run.find(digest(term).to_bytes(8, "little")), 0)])
    return run.event(slots[0]) if slots else None
