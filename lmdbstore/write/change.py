"""A change: one caller's work on the databases, made in its own thread and applied by the writer.

Rules: a change keeps all indexes in step with the records. Everything that the caller can be told
to be wrong is found before its first change (`apply` returns it), except by a change that is alone
in its transaction. What `apply` raises ends the transaction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from lmdbstore.errors import EventStoreException

    from .transaction import WriteTransaction

__all__ = ["Change", "EmptyCommit"]


class Change(ABC):
    """One caller's change, made and checked in the caller's thread."""

    alone: ClassVar[bool] = False  # whether it wants a transaction of its own
    frees: ClassVar[bool] = False  # whether it makes room, and so may use what is kept for that

    @abstractmethod
    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """Carry it out; return why it cannot be done, with nothing changed."""


class EmptyCommit(Change):
    """Change nothing, and commit: then what the transaction before freed may be used."""

    alone = True
    frees = True

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        txn.changed = True
        return None
