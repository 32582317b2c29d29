"""What a save does if sealing meets damage in other events: it stays possible.

Rules: sealing reads events that were saved before. If one of them is damaged, or this process
cannot decompress it, the transaction is abandoned, and for a while nothing is sealed: the saves are
carried out again, and their events stay live. Reads and `verify` report the damage. A `save_many`
cannot be carried out again; it raises StoreDamaged, nothing was saved, and the next one works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore.errors import CompressionMissing, StoreDamaged

from .live import put_live
from .seal import place, seal_due

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.records.events import Events

    from .transaction import WriteTransaction

__all__ = ["CannotSeal", "place_or_keep", "seal_unless_damaged"]

REST = 1000  # saves without sealing, before it is tried again


class CannotSeal(StoreDamaged):
    """Sealing met damage; a caller gets StoreDamaged."""


def place_or_keep(txn: WriteTransaction, events: Events) -> None:
    """Put new events where they belong, or all of them among the live ones."""
    if txn.due.rest:
        txn.due.rest -= 1
        put_live(txn, events)
    else:
        _or_rest(txn, lambda: place(txn, events))


def seal_unless_damaged(txn: WriteTransaction) -> None:
    """Seal what is due."""
    if txn.due.rest:
        txn.due.rest -= 1
    else:
        _or_rest(txn, lambda: seal_due(txn))


def _or_rest(txn: WriteTransaction, work: Callable[[], None]) -> None:
    try:
        work()
    except (StoreDamaged, CompressionMissing) as error:
        txn.due.rest = REST
        raise CannotSeal(*error.args) from error
