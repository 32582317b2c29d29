"""The one refusal of re-entry: a call that would wait for the call that it interrupts.

A signal handler runs in the middle of a call of its own thread. A call that waits for that call to
end (a write for a write, a close for a read) would never return. So it is refused, in the same
words everywhere. The gate, the writer and a search each know which thread is inside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from lmdbstore.errors import EventStoreException

__all__ = ["half_imported", "reentry"]

E = TypeVar("E", bound="EventStoreException")


def reentry(kind: type[E], call: str) -> E:
    """Return the exception that refuses `call`, the name of the call that the user made."""
    return kind(
        f"{call} cannot run inside another call of the same thread, such as one that a signal "
        "handler interrupts: it would wait for itself; call it when that call has returned"
    )


def half_imported(kind: type[E], what: str, error: ImportError) -> E:
    """Return the exception that refuses a feature whose module is being imported."""
    return kind(
        f"{what} cannot be used now: {error}; from a signal handler that interrupts the first use, "
        "call it when that use has returned"
    )
