"""Errors of psycopg and of the server as exceptions of the package.

Rules: every error of psycopg is turned into one of ours, with the original as its cause. No message
has a password: libpq and the server do not tell it, and an address is never quoted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors as pg

from lmdbstore.errors import (
    EventReadException,
    EventStoreException,
    EventWriteException,
    InvalidEvent,
    OpenBusy,
    ReadBusy,
    ReadOnlyStore,
    StoreDamaged,
    StoreFull,
    StoreOpenError,
    WriteBusy,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmdbstore.threads.deadline import Deadline

__all__ = [
    "AllInUse",
    "NoConnection",
    "failed_opening",
    "failed_read",
    "failed_write",
    "is_broken",
    "only_row",
    "reason",
    "unknown_outcome",
]

NOTHING = "nothing was written"
UNKNOWN = (
    "so it is not known whether it was written; it can be repeated with on_duplicate='ignore', and "
    "a delete as it is"
)


class NoConnection(psycopg.OperationalError):
    """None could be made in time."""


class AllInUse(NoConnection):
    """All of the pool were in use until the time limit."""


def only_row(found: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return the row of a table that always has one; raises StoreDamaged."""
    rows = list(found)
    if len(rows) != 1:
        raise StoreDamaged("the store is not whole: its row is missing; restore a backup")
    return rows[0]


def reason(error: BaseException) -> str:
    """Return what the server said, in one line."""
    said = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
    return " ".join(said.split()) or type(error).__name__


def is_broken(error: psycopg.Error) -> bool:
    """Whether the connection is of no more use, and another one may be."""
    lost = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
    return lost or error.diag.severity_nonlocalized in {"FATAL", "PANIC"}


def failed_opening(
    error: psycopg.Error | StoreDamaged, deadline: Deadline | None, what: str
) -> StoreOpenError:
    """Return the exception for a store that could not `what`: be opened, made or migrated."""
    if isinstance(error, pg.LockNotAvailable):
        return OpenBusy(
            f"the store is busy: waited {_limit(deadline):.3g} s for others; end them, or wait "
            "longer (timeout=)"
        )
    return StoreOpenError(f"the store could not {what}: {reason(error)}")


def failed_read(error: psycopg.Error, deadline: Deadline | None) -> EventStoreException:
    """Return the exception for a read that failed."""
    if isinstance(error, AllInUse):
        return ReadBusy(f"the store is busy: {error}; wait longer (timeout=), or raise pool_size")
    if isinstance(error, pg.LockNotAvailable):
        return ReadBusy(
            f"the store is busy: waited {_limit(deadline):.3g} s for a write that is under way; "
            "wait longer (timeout=)"
        )
    if isinstance(error, pg.QueryCanceled):
        return EventReadException(
            f"the server ended the read: {reason(error)}; ask for less, or raise statement_timeout"
        )
    if isinstance(error, pg.InsufficientPrivilege):
        return EventReadException(
            f"the server refuses the read: {reason(error)}; grant the role what a reader needs "
            "(lmdbstore.sql.store says what)"
        )
    if is_broken(error):
        return EventReadException(
            f"the server cannot be reached: {reason(error)}; call again when it is there"
        )
    return EventReadException(f"the store could not be read: {reason(error)}")


def failed_write(
    error: psycopg.Error, deadline: Deadline | None, written: str = NOTHING
) -> EventStoreException:
    """Return the exception for a write that failed."""
    said = reason(error)
    if isinstance(error, AllInUse):
        return WriteBusy(
            f"the store is busy: {said}; {written}; wait longer (timeout=), or raise pool_size"
        )
    if isinstance(error, pg.LockNotAvailable):
        return WriteBusy(
            f"the store is busy: waited {_limit(deadline):.3g} s for others that write; {written}; "
            "wait longer (timeout=)"
        )
    for kinds, kind, message, remedy in _WRITE_FAILURES:
        if isinstance(error, kinds):
            return kind(f"{message}: {said}; {written}; {remedy}")
    if is_broken(error):
        return EventWriteException(
            f"the server cannot be reached: {said}; {written}; call again when it is there"
        )
    return EventWriteException(f"the write failed: {said}; {written}")


_Kinds = tuple[type[psycopg.Error], ...]
_WRITE_FAILURES: list[tuple[_Kinds, type[EventStoreException], str, str]] = [
    (
        (pg.DiskFull, pg.OutOfMemory),
        StoreFull,
        "the server has no room",
        "give it more, or purge",
    ),
    (
        (pg.ReadOnlySqlTransaction,),
        ReadOnlyStore,
        "the server only reads (it is a standby, or set so)",
        "write to the primary: list all hosts, and target_session_attrs=read-write, in the address",
    ),
    (
        (pg.InsufficientPrivilege,),
        ReadOnlyStore,
        "the server refuses the write",
        "grant the role what a writer needs (lmdbstore.sql.store says what)",
    ),
    (
        (pg.ProgramLimitExceeded, psycopg.DataError),
        InvalidEvent,
        "the server cannot keep the event",
        "make it smaller",
    ),
    (
        (pg.QueryCanceled,),
        EventWriteException,
        "the server ended the write",
        "raise statement_timeout",
    ),
]


def unknown_outcome(error: BaseException) -> EventWriteException:
    """Return the exception for a commit of which the answer did not come."""
    return EventWriteException(f"the commit was not confirmed: {reason(error)}, {UNKNOWN}")


def _limit(deadline: Deadline | None) -> float:
    return (deadline.limit if deadline else None) or 0.0
