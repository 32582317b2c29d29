"""How many events have a term, inside a read transaction: the live ones, and those of runs.

The planner chooses by these numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import next_local_id, number_of_events
from lmdbstore.records.layout import digest
from lmdbstore.records.record import term_name
from lmdbstore.records.run import Run

from .cursor import number
from .one import event_at
from .plan import Plan, make_plan, terms_of

if TYPE_CHECKING:
    from lmdb import Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.contract.query import Query
    from lmdbstore.disk.databases import Databases

__all__ = ["planned", "total_of", "totals_of"]


def planned(txn: Transaction[Any], databases: Databases, query: Query) -> tuple[Plan, bytes]:
    """Return the plan of a query, and the local id, encoded, from which on no event shows."""
    watermark = next_local_id(txn, databases)
    if query.at is not None:
        watermark = min(watermark, fmt.encode_number(query.at + 1))
    events = number_of_events(txn, databases)
    runs = txn.stat(databases.runs)["entries"]
    postings = {term: total_of(txn, databases, term.key) for term in terms_of(query)}
    return make_plan(query, events, postings, runs=runs), watermark


def total_of(txn: Transaction[Any], databases: Databases, term: bytes) -> int:
    """Return how many events have a term; O(1)."""
    sealed = txn.get(term, db=databases.totals)
    with txn.cursor(db=databases.postings) as postings:
        return number(postings, term) + (0 if sealed is None else fmt.decode_number(bytes(sealed)))


def totals_of(
    txn: Transaction[Any], databases: Databases, *, sources: bool = False
) -> dict[str, int]:
    """Return every flag with its number of events, or every source, in order of the text."""
    numbers: dict[bytes, int] = {}
    with txn.cursor(db=databases.totals) as totals:
        for key, value in totals.iternext():
            numbers[bytes(key)] = fmt.decode_number(bytes(value))
    with txn.cursor(db=databases.postings) as postings:
        for key in postings.iternext_nodup(keys=True, values=False):
            numbers[bytes(key)] = numbers.get(bytes(key), 0) + postings.count()
    terms = [key for key in numbers if fmt.is_flag(key) is not sources]
    named = {_name(txn, databases, key): numbers[key] for key in terms}
    return dict(sorted(named.items()))


def _name(txn: Transaction[Any], databases: Databases, key: bytes) -> str:
    return term_name(key, None) if fmt.is_whole(key) else term_name(key, _any(txn, databases, key))


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
