"""A change: one caller's work on the databases, made in its own thread and applied by the writer.

Rules: a change keeps all indexes in step with the records. It finds every error of the caller
before it writes anything, and `apply` returns the error; only a change that is alone in its
transaction may find it later. An exception raised by `apply` ends the transaction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from lmdbstore.processes.write_set import EVERYTHING, Fields

if TYPE_CHECKING:
    from lmdbstore.errors import EventStoreException

    from .transaction import WriteTransaction

__all__ = ["Change", "EmptyCommit"]


class Change(ABC):
    """One caller's change, made and checked in the caller's thread."""

    alone: ClassVar[bool] = False  # whether it needs a transaction of its own
    frees: ClassVar[bool] = False  # whether it frees space, and so may use the reserve for deletes
    writes: Fields = EVERYTHING  # the events that it may add or remove; not too few

    @abstractmethod
    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """Carry it out; return None, or the error if it is refused and nothing was changed."""


class EmptyCommit(Change):
    """Change nothing, and commit: then pages freed by the transaction before may be used."""

    alone = True
    frees = True

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        txn.changed = True
        return None
