"""Live events in a write transaction: their records and postings, many at once.

Rules: ids are not touched: an id leads to the same timeline key, live or sealed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore.disk import format as fmt
from lmdbstore.records.events import by_term, live_events
from lmdbstore.records.record import TermKeys

from .transaction import WORTH_APPENDING

if TYPE_CHECKING:
    from lmdbstore.records.events import Events

    from .transaction import WriteTransaction

__all__ = ["put_live", "take_live"]

WORTH_CLEARING = 4  # if the others are at most one in this many, all are removed and they are put


def put_live(txn: WriteTransaction, events: Events) -> None:
    """Put events, in time order, among the live ones."""
    databases = txn.databases
    items = events.live_items()
    at_end = len(items) >= WORTH_APPENDING and items[0][0] > txn.last_key(databases.live)
    txn.put_all(databases.live, items, append=at_end)
    txn.put_postings(databases.postings, by_term(events.keys, events.terms))


def take_live(txn: WriteTransaction, events: Events, kept: Events | None = None) -> None:
    """Remove events, in time order, from the live ones.

    `kept` are other live events: all others, if the number fits.
    """
    databases, number = txn.databases, len(events.keys)
    if not number:
        return
    others = txn.entries(databases.live) - number
    if others * WORTH_CLEARING <= number:
        if kept is None or len(kept.keys) != others:
            kept = _others(txn, events)
        txn.clear(databases.live)
        txn.clear(databases.postings)
        if kept.keys:
            put_live(txn, kept)
        return
    for key in events.keys:
        txn.remove(databases.live, key)
    for term, keys in sorted(by_term(events.keys, events.terms).items()):
        for key in keys:
            txn.remove(databases.postings, term, key)


def _others(txn: WriteTransaction, events: Events) -> Events:
    """Return the live events that are none of these."""
    taken = set(events.keys)
    items = txn.first_items(txn.databases.live, fmt.FIRST_KEY)
    return live_events([(key, value) for key, value in items if key not in taken], TermKeys())
