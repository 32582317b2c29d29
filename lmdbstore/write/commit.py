"""Committing a batch of changes, and answering the callers.

Rules: a change that cannot be applied breaks the transaction, and then nothing is committed. The
callers are answered after the commit: only then a place can tell where their changes are. Each gets
an exception of its own, because threads must not share a traceback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lmdb

from lmdbstore.disk.lmdb_errors import write_error
from lmdbstore.errors import EventStoreException, EventWriteException, StoreDamaged

from .damage import CannotSeal
from .save import apply_all

if TYPE_CHECKING:
    from .change import Job
    from .transaction import WriteTransaction

__all__ = ["BrokenTransaction", "commit", "own_error"]


class BrokenTransaction(Exception):
    """A change could not be applied, and its transaction must be abandoned."""

    def __init__(self, error: EventStoreException | lmdb.Error) -> None:
        super().__init__(error)
        self.error = error


def commit(txn: WriteTransaction, batch: list[Job]) -> None:
    """Apply the changes of a batch, commit them, and answer their callers.

    Raises:
        BrokenTransaction: a change could not be applied.
        EventWriteException, lmdb.Error: the commit failed, or its outcome is unknown.
    """
    try:
        first = batch[0].change
        if len(batch) == 1:  # a short path for a thread that writes alone
            refusals, frees = [first.apply(txn)], first.frees
        else:
            refusals = apply_all(txn, [job.change for job in batch])
            frees = all(job.change.frees for job in batch)
        if not frees:
            txn.check_room(many=first.alone)
    except (EventStoreException, lmdb.Error) as error:
        raise BrokenTransaction(error) from error
    before = batch[0].place.unproved()
    try:
        txn.commit()
        _end(batch, refusals, before if txn.changed else None)
    except lmdb.Error as error:
        if txn.outcome_is_unknown():
            raise EventWriteException(
                "the write of the file's meta page failed, so it is not known whether the change "
                f"was written; close the store, check the disk, open it again and search ({error})"
            ) from error
        raise
    except BaseException:
        if txn.is_committed():  # an interrupt struck as the commit returned
            _end(batch, refusals, before)
        raise


def _end(
    batch: list[Job], refusals: list[EventStoreException | None], unproved: int | None
) -> None:
    """Answer the callers, after the commit: only now a place can tell where the changes are."""
    first = batch[0]
    if unproved is not None:
        for place in {job.place for job in batch}:
            place.prove(unproved)
    if len(batch) == 1 and not first.place.is_left():
        first.end(refusals[0])
        return
    left = {place for place in {job.place for job in batch} if place.is_left()}
    for job, refusal in zip(batch, refusals, strict=True):
        job.end(job.place.moved(committed=refusal is None) if job.place in left else refusal)


def own_error(
    error: EventStoreException | lmdb.Error | OSError, environment: lmdb.Environment
) -> EventStoreException:
    """Return an exception for one caller."""
    if isinstance(error, lmdb.Error):
        own = write_error(error, environment)
    elif isinstance(error, EventStoreException):
        kind = StoreDamaged if isinstance(error, CannotSeal) else type(error)
        own = kind(*error.args)
    else:
        own = EventWriteException(f"the write failed and nothing was written: {error}")
    own.__cause__ = error
    return own
